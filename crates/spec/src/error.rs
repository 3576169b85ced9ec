//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (every problem with its place, the path, the errno); sentences
//! are made in `Display` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::path::JsonPath;
use crate::problem::{Excerpt, Flaw, Problem};
use crate::read::DOCUMENT_MAX;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no JSON, ambiguous, or ends early; [`Error::problems`] says where.
    Malformed,
    /// The text is larger than 4 MiB.
    TooLarge,
    /// The JSON cannot be used; [`Error::problems`] lists every reason.
    Invalid,
    /// The file is not a regular file.
    NotAFile,
    /// There is no such file.
    NotFound,
    /// The kernel refused for want of permission.
    Denied,
    /// Another system call failed; see [`Error::errno`].
    System,
}

/// A line and a column of a text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)
    }
}

/// An error of this crate: opaque, with [`kind`](Self::kind), [`problems`](Self::problems), [`errno`](Self::errno) and
/// [`hint`](Self::hint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Fact>);

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Problems { kind: ErrorKind, problems: Vec<Problem> },
    TooLarge(usize),
    NotAFile(PathBuf),
    System { operation: &'static str, path: PathBuf, errno: i32 },
}

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EIO: i32 = 5;
const EACCES: i32 = 13;

impl Error {
    pub(crate) fn json(path: JsonPath, error: &serde_json::Error) -> Self {
        let position = Position { line: error.line(), column: error.column() };
        let sentence = error.to_string();
        // The reader's sentence ends with the position, which stands before it here.
        let end = sentence.rfind(" at line ").unwrap_or(sentence.len());
        let flaw = Flaw::Shape(Excerpt::of(sentence.get(..end).unwrap_or_default()));
        let problems = vec![Problem { path, flaw, position: Some(position) }];
        Self(Box::new(Fact::Problems { kind: ErrorKind::Malformed, problems }))
    }

    pub(crate) fn invalid(problems: Vec<Problem>) -> Self {
        Self(Box::new(Fact::Problems { kind: ErrorKind::Invalid, problems }))
    }

    pub(crate) fn too_large(bytes: usize) -> Self {
        Self(Box::new(Fact::TooLarge(bytes)))
    }

    pub(crate) fn not_a_file(path: &Path) -> Self {
        Self(Box::new(Fact::NotAFile(path.to_owned())))
    }

    pub(crate) fn system(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(EIO);
        Self(Box::new(Fact::System { operation, path: path.to_owned(), errno }))
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Problems { kind, .. } => *kind,
            Fact::TooLarge(_) => ErrorKind::TooLarge,
            Fact::NotAFile(_) => ErrorKind::NotAFile,
            Fact::System { errno: ENOENT, .. } => ErrorKind::NotFound,
            Fact::System { errno: EPERM | EACCES, .. } => ErrorKind::Denied,
            Fact::System { .. } => ErrorKind::System,
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

    /// Everything that is wrong with a document, in the order of the specification; empty for other errors.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &*self.0 {
            Fact::Problems { problems, .. } => problems,
            _ => &[],
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind() {
            ErrorKind::NotFound => "a bundle is a directory with a file config.json",
            ErrorKind::TooLarge => {
                "a configuration is a few tens of KiB; this file is something else"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Problems { problems, .. } => {
                for (index, problem) in problems.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(out, "{separator}{problem}")?;
                }
                Ok(())
            }
            Fact::TooLarge(bytes) => {
                write!(out, "{bytes} bytes of JSON, and no more than {DOCUMENT_MAX} are read")
            }
            Fact::NotAFile(path) => write!(out, "{}: is not a regular file", path.display()),
            Fact::System { operation, path, errno } => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(out, "{operation} {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problems().first().map(|first| first as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.errno() {
            Some(errno) => io::Error::from_raw_os_error(errno).kind(),
            None => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
