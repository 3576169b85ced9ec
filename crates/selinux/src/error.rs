//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (the path, the context, the errno); sentences are made in
//! `Display` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::context::Context;
use crate::pair::Pair;
use crate::problem::Problem;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text is no context, range or pair; [`Error::problem`] says why.
    Malformed,
    /// The loaded policy does not have the context.
    UnknownContext,
    /// The kernel has no SELinux, or it is switched off.
    Disabled,
    /// What stands where selinuxfs or procfs should be is another file system.
    FileSystem,
    /// The file system keeps no labels.
    LabelsUnsupported,
    /// The directory belongs to the system: other labels would break the host.
    SystemDirectory,
    /// All pairs of categories are in use.
    PairsExhausted,
    /// This pair is in use by somebody who shares it with nobody.
    PairInUse,
    /// The directory with the locks can be written by others.
    InsecureDirectory,
    /// The policy, or a file's owner, does not permit it.
    Denied,
    /// Another system call failed; see [`Error::errno`].
    System,
}

/// An error of this crate: opaque, with [`kind`](Self::kind), [`errno`](Self::errno) and [`hint`](Self::hint).
#[derive(Clone, Debug)]
pub struct Error(Box<Fact>);

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug)]
enum Fact {
    Malformed { from: Option<PathBuf>, problem: Problem },
    UnknownContext(Box<Context>),
    Disabled,
    Exhausted { pairs: u32 },
    InUse(Pair),
    Path { kind: ErrorKind, path: PathBuf },
    System { operation: &'static str, path: Option<PathBuf>, errno: Errno },
}

impl Error {
    /// A line of a file is no context.
    pub(crate) fn malformed(from: &Path, problem: Problem) -> Self {
        Self(Box::new(Fact::Malformed { from: Some(from.to_owned()), problem }))
    }

    pub(crate) fn unknown(context: &Context) -> Self {
        Self(Box::new(Fact::UnknownContext(Box::new(context.clone()))))
    }

    pub(crate) fn disabled() -> Self {
        Self(Box::new(Fact::Disabled))
    }

    pub(crate) fn exhausted(pairs: u32) -> Self {
        Self(Box::new(Fact::Exhausted { pairs }))
    }

    pub(crate) fn in_use(pair: Pair) -> Self {
        Self(Box::new(Fact::InUse(pair)))
    }

    /// A failure that has a path and no errno.
    pub(crate) fn at(kind: ErrorKind, path: impl Into<PathBuf>) -> Self {
        Self(Box::new(Fact::Path { kind, path: path.into() }))
    }

    /// A system call failed.
    pub(crate) fn call(operation: &'static str, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: None, errno }))
    }

    /// A system call on a file failed.
    pub(crate) fn on(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: Some(path.to_owned()), errno }))
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Malformed { .. } => ErrorKind::Malformed,
            Fact::UnknownContext(_) => ErrorKind::UnknownContext,
            Fact::Disabled => ErrorKind::Disabled,
            Fact::Exhausted { .. } => ErrorKind::PairsExhausted,
            Fact::InUse(_) => ErrorKind::PairInUse,
            Fact::Path { kind, .. } => *kind,
            Fact::System { errno, .. } => match *errno {
                Errno::OPNOTSUPP => ErrorKind::LabelsUnsupported,
                Errno::PERM | Errno::ACCESS | Errno::ROFS => ErrorKind::Denied,
                _ => ErrorKind::System,
            },
        }
    }

    /// The errno of the system call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &*self.0 {
            Fact::System { errno, .. } => Some(errno.raw_os_error()),
            _ => None,
        }
    }

    /// What is wrong with a text.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match &*self.0 {
            Fact::Malformed { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind() {
            ErrorKind::UnknownContext => {
                "seinfo lists what the policy has; load the container module"
            }
            ErrorKind::LabelsUnsupported => "mount it with -o context=, which labels all of it",
            ErrorKind::SystemDirectory => {
                "relabel a directory that holds the container's data only"
            }
            ErrorKind::PairsExhausted => "end containers, or allow more categories",
            ErrorKind::InsecureDirectory => "give it to its user alone: mode 0700",
            ErrorKind::Denied => "dmesg or ausearch -m avc shows what the policy denied",
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Malformed { from: Some(path), problem } => {
                write!(out, "{}: {problem}", path.display())
            }
            Fact::Malformed { from: None, problem } => problem.fmt(out),
            Fact::UnknownContext(context) => write!(out, "the policy has no context {context}"),
            Fact::Disabled => out.write_str("SELinux is not enabled on this host"),
            Fact::Exhausted { pairs } => write!(out, "all {pairs} pairs of categories are in use"),
            Fact::InUse(pair) => write!(out, "the categories {pair} are in use"),
            Fact::Path { kind, path } => write!(out, "{}: {}", path.display(), about(*kind)),
            Fact::System { operation, path, errno } => {
                write!(out, "{operation}")?;
                path.iter().try_for_each(|path| write!(out, " {}", path.display()))?;
                write!(out, ": {}", io::Error::from(*errno))
            }
        }
    }
}

fn about(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::FileSystem => "another file system is mounted there",
        ErrorKind::SystemDirectory => "a directory of the system is not relabelled",
        ErrorKind::InsecureDirectory => "others may write to it, or it is another user's",
        _ => "it cannot be used",
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem().map(|problem| problem as _)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Fact::Malformed { from: None, problem }))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.kind(), error.errno()) {
            (_, Some(errno)) => io::Error::from_raw_os_error(errno).kind(),
            (ErrorKind::Disabled | ErrorKind::LabelsUnsupported, _) => io::ErrorKind::Unsupported,
            (ErrorKind::PairInUse | ErrorKind::PairsExhausted, _) => io::ErrorKind::ResourceBusy,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
