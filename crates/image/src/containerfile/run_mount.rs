//! `RUN --mount`: what a program sees besides the image, as data.
//!
//! Kernel objects: none. Invariant: nothing of it is part of the image.

use super::expand::Word;

/// `RUN --mount=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunMount {
    /// Where: absolute, or from the working directory on. Only a secret has none, which is then `/run/secrets/ID`.
    pub target: Option<Word>,
    /// What.
    pub kind: RunMountKind,
}

impl RunMount {
    pub(crate) fn new(target: Option<Word>, kind: RunMountKind) -> Self {
        Self { target, kind }
    }
}

/// What is mounted for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunMountKind {
    /// Files of the build's directory, of another stage or of an image.
    Bind {
        /// The stage or image; otherwise the build's directory.
        from: Option<Word>,
        /// A path in it; otherwise all of it.
        source: Option<Word>,
        /// Whether the program may write; what it writes is thrown away.
        access: MountAccess,
    },
    /// A directory that later builds find as it was left.
    Cache {
        /// What it is known by; otherwise the target.
        id: Option<Word>,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// Whether the program may write.
        access: MountAccess,
        /// The mode of the directory when it is made.
        mode: u32,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// How much fits, in bytes; otherwise half of the memory.
        size: Option<u64>,
    },
    /// A file that the build was given ([`Build::secret`](crate::build::Build::secret)).
    Secret {
        /// Its name there; otherwise the target's last component.
        id: Option<Word>,
        /// What happens without it.
        need: Need,
        /// Its mode.
        mode: u32,
    },
}

/// Whether a program may write to a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountAccess {
    /// It may not.
    ReadOnly,
    /// It may.
    ReadWrite,
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One program after the other.
    Locked,
}

/// What happens without a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// The program does not see the file.
    #[default]
    Optional,
    /// The build fails.
    Required,
}
