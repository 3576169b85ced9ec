//! What can be wrong with a layer, or with writing it.
//!
//! Kernel objects: none. Invariant: facts only; the member and the offset are added by whoever
//! knows them.

use rustix::io::Errno;

use super::quotas::Quota;
use crate::diff::OwnerRange;
use crate::error::{Error, ErrorKind};
use crate::ids::IdKind;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("it ends in the middle of a member")]
    Truncated,
    #[error("the checksum of a header is wrong")]
    Checksum,
    #[error("{0} is not a number, or out of range")]
    Number(&'static str),
    #[error("something follows the end of the archive")]
    AfterTheEnd,
    #[error("a single block of zeros stands between members")]
    LoneZeroBlock,
    #[error("a member of type {:?} is not known", char::from(*.0))]
    Type(u8),
    #[error("an extended header is malformed")]
    Record,
    #[error("{0} stands twice in front of one member")]
    Twice(&'static str),
    #[error("a global header sets {0:?} for every member")]
    Global(String),
    #[error("an extended header without a member")]
    NoMember,
    #[error("two sizes are given, {0} and {1}")]
    Sizes(u64, u64),
    #[error("a member that is no file has a content of {0} bytes")]
    Content(u64),
    #[error("the map of a sparse file is malformed")]
    SparseMap,
    #[error("the name {0}")]
    Name(NameTrouble),
    #[error("the target of a link {0}")]
    Target(NameTrouble),
    #[error("the target of a hard link is not in the layer")]
    NoTarget,
    #[error("a parent is not a directory")]
    ParentNotDirectory,
    #[error("the root is replaced by something that is not a directory")]
    RootNotDirectory,
    #[error("the name is reserved for whiteouts")]
    Whiteout,
    #[error("a device with the number 0:0 is how overlays write a whiteout")]
    WhiteoutDevice,
    #[error("devices are refused")]
    Device,
    #[error("more than {1} {0}")]
    Quota(Quota, u64),
    #[error("{0}")]
    Decoder(String),
    #[error("its owner {0} has no number in the layer")]
    Owner(u32),
    #[error("its {kind} {id} is none of the ids at hand ({})", crate::error::shown_ranges(ranges))]
    NotMapped { kind: IdKind, id: u32, ranges: Vec<OwnerRange> },
    #[error("it changes while it is read")]
    Changed,
    #[error("an overlay with {0} keeps a part of it in another layer")]
    Overlay(&'static str),
    #[error("{0}: {1}")]
    System(&'static str, Errno),
    /// An error that came through the stream.
    #[error(transparent)]
    Stream(Box<Error>),
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameTrouble {
    #[error("is empty")]
    Empty,
    #[error("has a zero byte")]
    Nul,
    #[error("goes up with `..`")]
    Up,
    #[error("ends with a slash but is no directory")]
    Slash,
}

impl Trouble {
    /// The kind of the error that this becomes.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Quota(..) => ErrorKind::QuotaExceeded,
            Self::Name(_)
            | Self::Target(_)
            | Self::NoTarget
            | Self::ParentNotDirectory
            | Self::RootNotDirectory
            | Self::Whiteout
            | Self::WhiteoutDevice
            | Self::Owner(_)
            | Self::Device => ErrorKind::UnsafeLayer,
            Self::NotMapped { .. } => ErrorKind::NotMapped,
            Self::Changed => ErrorKind::InUse,
            Self::Overlay(_) => ErrorKind::Unsupported,
            Self::System(_, errno) => crate::error::kind_of(*errno),
            Self::Stream(error) => error.kind(),
            _ => ErrorKind::InvalidArchive,
        }
    }

    /// The errno of the system call that failed, if one did.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::System(_, errno) => Some(*errno),
            _ => None,
        }
    }

    /// For `map_err`: `operation` failed.
    pub(crate) fn of(operation: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System(operation, errno)
    }

    /// An error of the stream that is read.
    pub(crate) fn stream(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::Stream(Box::new(error.clone())),
            None => Self::System("read", crate::error::errno_of(error)),
        }
    }
}
