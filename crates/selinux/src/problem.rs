//! What can be wrong with a context.
//!
//! Kernel objects: none. Invariant: each problem names the part and its text, shortened.

use std::fmt;

use crate::level::Level;

/// Why a text is no context, level, or set of categories. Texts are shortened to 80 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It has fewer than three parts.
    #[error("{text:?} is not user:role:type[:range]")]
    Parts {
        /// The text.
        text: String,
    },
    /// A part is empty or has a character that no policy has in names.
    #[error("{name:?} cannot be the {part} of a context")]
    Name {
        /// Which part.
        part: Part,
        /// The text.
        name: String,
    },
    /// It is longer than the 4095 bytes that the kernel takes.
    #[error("{bytes} bytes are more than a context can have")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Not `s` with a number.
    #[error("{text:?} is not a sensitivity such as s0")]
    Sensitivity {
        /// The text.
        text: String,
    },
    /// Not `c` with a number up to 1023.
    #[error("{text:?} is not a category c0 to c1023")]
    Category {
        /// The text.
        text: String,
    },
    /// A run of categories whose end is before its start.
    #[error("the categories c{first}.c{last} descend")]
    Descending {
        /// The start.
        first: u16,
        /// The end.
        last: u16,
    },
    /// The upper level of a range lacks something of the lower one.
    #[error("{high} does not dominate {low}")]
    NotDominating {
        /// The lower level.
        low: Box<Level>,
        /// The upper level.
        high: Box<Level>,
    },
    /// Not two categories.
    #[error("{text:?} is not a pair of categories such as c1,c2")]
    Pair {
        /// The text.
        text: String,
    },
}

/// A part of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The SELinux user.
    User,
    /// The role.
    Role,
    /// The type.
    Type,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::User => "user",
            Self::Role => "role",
            Self::Type => "type",
        })
    }
}

impl Problem {
    pub(crate) fn parts(text: &str) -> Self {
        Self::Parts { text: shortened(text) }
    }

    pub(crate) fn name(part: Part, name: &str) -> Self {
        Self::Name { part, name: shortened(name) }
    }

    pub(crate) fn sensitivity(text: &str) -> Self {
        Self::Sensitivity { text: shortened(text) }
    }

    pub(crate) fn category(text: &str) -> Self {
        Self::Category { text: shortened(text) }
    }

    pub(crate) fn not_a_pair(text: &str) -> Self {
        Self::Pair { text: shortened(text) }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
