//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (every problem of a filter, the errno); sentences are made in
//! `Display` only.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::problem::Problem;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The filter cannot be used; [`Error::problems`] lists every reason.
    InvalidFilter,
    /// A profile is not the JSON that it should be, or too long.
    Malformed,
    /// The filter does not let a program be executed, which it was about to be.
    LocksOutExec,
    /// The compiled filter has more than 4096 instructions, which the kernel does not take.
    TooLarge,
    /// The kernel refused for want of permission.
    Denied,
    /// The kernel does not have what was asked for.
    Unsupported,
    /// Another thread has a filter of its own, so that all threads cannot be given this one.
    OtherThread,
    /// A filter that notifies was loaded without taking its listener, or one that does not with it.
    Listener,
    /// A notified call does not wait any more: it was answered or interrupted, or its thread has gone.
    CallerGone,
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
    Json(Arc<serde_json::Error>),
    TooLong(usize),
    Problems(ErrorKind, Vec<Problem>),
    TooLarge(usize),
    Listener { notifies: bool },
    System { kind: ErrorKind, operation: &'static str, errno: i32 },
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

impl Error {
    pub(crate) fn problems_of(problems: Vec<Problem>) -> Self {
        let exec = |problem: &Problem| matches!(problem, Problem::LocksOut { .. });
        let kind = match problems.iter().all(exec) {
            true => ErrorKind::LocksOutExec,
            false => ErrorKind::InvalidFilter,
        };
        Self(Box::new(Fact::Problems(kind, problems)))
    }

    pub(crate) fn too_large(instructions: usize) -> Self {
        Self(Box::new(Fact::TooLarge(instructions)))
    }

    /// libseccomp refused, without saying why.
    #[cfg(feature = "libseccomp")]
    pub(crate) fn libseccomp() -> Self {
        Self::system("libseccomp", &io::Error::from_raw_os_error(EOPNOTSUPP))
    }

    pub(crate) fn json(error: serde_json::Error) -> Self {
        Self(Box::new(Fact::Json(Arc::new(error))))
    }

    /// A profile of this many bytes.
    pub(crate) fn too_long(bytes: usize) -> Self {
        Self(Box::new(Fact::TooLong(bytes)))
    }

    /// The load and the filter disagree on a listener.
    pub(crate) fn listener(notifies: bool) -> Self {
        Self(Box::new(Fact::Listener { notifies }))
    }

    /// A system call failed.
    pub(crate) fn system(operation: &'static str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(EINVAL);
        let kind = match errno {
            EPERM | EACCES => ErrorKind::Denied,
            ENOSYS | EOPNOTSUPP => ErrorKind::Unsupported,
            _ => ErrorKind::System,
        };
        Self(Box::new(Fact::System { kind, operation, errno }))
    }

    /// The same failure, where this error number has a meaning of its own.
    pub(crate) fn meaning(mut self, of: i32, means: ErrorKind) -> Self {
        if let Fact::System { kind, errno, .. } = &mut *self.0
            && *errno == of
        {
            *kind = means;
        }
        self
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Problems(kind, _) | Fact::System { kind, .. } => *kind,
            Fact::TooLarge(_) => ErrorKind::TooLarge,
            Fact::Json(_) | Fact::TooLong(_) => ErrorKind::Malformed,
            Fact::Listener { .. } => ErrorKind::Listener,
        }
    }

    /// The errno of the system call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &*self.0 {
            Fact::System { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Every problem of a filter or profile; empty for other errors.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &*self.0 {
            Fact::Problems(_, problems) => problems,
            _ => &[],
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind() {
            ErrorKind::LocksOutExec => {
                "allow the calls that are named: they are made before the program runs"
            }
            ErrorKind::TooLarge => {
                "split it into two filters and load both: the stricter action counts"
            }
            ErrorKind::Denied => "set no_new_privs first, or have CAP_SYS_ADMIN",
            ErrorKind::OtherThread => {
                "load it before threads with filters of their own are started"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Problems(_, problems) => {
                out.write_str("seccomp filter: ")?;
                for (index, problem) in problems.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(out, "{separator}{problem}")?;
                }
                Ok(())
            }
            Fact::TooLarge(instructions) => {
                write!(
                    out,
                    "seccomp filter: {instructions} instructions, and the kernel takes 4096"
                )
            }
            Fact::Json(error) => write!(out, "seccomp profile: {error}"),
            Fact::TooLong(bytes) => write!(out, "seccomp profile: {bytes} bytes are too many"),
            Fact::Listener { notifies: true } => {
                out.write_str("the filter notifies, and nobody takes its listener")
            }
            Fact::Listener { notifies: false } => out.write_str("the filter never notifies"),
            Fact::System { kind: ErrorKind::OtherThread, operation, .. } => {
                write!(out, "{operation}: another thread has a filter of its own")
            }
            Fact::System { operation, errno, .. } => {
                write!(out, "{operation}: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Fact::Json(error) => Some(&**error),
            _ => self.problems().first().map(|first| first as _),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.errno() {
            Some(ENOENT | ESRCH) => io::ErrorKind::NotFound,
            Some(errno) => io::Error::from_raw_os_error(errno).kind(),
            None => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
