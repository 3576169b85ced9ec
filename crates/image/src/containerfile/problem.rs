//! What can be wrong with a build file, with the line where it stands.
//!
//! Kernel objects: none. Invariant: facts only; the sentence is made in `Display`.

use std::fmt;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    line: usize,
    kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A word that is no instruction.
    #[error("unknown instruction {0:?}")]
    UnknownInstruction(String),
    /// An instruction that is known and cannot be done.
    #[error("{instruction} with {what} is not supported")]
    Unsupported {
        /// The instruction.
        instruction: &'static str,
        /// The part of it.
        what: String,
    },
    /// An option that the instruction does not have.
    #[error("{instruction} has no option {option:?}")]
    UnknownOption {
        /// The instruction.
        instruction: &'static str,
        /// The option, with its dashes.
        option: String,
    },
    /// An option that a mount of this type does not have.
    #[error("a mount of type {kind} has no option {option:?}")]
    MountOption {
        /// The type.
        kind: &'static str,
        /// The option.
        option: String,
    },
    /// An option without a value, or given twice.
    #[error("the option {0:?} is wanted once, with a value")]
    Option(String),
    /// Too few or too many arguments.
    #[error("{instruction} wants {wanted}")]
    Arguments {
        /// The instruction.
        instruction: &'static str,
        /// What it wants.
        wanted: &'static str,
    },
    /// A JSON array with something in it that is no string.
    #[error("an array of strings is wanted")]
    NotStrings,
    /// A value that does not parse.
    #[error("{what} cannot be {text:?}")]
    Value {
        /// What is wanted.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// A parser directive that is unknown to this place, or given twice.
    #[error("the directive {0:?} is given twice or has a bad value")]
    Directive(String),
    /// A quotation mark without its partner.
    #[error("a quotation mark {0} has no end")]
    Quote(char),
    /// `${` without its `}` or with a name that is none.
    #[error("the variable in {0:?} does not parse")]
    Variable(String),
    /// `${name:?message}` of a variable that is not set.
    #[error("{name} is not set: {message}")]
    Unset {
        /// The variable.
        name: String,
        /// The file's own words.
        message: String,
    },
    /// A here-document without its last line.
    #[error("the here-document {0:?} has no end")]
    HereDocument(String),
    /// A pattern that does not parse.
    #[error("the pattern {0:?} does not end")]
    Pattern(String),
    /// An instruction before the first FROM.
    #[error("{0} stands before the first FROM")]
    BeforeFrom(&'static str),
    /// No FROM at all.
    #[error("there is no FROM")]
    NoStage,
    /// Two stages with one name.
    #[error("there is a stage {0:?} already")]
    DuplicateStage(String),
    /// An instruction that ONBUILD cannot hold.
    #[error("ONBUILD cannot hold {0}")]
    OnBuild(&'static str),
    /// Bytes that are not text.
    #[error("not UTF-8")]
    NotText,
    /// The file is too long.
    #[error("longer than {0} bytes")]
    TooLong(usize),
}

impl Problem {
    pub(crate) fn new(line: usize, kind: ProblemKind) -> Self {
        Self { line, kind }
    }

    /// The line, the first being 1; 0 for the whole file.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ProblemKind {
        &self.kind
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        self.kind.fmt(f)
    }
}
