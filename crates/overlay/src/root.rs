//! What the root file system is made from, and what happens to what is written to it.
//!
//! Kernel objects: none; pure data. Invariant: every pair of [`Base`] and [`Root`] has one meaning, or is refused.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the root file system shows before anything is mounted in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Base {
    /// Nothing: a new tmpfs.
    #[default]
    Empty,
    /// A directory of the host. Device nodes in it cannot be opened: the root is mounted with `NODEV`.
    Directory(PathBuf),
    /// Directories of the host, the uppermost first, as overlayfs shows them together; at most 500. A single one is the
    /// same as [`Base::Directory`]; more cannot be used [`Root::InPlace`].
    Layers(Vec<PathBuf>),
    /// The caller's own mounts, in a mount namespace of their own; only with [`Root::InPlace`].
    Keep,
}

impl Base {
    /// The directories of the host that it is made from, the uppermost first.
    #[must_use]
    pub fn layers(&self) -> &[PathBuf] {
        match self {
            Self::Directory(directory) => std::slice::from_ref(directory),
            Self::Layers(layers) => layers,
            Self::Empty | Self::Keep => &[],
        }
    }
}

/// What happens to what the payload writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Root {
    /// It cannot write.
    #[default]
    ReadOnly,
    /// It is kept in memory, and lost at the end.
    ///
    /// Over a directory in a user namespace it takes Linux 6.6 to be complete: before, a tmpfs has no `user` attributes, so
    /// that the kernel answers `EIO` where a directory of the layers below is removed, or one is made where one was.
    Ephemeral {
        /// How much fits, in bytes.
        size: u64,
    },
    /// It is kept in this directory, the upper layer of an overlay; the work directory stands beside it, with
    /// `.work` after its name. Both are made when they are missing. Its name may not hold `,` `:` or `\`.
    ///
    /// The kernel leaves an empty directory of mode 0 in the work directory; an ordinary user removes it with
    /// rmdir(2) before removing the rest.
    Persistent(PathBuf),
    /// It changes the directory itself.
    InPlace,
}
