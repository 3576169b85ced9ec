//! What is wrong with a file system's settings, or with what they name on this host.
//!
//! Invariant: every problem is found before anything runs, and all of them are listed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A path in the container is not absolute.
    TargetNotAbsolute,
    /// A path in the container has a `..`.
    TargetEscapes,
    /// The root itself is no target.
    TargetIsRoot,
    /// A target is missing below a read-only mount, where it cannot be made.
    TargetMissing,
    /// A target cannot be looked at.
    TargetUnusable,
    /// A path of the host is not absolute.
    SourceNotAbsolute,
    /// A path of the host does not exist.
    SourceMissing,
    /// A path of the host cannot be opened.
    SourceUnusable,
    /// A path of the host is not a directory.
    SourceNotDirectory,
    /// The root is not a directory.
    RootNotDirectory,
    /// This [`crate::Root`] does not go with this [`crate::Base`].
    RootNotSupported,
    /// The host's process is in a chroot whose directory is no mount: what is mounted there could spread to others.
    RootNotMount,
    /// A path holds a NUL byte.
    NulByte,
    /// A path is longer than 4 095 bytes, or one of its names longer than 255.
    PathTooLong,
    /// An overlay without upper layer needs two lower ones, one with it needs one.
    TooFewLayers,
    /// An overlay's upper and work directories are not beside each other.
    WorkApart,
    /// An upper layer's name has a character that overlay options cannot hold, or is too long.
    LayerName,
    /// Owners can be mapped only by a privileged host and with the container's user namespace.
    IdMapUnavailable,
    /// There are mounts below a directory that an ordinary user may not uncover.
    SubmountsLocked,
    /// Parts of the host's procfs are covered: the kernel makes no fresh one in a user namespace.
    ProcMasked,
    /// A device node of the host is missing or is another device.
    DeviceUnusable,
    /// There are no message queues that could be mounted here.
    MqueueUnavailable,
    /// A link cannot be made in a mount that is not a tmpfs.
    LinkOnMount,
    /// The host's mount table cannot be read.
    Host,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ErrorKind,
    path: PathBuf,
    errno: Option<i32>,
}

/// What is wrong: one problem or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    first: Problem,
    more: Vec<Problem>,
}

impl Problem {
    pub(crate) fn new(kind: ErrorKind, path: impl Into<PathBuf>) -> Self {
        Self { kind, path: path.into(), errno: None }
    }

    pub(crate) fn with(mut self, error: rustix::io::Errno) -> Self {
        self.errno = Some(error.raw_os_error());
        self
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The path concerned.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's error number, if a call failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// What can be done about it, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        hint(self.kind)
    }
}

impl Error {
    /// The error of these problems, if there are any.
    pub(crate) fn of(mut problems: Vec<Problem>) -> Option<Self> {
        let mut seen = Vec::with_capacity(problems.len());
        problems.retain(|problem| {
            let new = !seen.contains(problem);
            seen.push(problem.clone());
            new
        });
        let mut problems = problems.into_iter();
        problems.next().map(|first| Self { first, more: problems.collect() })
    }

    /// The kind of the first problem.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.first.kind
    }

    /// The error number of the first problem.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.first.errno
    }

    /// What can be done about the first problem.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.first.hint()
    }

    /// Every problem.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

fn hint(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::TargetMissing => {
            "make the directory on the host, or use a root that can be changed"
        }
        ErrorKind::SubmountsLocked => {
            "use a recursive bind mount, or a directory without mounts below it"
        }
        ErrorKind::ProcMasked => {
            "an outer container covers parts of /proc; run it with an uncovered one, or share its pid namespace"
        }
        ErrorKind::IdMapUnavailable => "map the owners as root, with a new user namespace",
        ErrorKind::RootNotSupported => {
            "the caller's own mounts (Base::Keep) can only be used in place"
        }
        ErrorKind::RootNotMount => "bind-mount the directory on itself before the chroot",
        ErrorKind::MqueueUnavailable => "use a new ipc namespace",
        _ => return None,
    })
}

/// What the sentence says after the path.
fn sentence(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TargetNotAbsolute | ErrorKind::SourceNotAbsolute => "is not absolute",
        ErrorKind::TargetEscapes => "has a `..`",
        ErrorKind::TargetIsRoot => "is the root itself",
        ErrorKind::TargetMissing => "is missing below a read-only mount",
        ErrorKind::TargetUnusable => "cannot be looked at in the root",
        ErrorKind::SourceMissing => "does not exist",
        ErrorKind::SourceUnusable => "cannot be opened",
        ErrorKind::SourceNotDirectory | ErrorKind::RootNotDirectory => "is not a directory",
        ErrorKind::RootNotSupported => "is a root that does not go with its base",
        ErrorKind::RootNotMount => "is a chroot and not a mount",
        ErrorKind::NulByte => "holds a NUL byte",
        ErrorKind::PathTooLong => "is too long",
        ErrorKind::TooFewLayers => "is an overlay with too few layers",
        ErrorKind::WorkApart => "is an overlay whose work directory is not beside its upper one",
        ErrorKind::LayerName => "has a name that overlay options cannot hold",
        ErrorKind::IdMapUnavailable => "cannot have its owners mapped here",
        ErrorKind::SubmountsLocked => "has mounts below it that may not be uncovered",
        ErrorKind::ProcMasked => {
            "is partly covered on the host, so that no fresh one can be mounted"
        }
        ErrorKind::DeviceUnusable => "is not the device that it should be",
        ErrorKind::MqueueUnavailable => "cannot be mounted: there are no message queues to show",
        ErrorKind::LinkOnMount => "is a link in a mount that is not a tmpfs",
        ErrorKind::Host => "cannot be read",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.path.to_string_lossy().chars().take(200).collect();
        write!(out, "{shown:?} {}", sentence(self.kind))?;
        match self.errno {
            Some(errno) => write!(out, ": {}", io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.first)?;
        self.more.iter().try_for_each(|problem| write!(out, "; {problem}"))
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.errno() {
            Some(errno) => io::Error::from_raw_os_error(errno).kind(),
            None => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}
