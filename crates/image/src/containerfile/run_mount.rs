//! `RUN --mount`: what a program sees besides the image, as data.
//!
//! Kernel objects: none. Invariant: nothing of it is part of the image.

use std::fmt;

use super::expand::Word;

/// Mode of a new cache.
pub(super) const CACHE_MODE: u32 = 0o755;

/// Mode of a secret.
pub(super) const SECRET_MODE: u32 = 0o400;

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
    /// Any of them; those below are what most programs need.
    #[must_use]
    pub fn new(target: Option<Word>, kind: RunMountKind) -> Self {
        Self { target, kind }
    }

    /// A path of the build's directory (`.` is all of it), read-only.
    #[must_use]
    pub fn bind(source: &str, target: &str) -> Self {
        Self::of(target, read_only(None, source))
    }

    /// A path of another image (`/` is all of it), read-only.
    #[must_use]
    pub fn bind_from(image: &str, source: &str, target: &str) -> Self {
        Self::of(target, read_only(Some(Word::literal(image)), source))
    }

    /// A directory that later builds find as it was left, known by its target, mode 0755.
    #[must_use]
    pub fn cache(target: &str) -> Self {
        let (sharing, access) = (Sharing::Shared, MountAccess::ReadWrite);
        Self::of(target, RunMountKind::Cache { id: None, sharing, access, mode: CACHE_MODE })
    }

    /// An empty directory in memory.
    #[must_use]
    pub fn tmpfs(target: &str) -> Self {
        Self::of(target, RunMountKind::Tmpfs { size: None })
    }

    /// A secret of [`Build::secret`](crate::build::Build::secret) as the file `/run/secrets/ID`, mode 0400; the build fails
    /// without it.
    #[must_use]
    pub fn secret(id: &str) -> Self {
        let (id, need) = (Some(Word::literal(id)), Need::Required);
        Self::new(None, RunMountKind::Secret { id, need, mode: SECRET_MODE })
    }

    fn of(target: &str, kind: RunMountKind) -> Self {
        Self::new(Some(Word::literal(target)), kind)
    }
}

fn read_only(from: Option<Word>, source: &str) -> RunMountKind {
    RunMountKind::Bind { from, source: Some(Word::literal(source)), access: MountAccess::ReadOnly }
}

/// The words of an instruction that say the same: `--mount=type=tmpfs,target=/x`.
impl fmt::Display for RunMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |f: &mut fmt::Formatter<'_>, name: &str, word: &Option<Word>| match word {
            Some(word) => write!(f, ",{name}={}", word.as_written()),
            None => Ok(()),
        };
        write!(f, "--mount=type={}", self.kind.name())?;
        match &self.kind {
            RunMountKind::Bind { from, source, access } => {
                word(f, "from", from)?;
                word(f, "source", source)?;
                f.write_str(if *access == MountAccess::ReadWrite { ",rw" } else { "" })?;
            }
            RunMountKind::Cache { id, sharing, access, mode } => {
                word(f, "id", id)?;
                f.write_str(if *sharing == Sharing::Locked { ",sharing=locked" } else { "" })?;
                f.write_str(if *access == MountAccess::ReadOnly { ",ro" } else { "" })?;
                write!(f, ",mode={mode:o}")?;
            }
            RunMountKind::Tmpfs { size } => {
                size.map_or(Ok(()), |size| write!(f, ",size={size}"))?;
            }
            RunMountKind::Secret { id, need, mode } => {
                word(f, "id", id)?;
                f.write_str(if *need == Need::Required { ",required" } else { "" })?;
                write!(f, ",mode={mode:o}")?;
            }
        }
        word(f, "target", &self.target)
    }
}

impl RunMountKind {
    /// Its type's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Cache { .. } => "cache",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Secret { .. } => "secret",
        }
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
