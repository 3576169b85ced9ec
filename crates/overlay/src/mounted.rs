//! A mounted overlay: a tree that is opened by descriptor, and attached to a path only where that is asked for.
//!
//! Kernel objects: an overlay mount, kept by its descriptor; at most one attached copy. Invariant: when the handle is
//! dropped neither is left.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx, syncfs};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use crate::error::{Error, ErrorKind, Problem};
use crate::identity::open_path;
use crate::overlay::{OPEN, Overlay};
use crate::volatile;

/// A mounted [`Overlay`].
///
/// The tree is reached from [`merged`](Self::merged), by openat2(2) with `RESOLVE_IN_ROOT` where its links are not to be
/// trusted. Dropping the handle unmounts it; what is still open in it stays readable until it is closed.
#[derive(Debug)]
pub struct MountedOverlay {
    overlay: Overlay,
    merged: OwnedFd,
    attached: Option<Attached>,
}

/// A copy at a path.
#[derive(Debug)]
struct Attached {
    path: PathBuf,
    mount: u64,
}

impl MountedOverlay {
    pub(crate) fn new(overlay: Overlay, merged: OwnedFd) -> Self {
        Self { overlay, merged, attached: None }
    }

    /// What is mounted.
    #[must_use]
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The lower directories, the uppermost first.
    #[must_use]
    pub fn lower(&self) -> &[PathBuf] {
        self.overlay.lower_dirs()
    }

    /// The upper directory, with all that was written.
    #[must_use]
    pub fn upper(&self) -> Option<&Path> {
        self.overlay.upper_dir()
    }

    /// The kernel's work directory.
    #[must_use]
    pub fn work(&self) -> Option<&Path> {
        self.overlay.work_dir()
    }

    /// The root directory of the tree (`O_PATH`).
    #[must_use]
    pub fn merged(&self) -> BorrowedFd<'_> {
        self.merged.as_fd()
    }

    /// Attaches the tree to a directory in the host's mount namespace, until [`unmount`](Self::unmount) or the end of the
    /// handle. Before Linux 6.15 that can be done once.
    ///
    /// # Errors
    /// [`ErrorKind::NotAttached`]: `EPERM` without `CAP_SYS_ADMIN` over the mount namespace, `EBUSY` when it is attached,
    /// `EINVAL` when it was and this kernel does it once; or what open(2) and move_mount(2) answer.
    pub fn mount_at(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let failed = |errno| Error::from(Problem::new(ErrorKind::NotAttached, path).with(errno));
        if self.attached.is_some() {
            return Err(failed(Errno::BUSY));
        }
        let mount = self.attach(path).map_err(failed)?;
        self.attached = Some(Attached { path: path.to_owned(), mount });
        Ok(())
    }

    /// Attaches a copy, or the mount itself where the kernel copies none that is nowhere attached.
    fn attach(&self, path: &Path) -> Result<u64, Errno> {
        let target =
            openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let copy = open_tree(&self.merged, "", flags);
        let tree = match &copy {
            Ok(copy) => copy.as_fd(),
            Err(Errno::INVAL) => self.merged.as_fd(),
            Err(errno) => return Err(*errno),
        };
        let whole =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree, "", &target, "", whole)?;
        mount_id(tree)
    }

    /// Takes the tree away from its path; what is still open in it stays.
    ///
    /// # Errors
    /// [`ErrorKind::NotMounted`] when it is not attached, or something else is mounted over it; or what umount2(2)
    /// answers.
    pub fn unmount(&mut self) -> Result<(), Error> {
        let Some(attached) = self.attached.take() else {
            return Err(Problem::new(ErrorKind::NotMounted, self.overlay.named()).into());
        };
        detach(&attached).map_err(|errno| {
            let error = Problem::new(ErrorKind::NotMounted, &attached.path).with(errno).into();
            self.attached = Some(attached);
            error
        })
    }

    /// Leaves the tree where it is attached, for longer than this process; umount(8) takes it away. One that is attached
    /// nowhere ends as when the handle is dropped.
    pub fn leave(mut self) {
        self.attached = None;
    }

    /// Unmounts it; what a [volatile](Overlay::volatile) overlay wrote is brought to the disk first, and its mark is taken
    /// away. Nothing may be written to it at the same time.
    ///
    /// # Errors
    /// As [`unmount`](Self::unmount); [`ErrorKind::NotSynced`] with the call's error number.
    pub fn close(mut self) -> Result<(), Error> {
        if self.attached.is_some() {
            self.unmount()?;
        }
        let overlay = self.overlay.clone();
        drop(self);
        let Some(upper) = overlay.upper_dir().filter(|_| overlay.is_volatile()) else {
            return Ok(());
        };
        let synced = open_path(upper)
            .and_then(|upper| openat(&upper, ".", OPEN, Mode::empty()))
            .and_then(syncfs);
        let failed = |errno| Problem::new(ErrorKind::NotSynced, upper).with(errno);
        synced.map_err(failed)?;
        overlay.work_dir().map_or(Ok(()), volatile::clear).map_err(|errno| failed(errno).into())
    }
}

/// Unmounts by descriptor what is at a path, if it is still this mount.
fn detach(attached: &Attached) -> Result<(), Errno> {
    let there = open_path(&attached.path)?;
    if mount_id(there.as_fd())? != attached.mount {
        return Err(Errno::STALE);
    }
    use std::os::fd::AsRawFd;
    unmount(format!("/proc/thread-self/fd/{}", there.as_raw_fd()), UnmountFlags::DETACH)
}

/// The mount that a descriptor is in (statx(2), Linux 5.8).
fn mount_id(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|found| found.stx_mnt_id)
}

impl Drop for MountedOverlay {
    fn drop(&mut self) {
        if let Some(attached) = self.attached.take() {
            // Nobody is there to be told; what is mounted over it stays, with it.
            let _stays = detach(&attached).is_err();
        }
    }
}
