//! What is wrong with a file system's settings, with what they name on this host, or with an overlay.
//!
//! Invariant: every problem that can be known before anything runs is found then, and all of them are listed.

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
    /// An overlay has more lower layers than the 500 that the kernel takes.
    TooManyLayers,
    /// So many layers cannot have a mount label: the kernel takes them in one text only (before Linux 6.8).
    LabelUnavailable,
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
    /// A device node cannot be made in what is bound from the host.
    NodeOnMount,
    /// An option of a file system is empty, longer than 255 bytes, or has a NUL byte; or a bind mount has one.
    MountData,
    /// The host's mount table cannot be read.
    Host,
    /// No namespaces can be had in which an overlay could be mounted.
    NamespacesDenied,
    /// The kernel does not mount it; [`Problem::step`] says at which call.
    MountRefused,
    /// A layer is on overlays already: the kernel stacks file systems at most two deep.
    StackedTooDeep,
    /// Two layers are one directory, or one is inside another.
    LayersOverlap,
    /// The upper or the work directory belongs to another overlay that is mounted.
    UpperInUse,
    /// The upper layer was written by a volatile overlay that nobody closed: it may be incomplete.
    NotSynced,
    /// A layer cannot be read.
    Unreadable,
    /// Something in an upper layer cannot be removed.
    NotRemoved,
    /// The mount cannot be attached there, or is attached already.
    NotAttached,
    /// What is mounted there is not this mount.
    NotMounted,
    /// There is no upper layer.
    NoUpper,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ErrorKind,
    path: PathBuf,
    errno: Option<i32>,
    step: Option<String>,
}

/// What is wrong: one problem or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    first: Problem,
    more: Vec<Problem>,
}

impl Problem {
    pub(crate) fn new(kind: ErrorKind, path: impl Into<PathBuf>) -> Self {
        Self { kind, path: path.into(), errno: None, step: None }
    }

    pub(crate) fn with(mut self, error: rustix::io::Errno) -> Self {
        self.errno = Some(error.raw_os_error());
        self
    }

    /// A process that was to mount failed.
    pub(crate) fn failed(kind: ErrorKind, path: &Path, error: &ampoule_init::Error) -> Self {
        let step = Some(error.subject().to_owned());
        Self { kind, path: path.to_owned(), errno: error.errno(), step }
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The call that failed, if a process of its own made it.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
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

impl From<Problem> for Error {
    fn from(first: Problem) -> Self {
        Self { first, more: Vec::new() }
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
        ErrorKind::NamespacesDenied => "this machine denies user namespaces to ordinary users",
        ErrorKind::NotSynced => {
            "discard the upper layer, or accept it where the machine has not crashed since"
        }
        ErrorKind::StackedTooDeep => "copy the layer to a file system of a disk",
        ErrorKind::NotAttached => "attaching a mount takes CAP_SYS_ADMIN over the mount namespace",
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
        ErrorKind::TooManyLayers => "is one lower layer too many: the kernel takes 500",
        ErrorKind::LabelUnavailable => {
            "has more layers than this kernel takes together with a mount label"
        }
        ErrorKind::WorkApart => "is an overlay whose work directory is not beside its upper one",
        ErrorKind::LayerName => "has a name that overlay options cannot hold",
        ErrorKind::IdMapUnavailable => "cannot have its owners mapped here",
        ErrorKind::SubmountsLocked => "has mounts below it that may not be uncovered",
        ErrorKind::ProcMasked => {
            "is partly covered on the host, so that no fresh one can be mounted"
        }
        ErrorKind::DeviceUnusable => "is not the device that it should be",
        ErrorKind::MqueueUnavailable => "cannot be mounted: there are no message queues to show",
        ErrorKind::NodeOnMount => "is a device node in what is bound from the host",
        ErrorKind::MountData => "has an option that the kernel cannot be told",
        ErrorKind::LinkOnMount => "is a link in a mount that is not a tmpfs",
        ErrorKind::Host | ErrorKind::Unreadable => "cannot be read",
        ErrorKind::NamespacesDenied => "cannot be mounted: there are no namespaces for it",
        ErrorKind::MountRefused => "cannot be mounted",
        ErrorKind::StackedTooDeep => {
            "is on overlays already: file systems are stacked at most two deep"
        }
        ErrorKind::LayersOverlap => "overlaps with another layer",
        ErrorKind::UpperInUse => "belongs to another overlay that is mounted",
        ErrorKind::NotSynced => "was written by a volatile overlay that was not closed",
        ErrorKind::NotRemoved => "cannot be removed",
        ErrorKind::NotAttached => "cannot have the mount attached",
        ErrorKind::NotMounted => "does not have this mount",
        ErrorKind::NoUpper => "has no upper layer",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.path.to_string_lossy().chars().take(200).collect();
        write!(out, "{shown:?} {}", sentence(self.kind))?;
        if let Some(step) = &self.step {
            write!(out, ": {step}")?;
        }
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
