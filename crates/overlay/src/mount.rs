//! One mount: what, where, with which flags.
//!
//! Kernel objects: none; pure data. Invariant: the constructors give the safe form; what is less safe is asked for
//! by another name (`bind_rw`) or by changing a field.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::flags::MountFlags;
use crate::propagation::Propagation;

/// A mount in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where: absolute, without `..`, made when it is missing. Links in it are followed inside the root.
    pub target: PathBuf,
    /// What.
    pub kind: MountKind,
    /// Flags of the mount itself.
    pub flags: MountFlags,
    /// Flags that a copy does not take over from its source; only a bind mount has one.
    #[serde(default)]
    pub clear: MountFlags,
    /// Flags of the mount and of all below it (`rro` and its like); only a bind mount has any below it.
    pub recursive: MountFlags,
    /// Flags that neither a copy nor what is below it takes over.
    #[serde(default)]
    pub recursive_clear: MountFlags,
    /// Further options of the file system, each as its manual has it: `nr_inodes=1k`, `lazytime`. A bind mount has
    /// none: its file system is mounted already.
    #[serde(default)]
    pub data: Vec<String>,
    /// How mount events spread; by default as the file system says.
    pub propagation: Option<Propagation>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Its absolute path; links in it are followed.
        source: PathBuf,
        /// Whether the mounts below it come along.
        depth: Depth,
        /// Whether its owners are mapped.
        idmapped: IdMapped,
    },
    /// Memory (tmpfs(5)).
    Tmpfs {
        /// How much fits, in bytes; 0: half of the memory, as tmpfs(5) does by itself.
        size: u64,
        /// Mode of its root directory.
        mode: u32,
        /// Whether it shows at first what is at the target.
        copy_up: CopyUp,
    },
    /// The processes of the container's pid namespace (proc(5)).
    Proc {
        /// What is shown of the processes of others.
        hide_pid: Option<HidePid>,
        /// Whether only processes are shown.
        subset: Option<PidSubset>,
    },
    /// Devices and the kernel's objects (sysfs(5)).
    Sysfs,
    /// Terminals of its own (devpts).
    Devpts {
        /// The group of new terminals, if that is not the opener's.
        gid: Option<u32>,
    },
    /// POSIX message queues of the container's ipc namespace (mq_overview(7)).
    Mqueue,
    /// The container's groups (cgroups(7)): version 2 where the host has it alone, else a tmpfs with each hierarchy in a
    /// directory of the host's name for it. Without a new cgroup namespace hierarchies of version 1 show the container's
    /// group alone, and version 2 is the host's mount.
    Cgroup,
    /// Layers (overlayfs).
    Overlay {
        /// Directories from the uppermost down.
        lower: Vec<PathBuf>,
        /// The directory that is written to.
        upper: Option<PathBuf>,
        /// A directory beside `upper` for the kernel's use; by default `upper` with `.work` after its name.
        work: Option<PathBuf>,
    },
    /// A small `/dev` of nodes that we made, with terminals, shared memory and message queues below it.
    Dev,
    /// Any other file system, by the name that the kernel has for it (fsopen(2)). It takes privilege.
    FileSystem {
        /// Its name: `ext4`.
        name: String,
        /// What it is read from, such as a device of the host.
        source: Option<PathBuf>,
    },
}

/// Whether mounts below come along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Depth {
    /// They do.
    #[default]
    Recursive,
    /// They do not. Refused for an ordinary user when there are any: the kernel does not uncover them (`EINVAL`).
    One,
}

/// Whether owners are mapped (mount_setattr(2), "ID-mapped mounts").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IdMapped {
    /// They are not.
    #[default]
    No,
    /// By the container's user namespace: what user 0 of the host owns belongs to user 0 of the container.
    Container,
    /// By another user namespace.
    Other {
        /// Which one of [`Situation::other_userns_fds`](crate::Situation::other_userns_fds).
        number: u16,
        /// Whether the mounts below it are mapped, too.
        depth: Depth,
    },
}

/// What a tmpfs shows at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CopyUp {
    /// Nothing.
    #[default]
    No,
    /// What is at the target. Nothing is copied: it is an overlay with the tmpfs as its upper layer, so that a file
    /// is copied when it is first written.
    Yes,
}

/// What procfs shows of the processes of others (`hidepid`, proc(5); names since Linux 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HidePid {
    /// Their directories cannot be entered.
    NoAccess,
    /// Their directories are not there.
    Invisible,
    /// Only what the reader may trace is there.
    Ptraceable,
}

/// Which part of procfs is shown (`subset`, Linux 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PidSubset {
    /// The processes only.
    Pid,
}

impl Mount {
    /// A mount of this kind with these flags.
    #[must_use]
    pub fn new(target: impl Into<PathBuf>, kind: MountKind, flags: MountFlags) -> Self {
        let none = MountFlags::empty();
        Self {
            target: target.into(),
            kind,
            flags,
            clear: none,
            recursive: none,
            recursive_clear: none,
            data: Vec::new(),
            propagation: None,
        }
    }

    /// A file or directory of the host with all below it, read-only, without set-user-id and devices.
    #[must_use]
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let recursive = MountFlags::LOCKED_DOWN;
        Self { recursive, ..Self::bound(source.into(), target.into()) }
    }

    /// A file or directory of the host with all below it, writable, without set-user-id and devices.
    #[must_use]
    pub fn bind_rw(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let recursive = MountFlags::NOSUID | MountFlags::NODEV;
        Self { recursive, ..Self::bound(source.into(), target.into()) }
    }

    fn bound(source: PathBuf, target: PathBuf) -> Self {
        let kind = MountKind::Bind { source, depth: Depth::Recursive, idmapped: IdMapped::No };
        Self::new(target, kind, MountFlags::empty())
    }

    /// Memory of `size` bytes that everybody may write to (mode 1777), without set-user-id and devices.
    #[must_use]
    pub fn tmpfs(target: impl Into<PathBuf>, size: u64) -> Self {
        let kind = MountKind::Tmpfs { size, mode: 0o1777, copy_up: CopyUp::No };
        Self::new(target, kind, MountFlags::NOSUID | MountFlags::NODEV)
    }

    /// `/proc`.
    #[must_use]
    pub fn proc() -> Self {
        Self::new("/proc", MountKind::Proc { hide_pid: None, subset: None }, MountFlags::DATA)
    }

    /// `/sys`, read-only.
    #[must_use]
    pub fn sysfs() -> Self {
        Self::new("/sys", MountKind::Sysfs, MountFlags::DATA | MountFlags::RDONLY)
    }

    /// `/dev`.
    #[must_use]
    pub fn dev() -> Self {
        Self::new("/dev", MountKind::Dev, MountFlags::NOSUID | MountFlags::NOEXEC)
    }

    /// `/sys/fs/cgroup`, read-only.
    #[must_use]
    pub fn cgroup() -> Self {
        let recursive = MountFlags::DATA | MountFlags::RDONLY;
        Self { recursive, ..Self::new("/sys/fs/cgroup", MountKind::Cgroup, MountFlags::empty()) }
    }

    /// A read-only overlay of directories from the uppermost down.
    #[must_use]
    pub fn overlay(lower: Vec<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let kind = MountKind::Overlay { lower, upper: None, work: None };
        Self::new(target, kind, MountFlags::NOSUID | MountFlags::NODEV)
    }

    /// All flags of the topmost mount.
    pub(crate) fn all_flags(&self) -> MountFlags {
        self.flags | self.recursive
    }
}
