//! What errors are made of: facts, and the one sentence for each.
//!
//! Kernel objects: none. Invariant: a fact holds no sentence.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;

use super::flaw::Flaw;
use super::shown_ranges;
use crate::diff::OwnerRange;
use crate::digest::Digest;
use crate::ids::IdKind;
use crate::platform::Platform;
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
    /// A registry did not do what was asked.
    #[cfg(feature = "registry")]
    Registry { request: String, trouble: crate::registry::Trouble },
    /// A layer is wrong, or could not be written.
    Layer { name: Option<String>, offset: u64, trouble: Trouble },
    /// The caller is not root of a user namespace.
    Caller { kind: IdKind, id: u32, ranges: Vec<OwnerRange> },
    /// A compression that this build does not have.
    Compression { name: &'static str },
    /// A document is malformed.
    Document { what: &'static str, flaw: Flaw },
    /// A media type that is not known where it stands.
    MediaType { what: &'static str, media_type: String },
    /// A layer that is elsewhere.
    Foreign { digest: Digest, url: Option<String> },
    /// No image for the platform.
    Platform { wanted: Option<Platform>, offered: Vec<Platform> },
    /// Several images, and nothing that chooses one.
    Ambiguous { offered: Vec<String> },
    /// No image has the name.
    NotNamed { name: String, offered: Vec<String> },
    /// Something does not exist.
    Absent { what: &'static str, name: String },
    /// An instruction of a build was not done.
    Build { line: usize, instruction: String, trouble: crate::build::Trouble },
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
    #[error("something has to stand here")]
    Empty,
    #[error("this character may not stand here")]
    Unexpected,
    #[error("only lower-case letters may stand here")]
    UpperCase,
    #[error("only `.`, `_`, `__` or dashes may stand between letters and digits")]
    BadSeparator,
    #[error("not a port")]
    NotAPort,
    #[error("not an IPv6 address")]
    NotAnAddress,
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("a digest alone is no name: write `name@sha256:…`")]
    BareDigest,
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
            #[cfg(feature = "registry")]
            Self::Registry { request, trouble } => write!(f, "{request}: {trouble}"),
            Self::Layer { name: Some(name), offset, trouble } => {
                write!(f, "layer, member {name:?}, before byte {offset}: {trouble}")
            }
            Self::Layer { name: None, offset: 0, trouble } => write!(f, "layer: {trouble}"),
            Self::Layer { name: None, offset, trouble } => {
                write!(f, "layer, before byte {offset}: {trouble}")
            }
            Self::Caller { kind, id, ranges } => {
                let ranges = shown_ranges(ranges);
                write!(f, "the caller's {kind} {id} is not 0 in the ids at hand ({ranges})")
            }
            Self::Compression { name } => write!(f, "this build cannot read {name}"),
            Self::Document { what, flaw } => write!(f, "{what}: {flaw}"),
            Self::MediaType { what, media_type } => {
                write!(f, "{what}: the media type {media_type:?} is not supported")
            }
            Self::Foreign { digest, url } => {
                write!(f, "layer {digest} may not be distributed")?;
                url.as_ref().map_or(Ok(()), |url| write!(f, "; it is at {url:?}"))
            }
            Self::Platform { wanted, offered } => {
                let wanted = wanted.as_ref().map_or_else(|| "any".to_owned(), Platform::to_string);
                write!(f, "no image for the platform {wanted}; there is {}", list(offered))
            }
            Self::Ambiguous { offered } => write!(f, "several images: {}", list(offered)),
            Self::NotNamed { name, offered } => {
                write!(f, "there is no image {name:?}; there is {}", list(offered))
            }
            Self::Absent { what, name } => write!(f, "there is no {what} {name}"),
            Self::Build { line: 0, instruction, trouble } => write!(f, "{instruction}: {trouble}"),
            Self::Build { line, instruction, trouble } => {
                write!(f, "line {line}, {instruction}: {trouble}")
            }
            Self::System { operation, path: Some(path), errno } => {
                write!(f, "{operation}({}): {errno}", path.display())
            }
            Self::System { operation, path: None, errno } => write!(f, "{operation}: {errno}"),
        }
    }
}

/// What there is, as far as a reader wants to see it.
fn list<T: fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 20;
    let texts: Vec<String> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    match items.len() {
        0 => "none".to_owned(),
        len if len > SHOWN => format!("{}, and {} more", texts.join(", "), len - SHOWN),
        _ => texts.join(", "),
    }
}
