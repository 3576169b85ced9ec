//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (which text and where, which digest, which
//! file, the errno); sentences are made in `Display` only.

mod fact;
mod flaw;

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::descriptor::Descriptor;
use crate::diff::OwnerRange;
use crate::digest::{DIGEST, Digest};
use crate::ids::IdKind;
use crate::media_type::MediaType;
use crate::platform::{PLATFORM, Platform};
use crate::reference::Reference;
use crate::unpack::trouble::Trouble;
pub(crate) use fact::{Fact, Reason};
pub(crate) use flaw::Flaw;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text is not a reference to an image; [`Error::offset`] says where it goes wrong.
    InvalidReference,
    /// A text is not a digest; [`Error::offset`] says where it goes wrong.
    InvalidDigest,
    /// A text is not a platform; [`Error::offset`] says where it goes wrong.
    InvalidPlatform,
    /// A manifest, an index or a configuration is malformed, contradicts itself, or is too large.
    InvalidDocument,
    /// An archive (tar, gzip, zstd) is malformed, cut off, or has something after its end.
    InvalidArchive,
    /// A layer asks for something outside its root, for what is reserved, or for a device that the
    /// policy refuses.
    UnsafeLayer,
    /// Content has a media type that this crate does not know.
    UnsupportedMediaType,
    /// A layer that has to be fetched from elsewhere.
    ForeignLayer,
    /// Content does not have the digest that was promised.
    DigestMismatch,
    /// Content does not have the size that was promised.
    SizeMismatch,
    /// The image exists, but not for this platform.
    NoMatchingPlatform,
    /// More than one image fits: a reference or a platform has to be given.
    Ambiguous,
    /// A file, a blob or an image does not exist.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// A limit on bytes, entries, depth or length was reached.
    QuotaExceeded,
    /// The file system, or the quota of the user, is full.
    NoSpace,
    /// Somebody uses it.
    InUse,
    /// The kernel refused for want of permission.
    Denied,
    /// A file's owner is an id that the [`MappedIds`](crate::MappedIds) at hand do not have.
    NotMapped,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The kernel or the file system does not have what is needed.
    Unsupported,
    /// A registry wants credentials, or other ones (HTTP 401 or 403).
    Unauthorized,
    /// A registry has had too many requests (HTTP 429).
    RateLimited,
    /// A registry answered with a failure or with what is no answer.
    Registry,
    /// A registry could not be reached, or the connection broke more often than was tried.
    Network,
    /// A registry's certificate is not trusted, or its connection is not encrypted as it must be.
    Certificate,
    /// Nothing came for too long.
    Timeout,
    /// A build file does not parse, or says what cannot be; [`Error::problems`] lists what does not parse.
    InvalidContainerfile,
    /// A program of a build failed.
    CommandFailed,
    /// Who mounts layers and runs programs for a build reports an error: [`std::error::Error::source`] is it.
    Workshop,
    /// Another system call failed; see [`Error::errno`].
    System,
}

/// An error of this crate: opaque, with [`kind`](Self::kind), [`errno`](Self::errno),
/// [`offset`](Self::offset) and [`hint`](Self::hint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Fact>);

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Texts that come from outside are kept up to this many characters.
const TEXT_MAX: usize = 120;

/// Ranges as an error shows them.
pub(crate) fn shown_ranges(ranges: &[OwnerRange]) -> String {
    let texts: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(" ") }
}

/// `text` as it is kept in an error.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

impl Error {
    /// `text` is not a valid `what`: it goes wrong at byte `offset`.
    pub(crate) fn text(what: &'static str, text: &str, offset: usize, reason: Reason) -> Self {
        Fact::Text { what, text: clipped(text), offset, reason }.into()
    }

    /// The caller is not root of the user namespace.
    pub(crate) fn caller_not_mapped(kind: IdKind, id: u32, ranges: &[OwnerRange]) -> Self {
        Fact::Caller { kind, id, ranges: ranges.to_vec() }.into()
    }

    /// Content has another digest than promised.
    pub(crate) fn mismatch(what: &'static str, expected: Digest, found: Digest) -> Self {
        Fact::Mismatch { what, expected, found }.into()
    }

    /// Content has another length than promised.
    pub(crate) fn size(what: &'static str, digest: Digest, expected: u64, found: u64) -> Self {
        Fact::Size { what, digest, expected, found }.into()
    }

    /// A document is malformed.
    pub(crate) fn document(what: &'static str, flaw: Flaw) -> Self {
        Fact::Document { what, flaw }.into()
    }

    /// A document is no JSON, or not the right one.
    pub(crate) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self::document(what, Flaw::json(error))
    }

    /// `media_type` is not known where it stands.
    pub(crate) fn media_type(what: &'static str, media_type: &MediaType) -> Self {
        Fact::MediaType { what, media_type: clipped(media_type.as_str()) }.into()
    }

    /// A layer that would have to be fetched from elsewhere.
    pub(crate) fn foreign(layer: &Descriptor) -> Self {
        let url = layer.urls.first().map(|url| clipped(url));
        Fact::Foreign { digest: layer.digest, url }.into()
    }

    /// There is no image for `wanted`, but for `offered`.
    pub(crate) fn no_platform(wanted: Option<Platform>, offered: Vec<Platform>) -> Self {
        Fact::Platform { wanted, offered }.into()
    }

    /// There are several images.
    pub(crate) fn ambiguous(offered: Vec<String>) -> Self {
        Fact::Ambiguous { offered }.into()
    }

    /// A failed call of the standard library on `path`.
    pub(crate) fn io(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::at(operation, path, errno_of(error))
    }

    /// Reading or writing a stream failed; an error of ours in it is taken out again.
    pub(crate) fn stream(operation: &'static str, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Fact::System { operation, path: None, errno: errno_of(&error) }.into(),
        }
    }

    /// A store has no such image.
    pub(crate) fn no_image(reference: &Reference) -> Self {
        Fact::Absent { what: "image", name: reference.to_string() }.into()
    }

    /// Nothing has this name; these there are.
    pub(crate) fn not_named(name: &str, offered: Vec<String>) -> Self {
        Fact::NotNamed { name: clipped(name), offered }.into()
    }

    /// There is no such thing of this digest.
    pub(crate) fn absent(what: &'static str, digest: Digest) -> Self {
        Fact::Absent { what, name: digest.to_string() }.into()
    }

    /// A system call failed on `path`.
    pub(crate) fn at(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Fact::System { operation, path: Some(path.to_owned()), errno }.into()
    }

    /// The error of this crate that stands within one of the standard library, such as a reader gives.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).cloned()
    }

    /// A system call failed, on no path.
    pub(crate) fn call(operation: &'static str, errno: Errno) -> Self {
        Fact::System { operation, path: None, errno }.into()
    }

    /// A layer is wrong, or could not be written: at the byte `offset` of its uncompressed form, in
    /// the member `name`.
    pub(crate) fn layer(name: Option<&[u8]>, offset: u64, trouble: Trouble) -> Self {
        match trouble {
            Trouble::Stream(error) => *error,
            trouble => {
                let name = name.map(|name| clipped(&String::from_utf8_lossy(name)));
                Fact::Layer { name, offset, trouble }.into()
            }
        }
    }

    /// Everything that is wrong with a build file.
    #[must_use]
    pub fn problems(&self) -> &[crate::containerfile::Problem] {
        match &*self.0 {
            Fact::Build { trouble: crate::build::Trouble::Syntax(problems), .. } => problems,
            _ => &[],
        }
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Text { what: DIGEST, .. } => ErrorKind::InvalidDigest,
            Fact::Text { what: PLATFORM, .. } => ErrorKind::InvalidPlatform,
            Fact::Text { .. } => ErrorKind::InvalidReference,
            Fact::Mismatch { .. } => ErrorKind::DigestMismatch,
            Fact::Size { .. } => ErrorKind::SizeMismatch,
            #[cfg(feature = "registry")]
            Fact::Registry { trouble, .. } => trouble.kind(),
            Fact::Build { trouble, .. } => trouble.kind(),
            Fact::Layer { trouble, .. } => trouble.kind(),
            Fact::Caller { .. } => ErrorKind::NotMapped,
            Fact::Compression { .. } => ErrorKind::UnsupportedMediaType,
            Fact::Document { .. } => ErrorKind::InvalidDocument,
            Fact::MediaType { .. } => ErrorKind::UnsupportedMediaType,
            Fact::Foreign { .. } => ErrorKind::ForeignLayer,
            Fact::Platform { .. } => ErrorKind::NoMatchingPlatform,
            Fact::Ambiguous { .. } => ErrorKind::Ambiguous,
            Fact::Absent { .. } | Fact::NotNamed { .. } => ErrorKind::NotFound,
            Fact::System { errno, .. } => kind_of(*errno),
        }
    }

    /// The errno of the system call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.system_errno().map(Errno::raw_os_error)
    }

    fn system_errno(&self) -> Option<Errno> {
        match &*self.0 {
            Fact::System { errno, .. } => Some(*errno),
            Fact::Layer { trouble, .. } => trouble.errno(),
            _ => None,
        }
    }

    /// The byte at which a text goes wrong, counted from zero.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        match &*self.0 {
            Fact::Text { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// The digest that content was promised to have, and the one that it has.
    #[must_use]
    pub fn digests(&self) -> Option<(Digest, Digest)> {
        match &*self.0 {
            Fact::Mismatch { expected, found, .. } => Some((*expected, *found)),
            _ => None,
        }
    }

    /// For which platforms there are images, if there is none for the one that was wanted.
    #[must_use]
    pub fn platforms(&self) -> &[Platform] {
        match &*self.0 {
            Fact::Platform { offered, .. } => offered,
            _ => &[],
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind() {
            ErrorKind::DigestMismatch | ErrorKind::SizeMismatch => {
                "the content was damaged or replaced on its way: fetch it again"
            }
            ErrorKind::Unauthorized => {
                "log in (`podman login` or `docker login`), or check the name: many registries say so of images that \
                 are not there"
            }
            ErrorKind::RateLimited => {
                "wait, or log in: registries allow more to those that they know"
            }
            ErrorKind::Certificate => {
                "add the registry's authority, or say that it is reached by plain HTTP"
            }
            ErrorKind::NoSpace => "free space, or gc() the store, then do the same again",
            _ => return None,
        })
    }
}

impl From<Fact> for Error {
    fn from(fact: Fact) -> Self {
        Self(Box::new(fact))
    }
}

/// The errno of an error of the standard library.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// The kind of a plain failed system call.
pub(crate) fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
        Errno::ROFS => ErrorKind::ReadOnly,
        Errno::BUSY => ErrorKind::InUse,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        _ => ErrorKind::System,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Fact::Text { reason, .. } => Some(reason),
            Fact::Document { flaw, .. } => Some(flaw),
            Fact::System { errno, .. } => Some(errno),
            Fact::Layer { trouble, .. } => Some(trouble),
            Fact::Build { trouble, .. } => trouble.source(),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.system_errno(), error.kind()) {
            (Some(errno), _) => io::Error::from(errno).kind(),
            (None, ErrorKind::NotFound | ErrorKind::NoMatchingPlatform) => io::ErrorKind::NotFound,
            (None, ErrorKind::InUse) => io::ErrorKind::ResourceBusy,
            (None, ErrorKind::Unsupported | ErrorKind::UnsupportedMediaType) => {
                io::ErrorKind::Unsupported
            }
            (None, ErrorKind::QuotaExceeded) => io::ErrorKind::QuotaExceeded,
            (None, ErrorKind::InvalidReference | ErrorKind::InvalidPlatform) => {
                io::ErrorKind::InvalidInput
            }
            (None, _) => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
