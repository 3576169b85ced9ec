//! What is wrong with a limit, why a text was refused, why a controller is not there, why systemd cannot be asked: parts of an error.
//!
//! Kernel objects: none. Invariant: as in `error.rs`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// One thing that is wrong with limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    limit: &'static str,
    reason: String,
}

impl Problem {
    pub(crate) fn new(limit: &'static str, reason: impl Into<String>) -> Self {
        Self { limit, reason: reason.into() }
    }

    /// The limit's name.
    #[must_use]
    pub fn limit(&self) -> &'static str {
        self.limit
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.limit, self.reason)
    }
}

/// The kind of a plain failed system call.
pub(crate) fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
        Errno::NOENT | Errno::NODEV | Errno::SRCH => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::BUSY => ErrorKind::Busy,
        Errno::ROFS => ErrorKind::ReadOnly,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        _ => ErrorKind::System,
    }
}

/// Where a controller is looked for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// In every mounted hierarchy.
    Unmounted,
    /// In this file of v2, and in every hierarchy of v1.
    Disabled(PathBuf),
    /// This group has it, but cannot hand it on ("no internal processes").
    Occupied(PathBuf),
    /// The group has no directory here.
    Elsewhere(PathBuf),
}

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("is empty")]
    Empty,
    #[error("is not written as {0}")]
    Malformed(&'static str),
    #[error("is too large")]
    TooLarge,
    #[error("is not between {0} and {1}")]
    OutOfRange(i64, i64),
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    #[error("is more precise than the kernel takes")]
    TooPrecise,
    #[error("is not a plain decimal number")]
    NotANumber,
    #[error("leads out of the tree")]
    LeavesTree,
    #[error("has a character that is not allowed")]
    BadCharacter,
}

/// Why systemd cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(dead_code, reason = "the feature decides which of them there are")]
pub(crate) enum NoSystemd {
    #[error("this program was built without the feature `systemd` of ampoule-cgroups")]
    Feature,
    #[error("a scope of systemd needs cgroup v2 and no hierarchy of v1")]
    NotV2,
    #[error("no address of a bus is known")]
    NoBus,
    #[error("{}: {errno}", path.display())]
    Bus { path: PathBuf, errno: Errno },
    #[error("nothing on the bus is systemd")]
    NotThere,
    #[error("the bus is in another pid namespace")]
    OtherPids,
}

impl Absence {
    /// The file or directory that it is about.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Unmounted => None,
            Self::Disabled(path) | Self::Occupied(path) | Self::Elsewhere(path) => Some(path),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmounted => f.write_str("no mounted hierarchy has"),
            Self::Disabled(file) => {
                write!(f, "neither {} nor a hierarchy of version 1 has", file.display())
            }
            Self::Occupied(path) => {
                write!(f, "{} has processes of its own and cannot hand on", path.display())
            }
            Self::Elsewhere(path) => write!(f, "{} is not there for", path.display()),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.system_errno(), error.kind()) {
            (Some(errno), _) => io::Error::from(errno).kind(),
            (None, ErrorKind::Timeout) => io::ErrorKind::TimedOut,
            (
                None,
                ErrorKind::Unsupported
                | ErrorKind::MissingController
                | ErrorKind::NoCgroups
                | ErrorKind::NoSystemd,
            ) => io::ErrorKind::Unsupported,
            (None, _) => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
