//! Keeping a namespace by a file, as `ip netns` does, and letting it go.
//!
//! Kernel objects: a file and a bind mount of nsfs on it, in the mount namespace of the caller;
//! the directory `/run/netns`. Manual: namespaces(7), ip-netns(8). These mounts are what the
//! caller asks for: a named exception from the promise that nothing of the host is changed.
//!
//! Invariant: when [`pin`] fails, the path is as before; [`unpin`] takes nothing away but what is
//! a mounted namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ampoule_init::sys::ns_ioctl;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstatfs, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags as Propagation, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    mount_bind_recursive, mount_change, move_mount, open_tree, unmount,
};

use crate::bounded_file::errno_of;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::list;
use crate::namespace::Namespace;

/// Where ip(8) looks for network namespaces.
pub const NETNS_DIRECTORY: &str = "/run/netns";

/// `NSFS_MAGIC`.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A file name is at most this long.
const NAME_MAX: usize = 255;

/// Anybody can lock a directory that they can read, so the wait for the lock has an end: this many
/// times this long.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A namespace that is at hand.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum NamespaceRef<'fd> {
    /// An open namespace file.
    Fd(BorrowedFd<'fd>),
    /// The namespace of a process.
    Pid(u32),
}

impl<'fd> From<BorrowedFd<'fd>> for NamespaceRef<'fd> {
    fn from(fd: BorrowedFd<'fd>) -> Self {
        Self::Fd(fd)
    }
}

impl From<u32> for NamespaceRef<'_> {
    fn from(pid: u32) -> Self {
        Self::Pid(pid)
    }
}

/// Mounts a namespace of the given kind on a new file at `path`, so that it lives on without a
/// process. Needs `CAP_SYS_ADMIN`; the mount API of Linux 5.2.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists), [`WrongNamespace`](ErrorKind::WrongNamespace),
/// [`ProcessGone`](ErrorKind::ProcessGone), [`Denied`](ErrorKind::Denied), or a failed system call:
/// EINVAL or ELOOP for a mount namespace that is not younger than the one that would keep it.
/// (Linux 6.18 tells age by a number that is given out per processor, so there a caller outside the
/// initial mount namespace can get ELOOP for a younger one too, from mount(8) as well.)
pub fn pin<'fd>(
    namespace: impl Into<NamespaceRef<'fd>>,
    kind: Namespace,
    path: &Path,
) -> Result<()> {
    let opened;
    let namespace = match namespace.into() {
        NamespaceRef::Fd(fd) => fd,
        NamespaceRef::Pid(pid) => {
            opened = list::open(pid, kind)?;
            opened.as_fd()
        }
    };
    check_kind(namespace, kind)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(namespace, "", flags).map_err(|e| Error::at("open_tree", path, e))?;
    let target = create(path)?;
    attach(&tree, &target, path).inspect_err(|_| remove_created(path))
}

/// Refuses what is no namespace of this kind.
pub(crate) fn check_kind(namespace: BorrowedFd<'_>, kind: Namespace) -> Result<()> {
    let refused = |reason| Error::text(ErrorKind::WrongNamespace, kind.proc_name(), reason);
    let found = ns_ioctl::kind(namespace).map_err(|error| match errno_of(&error) {
        Errno::NOTTY => refused(Reason::NotANamespace),
        errno => Error::system("ioctl(NS_GET_NSTYPE)", errno),
    })?;
    if u64::from(found) == kind.clone_flag() { Ok(()) } else { Err(refused(Reason::OtherKind)) }
}

fn create(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::RGRP | Mode::ROTH;
    openat(CWD, path, flags, mode).map_err(|errno| Error::at("open", path, errno))
}

fn attach(tree: &OwnedFd, target: &OwnedFd, path: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags).map_err(|errno| Error::at("move_mount", path, errno))
}

/// Takes away the empty file that [`create`] made. The error that led here is the one to tell.
fn remove_created(path: &Path) {
    unlinkat(CWD, path, rustix::fs::AtFlags::empty()).ok();
}

/// Unmounts a pinned namespace and removes its file. The namespace ends when nothing else uses it.
///
/// # Errors
/// [`NotPinned`](ErrorKind::NotPinned) when `path` is not a mounted namespace (a link to one is
/// not), or a failed system call.
pub fn unpin(path: &Path) -> Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed = |operation| move |errno| Error::at(operation, path, errno);
    let file = openat(CWD, path, flags, Mode::empty()).map_err(failed("open"))?;
    let magic = fstatfs(&file).map_err(failed("fstatfs"))?.f_type;
    if u64::try_from(magic) != Ok(NSFS_MAGIC) {
        return Err(Error::file(path, Reason::NotPinned));
    }
    drop(file);
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).map_err(failed("umount2"))?;
    unlinkat(CWD, path, rustix::fs::AtFlags::empty()).map_err(failed("unlink"))
}

/// The path where ip(8) looks for the network namespace `name`.
///
/// # Errors
/// [`InvalidPinName`](ErrorKind::InvalidPinName) unless the name is made of 1 to 255 ASCII letters,
/// digits, `.`, `_` and `-`, and begins with a letter, a digit or `_`.
pub fn netns_path(name: &str) -> Result<PathBuf> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = match name.as_bytes() {
        [] => Reason::Empty,
        bytes if bytes.len() > NAME_MAX => Reason::TooLong(NAME_MAX),
        [b'.' | b'-', ..] => Reason::BadCharacter,
        bytes if !bytes.iter().copied().all(allowed) => Reason::BadCharacter,
        _ => return Ok(Path::new(NETNS_DIRECTORY).join(name)),
    };
    Err(Error::text(ErrorKind::InvalidPinName, name, reason))
}

/// Pins a network namespace under a name, so that `ip netns` shows and uses it.
///
/// Makes `/run/netns` and turns it into a shared mount point of its own where it is not one yet, as
/// ip(8) does, so that an unmount in one mount namespace reaches the others. Undo it with
/// [`unpin`] of the returned path.
///
/// # Errors
/// Those of [`netns_path`] and [`pin`].
pub fn pin_netns<'fd>(namespace: impl Into<NamespaceRef<'fd>>, name: &str) -> Result<PathBuf> {
    let path = netns_path(name)?;
    prepare_netns_directory()?;
    pin(namespace, Namespace::Net, &path)?;
    Ok(path)
}

fn prepare_netns_directory() -> Result<()> {
    let path = Path::new(NETNS_DIRECTORY);
    let failed = |operation| move |errno| Error::at(operation, path, errno);
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("mkdir")(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty()).map_err(failed("open"))?;
    lock(&directory).map_err(failed("flock"))?;
    let shared = Propagation::SHARED | Propagation::REC;
    match mount_change(path, shared) {
        Err(Errno::INVAL) => {} // Not a mount point yet.
        other => return other.map_err(failed("mount")),
    }
    mount_bind_recursive(path, path).map_err(failed("mount"))?;
    mount_change(path, shared).map_err(failed("mount"))
}

/// Takes the lock with which ip(8), too, keeps two programs from making the mount point twice. It
/// goes with the descriptor.
fn lock(directory: &OwnedFd) -> Result<(), Errno> {
    for _ in 0..LOCK_TRIES {
        match flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    Ok(()) // ip(8) goes on without the lock as well: the worst is one mount more.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strict() {
        assert_eq!(netns_path("a-1._x").unwrap(), Path::new("/run/netns/a-1._x"));
        let long = "x".repeat(256);
        for wrong in ["", ".", "..", ".x", "-x", "a/b", "../x", "a b", "a\n", "a\0", "ü", &long] {
            assert_eq!(netns_path(wrong).unwrap_err().kind(), ErrorKind::InvalidPinName);
        }
    }

    #[test]
    fn what_is_not_pinned_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/proc/self/ns/net", &link).unwrap();
        for path in [file.as_path(), link.as_path(), dir.path()] {
            assert_eq!(unpin(path).unwrap_err().kind(), ErrorKind::NotPinned);
            assert!(path.exists());
        }
        assert_eq!(unpin(&dir.path().join("none")).unwrap_err().errno(), Some(2));
    }

    #[test]
    fn the_kind_is_checked_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        let uts = list::open(std::process::id(), Namespace::Uts).unwrap();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        for fd in [uts.as_fd(), file.as_fd()] {
            let error = pin(fd, Namespace::Net, &path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongNamespace, "{error}");
        }
        assert!(!path.exists());
    }
}
