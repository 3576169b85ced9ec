//! What can be wrong with a configuration.
//!
//! Kernel objects: none. Invariant: a problem has the place where it is; what is wrong there is a fact, not a sentence.

use std::fmt;

use crate::error::Position;
use crate::path::JsonPath;

/// One reason why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it is.
    pub path: JsonPath,
    /// What it is.
    pub flaw: Flaw,
    /// Where in the text it is, if it was found in one.
    pub position: Option<Position>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.path)?;
        if let Some(position) = self.position {
            write!(out, " ({position})")?;
        }
        write!(out, ": {}", self.flaw)
    }
}

impl std::error::Error for Problem {}

/// Texts of users are kept up to this many characters.
const TEXT_MAX: usize = 80;

/// A text that somebody wrote; of a longer one the first 80 characters and `…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// The beginning of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let end = text.char_indices().nth(TEXT_MAX).map(|(end, _)| end);
        let shortened = end.and_then(|end| text.get(..end)).map(|start| format!("{start}…"));
        Self(shortened.map_or_else(|| text.into(), Into::into))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

/// What is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Not of the type, or none of the names, that the specification has here; the text is the reader's.
    #[error("{}", .0.as_str())]
    Shape(Excerpt),
    /// A list where the specification has an object, or an object where it has a name.
    #[error("has another form than the specification's")]
    Form,
    /// It has to be there.
    #[error("is missing")]
    Missing,
    /// It has to hold something.
    #[error("is empty")]
    Empty,
    /// It holds a NUL byte, which the kernel takes for the end.
    #[error("holds a NUL byte")]
    Nul,
    /// It holds a character that means something else here.
    #[error("holds {0:?}")]
    Character(char),
    /// A path that has to start at the root.
    #[error("{0} is not an absolute path")]
    NotAbsolute(Excerpt),
    /// A path that goes up.
    #[error("{0} holds \"..\"")]
    GoesUp(Excerpt),
    /// More bytes than the kernel takes.
    #[error("is longer than {max} bytes")]
    TooLong {
        /// The most that it takes.
        max: usize,
    },
    /// More entries than the kernel takes.
    #[error("has more than {max} entries")]
    TooMany {
        /// The most that it takes.
        max: usize,
    },
    /// A number that the kernel does not take.
    #[error("{value} is not in {min}..={max}")]
    OutOfRange {
        /// The number.
        value: i128,
        /// The least.
        min: i128,
        /// The most.
        max: i128,
    },
    /// The same thing stands at an earlier place.
    #[error("is the same as {first}")]
    Duplicate {
        /// That place.
        first: JsonPath,
    },
    /// It cannot be had together with another setting.
    #[error("cannot be had together with {with}")]
    Contradicts {
        /// That setting.
        with: JsonPath,
    },
    /// It is larger than a setting that it has to be within.
    #[error("is more than {limit}")]
    MoreThan {
        /// That setting.
        limit: JsonPath,
    },
    /// It means nothing without another setting.
    #[error("needs {what}")]
    Needs {
        /// That setting.
        what: JsonPath,
    },
    /// It means nothing without a namespace of the container's own, or one that is joined.
    #[error("needs a namespace of type \"{0}\"")]
    NeedsNamespace(&'static str),
    /// Nothing has this name, or the text has not the form that it has to have.
    #[error("{found} is not {expected}")]
    NotA {
        /// The text.
        found: Excerpt,
        /// What it should be.
        expected: Expected,
    },
    /// A version of the specification that this crate does not know.
    #[error("{0} is not a version from 1.0.0 to 1.3.x")]
    Version(Excerpt),
    /// Id maps: an entry for no id at all, or one past the last id.
    #[error("maps no id, or one past 4294967294")]
    IdRange,
    /// Id maps: an id stands in two entries.
    #[error("overlaps with {first}")]
    Overlaps {
        /// The earlier entry.
        first: JsonPath,
    },
}

impl Flaw {
    /// The same with the places that it names moved.
    pub(crate) fn relocated(self, to: impl Fn(&JsonPath) -> JsonPath) -> Self {
        match self {
            Self::Duplicate { first } => Self::Duplicate { first: to(&first) },
            Self::Contradicts { with } => Self::Contradicts { with: to(&with) },
            Self::MoreThan { limit } => Self::MoreThan { limit: to(&limit) },
            Self::Needs { what } => Self::Needs { what: to(&what) },
            Self::Overlaps { first } => Self::Overlaps { first: to(&first) },
            other => other,
        }
    }
}

/// What a text should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Expected {
    /// `NAME=value`.
    #[error("NAME=value")]
    Variable,
    /// A list such as `0-3,7`.
    #[error("a list of numbers such as 0-3,7")]
    List,
    /// `slice:prefix:name`, or a path of a group.
    #[error("a path of a group, or slice:prefix:name")]
    CgroupsPath,
    /// A kernel parameter of a namespace.
    #[error("a kernel parameter that belongs to a namespace")]
    Sysctl,
    /// A clock with an offset.
    #[error("a clock that can have an offset (monotonic, boottime)")]
    Clock,
    /// A type of device node that can be made.
    #[error("a device node (b, c, u, p)")]
    DeviceNode,
    /// What may be done with a device.
    #[error("made of the letters r, w and m")]
    Access,
    /// A size of huge pages.
    #[error("a size of huge pages such as 2MB")]
    PageSize,
    /// A file of cgroup v2.
    #[error("an interface file of a controller of cgroup v2")]
    GroupFile,
    /// A name of a network interface.
    #[error("a name of a network interface")]
    Interface,
    /// How mount events spread.
    #[error("a propagation (shared, slave, private, unbindable)")]
    Propagation,
    /// A mount option with a value that means something.
    #[error("a mount option")]
    MountOption,
    /// Flags of execution domains.
    #[error("a flag of execution domains; there is none")]
    PersonalityFlag,
    /// Numeric ids.
    #[error("uid or uid:gid")]
    Ids,
    /// A class of Intel RDT.
    #[error("a name of a class of service")]
    ClosId,
}
