//! Why a build did not come to its end.
//!
//! Kernel objects: none. Invariant: facts; the line stands beside them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::workshop::{Foreign, RunEnd};
use crate::containerfile::{Problem, ProblemKind};
use crate::diff::OwnerRange;
use crate::error::{Error, ErrorKind, Fact};
use crate::ids::IdKind;

/// What went wrong with one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The file does not parse.
    Syntax(Vec<Problem>),
    /// A word of it cannot be expanded, or means nothing.
    Word(ProblemKind),
    /// A program failed.
    Ended { argv: Vec<String>, end: RunEnd },
    /// The workshop failed.
    Workshop(Shared),
    /// A source of COPY matches nothing.
    NoSource(String),
    /// Several sources for what is no directory.
    NotADirectory(String),
    /// No such stage.
    NoStage(String),
    /// No context was given.
    NoContext,
    /// No secret of this name was given.
    NoSecret(String),
    /// Something that cannot be done here.
    Unsupported(&'static str),
    /// An owner that the ids at hand do not have.
    NotMapped { kind: IdKind, id: u32, ranges: Vec<OwnerRange> },
    /// Another error of this crate.
    Inner(Error),
}

/// An error of somebody else.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<dyn std::error::Error + Send + Sync>);

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shared {}

impl Trouble {
    /// What kind of error it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax(_) | Self::Word(_) | Self::NoStage(_) | Self::NotADirectory(_) => {
                ErrorKind::InvalidContainerfile
            }
            Self::Ended { .. } => ErrorKind::CommandFailed,
            Self::Workshop(_) => ErrorKind::Workshop,
            Self::NoSource(_) | Self::NoContext | Self::NoSecret(_) => ErrorKind::NotFound,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::NotMapped { .. } => ErrorKind::NotMapped,
            Self::Inner(error) => error.kind(),
        }
    }

    /// The error behind it.
    pub(crate) fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Workshop(error) => Some(&*error.0),
            Self::Inner(error) => Some(error),
            Self::Word(kind) => Some(kind),
            _ => None,
        }
    }

    /// With the place where it stands.
    pub(crate) fn at(self, line: usize, instruction: &str) -> Error {
        let instruction = crate::error::clipped(instruction);
        Fact::Build { line, instruction, trouble: self }.into()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(problems) => {
                for (at, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if at > 0 { "; " } else { "" })?;
                }
                Ok(())
            }
            Self::Word(kind) => kind.fmt(f),
            Self::Ended { argv, end: RunEnd::Exited(status) } => {
                write!(f, "{argv:?} ended with status {status}")
            }
            Self::Ended { argv, end: RunEnd::Otherwise(how) } => write!(f, "{argv:?}: {how}"),
            Self::Workshop(error) => error.0.fmt(f),
            Self::NoSource(text) => write!(f, "nothing matches {text:?}"),
            Self::NotADirectory(text) => {
                write!(f, "several sources need a destination that ends in a slash, not {text:?}")
            }
            Self::NoStage(text) => write!(f, "there is no stage {text:?} before this one"),
            Self::NoContext => f.write_str("no directory was given to copy from"),
            Self::NoSecret(id) => write!(f, "no secret {id:?} was given"),
            Self::Unsupported(what) => write!(f, "{what} cannot be done"),
            Self::NotMapped { kind, id, ranges } => {
                let ranges = crate::error::shown_ranges(ranges);
                write!(f, "{kind} {id} is none of the ids at hand ({ranges})")
            }
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Inner(error)
    }
}

impl From<ProblemKind> for Trouble {
    fn from(kind: ProblemKind) -> Self {
        Self::Word(kind)
    }
}

impl From<Foreign> for Trouble {
    fn from(error: Foreign) -> Self {
        Self::Workshop(Shared(error.into()))
    }
}

/// A failed system call within a tree.
pub(super) fn call(
    operation: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(rustix::io::Errno) -> Trouble {
    let path = path.into();
    move |errno| Trouble::Inner(Error::at(operation, &path, errno))
}
