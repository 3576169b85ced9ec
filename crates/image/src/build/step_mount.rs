//! What a workshop mounts for one program.
//!
//! Kernel objects: none here. Invariant: a secret is not shown by `Debug`.

use std::fmt;
use std::path::PathBuf;

use crate::containerfile::MountAccess;

/// A mount for one program of a build; it is no part of the image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepMount {
    /// Where: absolute, without `..`.
    pub target: PathBuf,
    /// What.
    pub kind: StepMountKind,
}

/// What is mounted.
#[derive(Clone)]
#[non_exhaustive]
pub enum StepMountKind {
    /// A file or directory of the host.
    Bind {
        /// Its absolute path.
        source: PathBuf,
        /// Whether the program may write to it.
        access: MountAccess,
    },
    /// Directories of the host as one tree, the uppermost first.
    Layers {
        /// At least two of them.
        lower: Vec<PathBuf>,
        /// Where changes go; without it the tree is read-only.
        upper: Option<PathBuf>,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// How many bytes fit; otherwise half of the memory.
        size: Option<u64>,
    },
    /// A read-only file in memory, of user 0.
    File {
        /// Its content.
        bytes: Vec<u8>,
        /// Its mode.
        mode: u32,
    },
}

impl fmt::Debug for StepMountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { source, access } => {
                f.debug_struct("Bind").field("source", source).field("access", access).finish()
            }
            Self::Layers { lower, upper } => {
                f.debug_struct("Layers").field("lower", lower).field("upper", upper).finish()
            }
            Self::Tmpfs { size } => f.debug_struct("Tmpfs").field("size", size).finish(),
            Self::File { mode, .. } => {
                f.debug_struct("File").field("mode", mode).finish_non_exhaustive()
            }
        }
    }
}
