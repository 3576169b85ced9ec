//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (which limit, which file, the errno);
//! sentences are made in `Display` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text is not a valid value.
    InvalidValue,
    /// The kernel refused for want of permission.
    Denied,
    /// The file or group does not exist.
    NotFound,
    /// The group exists already.
    AlreadyExists,
    /// The group still has processes or groups.
    Busy,
    /// The hierarchy is mounted read-only.
    ReadOnly,
    /// The kernel does not have what was asked for.
    Unsupported,
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
    Text { what: &'static str, text: String, reason: Reason },
    System { operation: &'static str, path: Option<PathBuf>, errno: Errno },
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

    /// A system call failed on `path`.
    pub(crate) fn at(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: Some(path.to_owned()), errno }))
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Text { .. } => ErrorKind::InvalidValue,
            Fact::System { errno, .. } => kind_of(*errno),
        }
    }

    /// The errno of the system call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &*self.0 {
            Fact::System { errno, .. } => Some(errno.raw_os_error()),
            Fact::Text { .. } => None,
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        None
    }
}

/// The kind of a plain failed system call.
fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
        Errno::NOENT | Errno::NODEV => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::BUSY => ErrorKind::Busy,
        Errno::ROFS => ErrorKind::ReadOnly,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        _ => ErrorKind::System,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Text { what, text, reason } => write!(f, "{what} {text:?} {reason}"),
            Fact::System { operation, path: Some(path), errno } => {
                write!(f, "{operation}({}): {errno}", path.display())
            }
            Fact::System { operation, path: None, errno } => write!(f, "{operation}: {errno}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Fact::Text { reason, .. } => Some(reason),
            Fact::System { errno, .. } => Some(errno),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &*error.0 {
            Fact::System { errno, .. } => io::Error::from(*errno).kind(),
            Fact::Text { .. } => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
