//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (which limit, which file, the errno);
//! sentences are made in `Display` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::controller::Controllers;
pub use crate::reason::Problem;
use crate::reason::kind_of;
pub(crate) use crate::reason::{Absence, NoSystemd, Reason};
use crate::table::Version;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text is not a valid value.
    InvalidValue,
    /// Limits that contradict each other or the machine; [`Error::problems`] lists every reason.
    InvalidLimits,
    /// A name or path for a group is wrong.
    InvalidPath,
    /// A limit needs a controller that this machine, or this part of the tree, does not have.
    MissingController,
    /// The caller may not make groups here.
    NotDelegated,
    /// No cgroup hierarchy is mounted.
    NoCgroups,
    /// The group did not do in time what was asked.
    Timeout,
    /// The kernel refused for want of permission.
    Denied,
    /// The file, group or process does not exist.
    NotFound,
    /// The group exists already.
    AlreadyExists,
    /// The group uses more than the limit that was asked for, which was to be checked before.
    BelowUsage,
    /// The group still has processes or groups.
    Busy,
    /// The hierarchy is mounted read-only.
    ReadOnly,
    /// The kernel does not have what was asked for.
    Unsupported,
    /// systemd cannot be asked for a scope: the feature `systemd` is off, or there is no bus.
    NoSystemd,
    /// systemd did not make the scope.
    Systemd,
    /// Another system call failed; see [`Error::errno`].
    System,
}

/// An error of this crate: opaque, with [`kind`](Self::kind), [`errno`](Self::errno) and
/// [`hint`](Self::hint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Fact>);

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Text {
        what: &'static str,
        text: String,
        reason: Reason,
    },
    Problems(Vec<Problem>),
    Absent {
        limit: &'static str,
        version: Version,
    },
    Missing {
        limit: &'static str,
        controllers: String,
        absence: Absence,
    },
    BelowUsage {
        path: PathBuf,
        asked: u64,
        used: u64,
    },
    Limit {
        limit: &'static str,
        path: PathBuf,
        text: String,
        errno: Errno,
    },
    Ignored {
        limit: &'static str,
        path: PathBuf,
        text: String,
        shown: String,
    },
    NoCgroups,
    Timeout {
        what: &'static str,
        path: PathBuf,
    },
    NotDelegated {
        path: PathBuf,
        errno: Errno,
    },
    System {
        operation: &'static str,
        path: Option<PathBuf>,
        errno: Errno,
    },
    NoSystemd(NoSystemd),
    #[cfg_attr(not(feature = "systemd"), expect(dead_code, reason = "nobody is asked"))]
    Refused {
        call: &'static str,
        answer: String,
    },
    Unplaced {
        direct: Error,
        systemd: Error,
    },
}

/// Texts of users are kept up to this many characters.
const TEXT_MAX: usize = 80;

impl Error {
    /// `text` is not a valid `what`.
    pub(crate) fn text(what: &'static str, text: &str, reason: Reason) -> Self {
        let text = text.chars().take(TEXT_MAX).collect();
        Self(Box::new(Fact::Text { what, text, reason }))
    }

    /// A system call failed, on no path.
    pub(crate) fn system(operation: &'static str, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: None, errno }))
    }

    /// All problems as one error, if there are any.
    pub(crate) fn of_problems(problems: Vec<Problem>) -> Result<()> {
        if problems.is_empty() { Ok(()) } else { Err(Self(Box::new(Fact::Problems(problems)))) }
    }

    /// One thing is wrong with the limits.
    pub(crate) fn problem(limit: &'static str, reason: impl Into<String>) -> Self {
        Self(Box::new(Fact::Problems(vec![Problem::new(limit, reason)])))
    }

    /// This version has no file for the limit.
    pub(crate) fn absent(limit: &'static str, version: Version) -> Self {
        Self(Box::new(Fact::Absent { limit, version }))
    }

    /// The controllers that a limit needs are not there.
    pub(crate) fn missing(limit: &'static str, controllers: Controllers, absence: Absence) -> Self {
        let controllers = controllers.to_string();
        Self(Box::new(Fact::Missing { limit, controllers, absence }))
    }

    /// The group uses more memory already.
    pub(crate) fn below_usage(path: PathBuf, asked: u64, used: u64) -> Self {
        Self(Box::new(Fact::BelowUsage { path, asked, used }))
    }

    /// The kernel refused a limit.
    pub(crate) fn limit(limit: &'static str, path: PathBuf, text: &str, errno: Errno) -> Self {
        let text = text.chars().take(TEXT_MAX).collect();
        Self(Box::new(Fact::Limit { limit, path, text, errno }))
    }

    /// The kernel took a limit, and its file says that it is not in force.
    pub(crate) fn ignored(limit: &'static str, path: PathBuf, text: &str, shown: &str) -> Self {
        let [text, shown] =
            [text, shown.trim_end()].map(|text| text.chars().take(TEXT_MAX).collect());
        Self(Box::new(Fact::Ignored { limit, path, text, shown }))
    }

    /// systemd cannot be asked.
    pub(crate) fn no_systemd(reason: NoSystemd) -> Self {
        Self(Box::new(Fact::NoSystemd(reason)))
    }

    /// systemd, or the bus, answered a call with an error.
    #[cfg(feature = "systemd")]
    pub(crate) fn refused(call: &'static str, answer: &str) -> Self {
        let answer = answer.chars().take(4 * TEXT_MAX).collect();
        Self(Box::new(Fact::Refused { call, answer }))
    }

    /// Neither this process nor systemd can make a place.
    pub(crate) fn unplaced(direct: Self, systemd: Self) -> Self {
        Self(Box::new(Fact::Unplaced { direct, systemd }))
    }

    /// There is no hierarchy.
    pub(crate) fn no_cgroups() -> Self {
        Self(Box::new(Fact::NoCgroups))
    }

    /// The group did not do it in time.
    pub(crate) fn timeout(what: &'static str, path: PathBuf) -> Self {
        Self(Box::new(Fact::Timeout { what, path }))
    }

    /// Making a group below `path` was refused.
    pub(crate) fn not_delegated(path: PathBuf, errno: Errno) -> Self {
        Self(Box::new(Fact::NotDelegated { path, errno }))
    }

    /// A failed call of the standard library.
    pub(crate) fn io(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::at(operation, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// A system call failed on `path`.
    pub(crate) fn at(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: Some(path.to_owned()), errno }))
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Text { what: PATH, .. } => ErrorKind::InvalidPath,
            Fact::Text { .. } => ErrorKind::InvalidValue,
            Fact::Problems(_) => ErrorKind::InvalidLimits,
            Fact::Absent { .. } | Fact::Ignored { .. } => ErrorKind::Unsupported,
            Fact::Missing { .. } => ErrorKind::MissingController,
            Fact::BelowUsage { .. } => ErrorKind::BelowUsage,
            Fact::Limit { errno: Errno::NOENT, .. } => ErrorKind::Unsupported,
            Fact::Limit { errno: Errno::INVAL | Errno::RANGE | Errno::NODEV, .. } => {
                ErrorKind::InvalidLimits
            }
            Fact::Limit { errno, .. } | Fact::System { errno, .. } => kind_of(*errno),
            Fact::NoCgroups => ErrorKind::NoCgroups,
            Fact::Timeout { .. } => ErrorKind::Timeout,
            Fact::NotDelegated { errno: Errno::ROFS, .. } => ErrorKind::ReadOnly,
            Fact::NotDelegated { .. } => ErrorKind::NotDelegated,
            Fact::NoSystemd(_) => ErrorKind::NoSystemd,
            Fact::Refused { .. } => ErrorKind::Systemd,
            Fact::Unplaced { direct, .. } => direct.kind(),
        }
    }

    /// The errno of the system call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.system_errno().map(Errno::raw_os_error)
    }

    pub(crate) fn system_errno(&self) -> Option<Errno> {
        match &*self.0 {
            Fact::System { errno, .. }
            | Fact::Limit { errno, .. }
            | Fact::NotDelegated { errno, .. }
            | Fact::NoSystemd(NoSystemd::Bus { errno, .. }) => Some(*errno),
            Fact::Unplaced { direct, .. } => direct.system_errno(),
            _ => None,
        }
    }

    /// The limit that was refused, by its name in [`Limits`](crate::Limits), if one was.
    #[must_use]
    pub fn limit_name(&self) -> Option<&'static str> {
        match &*self.0 {
            Fact::Absent { limit, .. }
            | Fact::Missing { limit, .. }
            | Fact::Ignored { limit, .. }
            | Fact::Limit { limit, .. } => Some(limit),
            Fact::BelowUsage { .. } => Some("memory.max"),
            Fact::Unplaced { direct, .. } => direct.limit_name(),
            Fact::Problems(problems) => problems.first().map(Problem::limit),
            _ => None,
        }
    }

    /// The file or directory that it is about.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Fact::Limit { path, .. }
            | Fact::Ignored { path, .. }
            | Fact::BelowUsage { path, .. }
            | Fact::Timeout { path, .. }
            | Fact::NotDelegated { path, .. }
            | Fact::System { path: Some(path), .. } => Some(path),
            Fact::Missing { absence, .. } => absence.path(),
            Fact::NoSystemd(NoSystemd::Bus { path, .. }) => Some(path),
            Fact::Unplaced { direct, .. } => direct.path(),
            _ => None,
        }
    }

    /// Every problem of limits; empty for other errors.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &*self.0 {
            Fact::Problems(problems) => problems,
            _ => &[],
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match &*self.0 {
            Fact::Missing { absence: Absence::Occupied(_), .. } => {
                return Some(
                    "let systemd place it (feature `systemd`), or start this program in a group of its own below a \
                     delegated one: systemd-run --user --scope -p Delegate=yes …",
                );
            }
            Fact::Unplaced { direct, systemd } => return direct.hint().or(systemd.hint()),
            _ => {}
        }
        Some(match self.kind() {
            ErrorKind::NotDelegated | ErrorKind::Denied => {
                "run as root, or in a delegated group: systemd-run --user --scope -p Delegate=yes …"
            }
            ErrorKind::NoSystemd => {
                "build with the feature `systemd` and run where systemd answers on a bus, or be delegated a group: \
                 systemd-run --user --scope -p Delegate=yes …"
            }
            ErrorKind::MissingController => {
                "the kernel, or whoever made the group above, does not provide it (cgroup.subtree_control)"
            }
            ErrorKind::ReadOnly => {
                "cgroupfs is mounted read-only here: let the container above mount it writable"
            }
            ErrorKind::Busy => "processes are still in the group, or in the group above it",
            ErrorKind::NoCgroups => "mount cgroup2 on /sys/fs/cgroup",
            _ => return None,
        })
    }
}

/// What a path is called in an error about one.
pub(crate) const PATH: &str = "path of a group";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Text { what, text, reason } => write!(f, "{what} {text:?} {reason}"),
            Fact::Problems(problems) => {
                let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join("; "))
            }
            Fact::Absent { limit, version } => {
                let version = if *version == Version::V1 { 1 } else { 2 };
                write!(f, "{limit}: cgroup version {version} has no such limit")
            }
            Fact::Missing { limit, controllers, absence } => {
                write!(f, "{limit}: {absence} the controller {controllers}")
            }
            Fact::BelowUsage { path, asked, used } => {
                write!(f, "memory.max: {asked} is below the {used} bytes of {}", path.display())
            }
            Fact::Limit { limit, path, text, errno } => {
                write!(f, "{limit}: write {text:?} to {}: {errno}", path.display())
            }
            Fact::Ignored { limit, path, text, shown } => {
                write!(
                    f,
                    "{limit}: {} takes {text:?} without effect: it says {shown:?}",
                    path.display()
                )
            }
            Fact::NoCgroups => f.write_str("no cgroup hierarchy is mounted"),
            Fact::Timeout { what, path } => write!(f, "{}: {what} takes too long", path.display()),
            Fact::NotDelegated { path, errno } => {
                write!(f, "no group can be made in {}: {errno}", path.display())
            }
            Fact::System { operation, path: Some(path), errno } => {
                write!(f, "{operation}({}): {errno}", path.display())
            }
            Fact::System { operation, path: None, errno } => write!(f, "{operation}: {errno}"),
            Fact::NoSystemd(reason) => write!(f, "systemd cannot be asked: {reason}"),
            Fact::Refused { call, answer } => write!(f, "systemd, {call}: {answer}"),
            Fact::Unplaced { direct, systemd } => write!(f, "{direct}; {systemd}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Fact::Text { reason, .. } => Some(reason),
            Fact::NoSystemd(reason) => Some(reason),
            Fact::Unplaced { direct, .. } => Some(direct),
            Fact::System { errno, .. }
            | Fact::Limit { errno, .. }
            | Fact::NotDelegated { errno, .. } => Some(errno),
            _ => None,
        }
    }
}
