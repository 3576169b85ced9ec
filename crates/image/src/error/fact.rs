//! What errors are made of: facts, and the one sentence for each.
//!
//! Kernel objects: none. Invariant: a fact holds no sentence.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::digest::Digest;
use crate::unpack::trouble::Trouble;

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A text is malformed.
    Text { what: &'static str, text: String, offset: usize, reason: Reason },
    /// Content has another digest than promised.
    Mismatch { what: &'static str, expected: Digest, found: Digest },
    /// Content has another length than promised, in bytes.
    Size { what: &'static str, digest: Digest, expected: u64, found: u64 },
    /// A layer is wrong, or could not be written.
    Layer { name: Option<String>, offset: u64, trouble: Trouble },
    /// A compression that this build does not have.
    Compression { name: &'static str },
    /// A system call failed.
    System { operation: &'static str, path: Option<PathBuf>, errno: Errno },
}

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("`{0}` is missing")]
    Lacks(char),
    #[error("the algorithm is neither sha256 nor sha512")]
    UnknownAlgorithm,
    #[error("only the digits 0-9 and a-f may stand here")]
    NotLowerHex,
    #[error("{wanted} digits are needed, not {found}")]
    Digits { wanted: usize, found: usize },
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { what, text, offset, reason } => {
                write!(f, "{what} {text:?}, at byte {offset}: {reason}")
            }
            Self::Mismatch { what, expected, found } => {
                write!(f, "{what}: the digest is {found}, not {expected}")
            }
            Self::Size { what, digest, expected, found } => {
                write!(f, "{what} {digest}: {found} bytes, not {expected}")
            }
            Self::Layer { name: Some(name), offset, trouble } => {
                write!(f, "layer, member {name:?}, before byte {offset}: {trouble}")
            }
            Self::Layer { name: None, offset: 0, trouble } => write!(f, "layer: {trouble}"),
            Self::Layer { name: None, offset, trouble } => {
                write!(f, "layer, before byte {offset}: {trouble}")
            }
            Self::Compression { name } => write!(f, "this build cannot read {name}"),
            Self::System { operation, path: Some(path), errno } => {
                write!(f, "{operation}({}): {errno}", path.display())
            }
            Self::System { operation, path: None, errno } => write!(f, "{operation}: {errno}"),
        }
    }
}
