//! What the host says about a file when the plan is made (statx(2)).
//!
//! Kernel objects: `O_PATH` descriptors. Invariant: an identity is read from the descriptor that is used, never
//! from a path.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ampoule_init::steps::file::{self, Identity};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::error::{ErrorKind, Problem};

/// A file of the host, open and looked at.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) fd: OwnedFd,
    pub(crate) identity: Identity,
    pub(crate) kind: FileType,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Major and minor number of a device node.
    pub(crate) device: (u32, u32),
}

impl Seen {
    /// Opens an absolute path of the host, following links.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        crate::target::names_fit(path)?;
        if !path.is_absolute() {
            return Err(Problem::new(ErrorKind::SourceNotAbsolute, path));
        }
        open_path(path).and_then(Self::look).map_err(|errno| {
            let kind = match errno {
                Errno::NOENT => ErrorKind::SourceMissing,
                _ => ErrorKind::SourceUnusable,
            };
            Problem::new(kind, path).with(errno)
        })
    }

    /// Opens an absolute path of the host that must be a directory.
    pub(crate) fn directory(path: &Path) -> Result<Self, Problem> {
        let seen = Self::open(path)?;
        match seen.kind {
            FileType::Directory => Ok(seen),
            _ => Err(Problem::new(ErrorKind::SourceNotDirectory, path)),
        }
    }

    /// Looks at an open file.
    pub(crate) fn look(fd: OwnedFd) -> Result<Self, Errno> {
        let basic = StatxFlags::BASIC_STATS;
        let found = rustix::fs::statx(fd.as_fd(), c"", AtFlags::EMPTY_PATH, basic)?;
        let device = file::device_number(found.stx_dev_major, found.stx_dev_minor);
        let mode = u32::from(found.stx_mode);
        Ok(Self {
            fd,
            identity: Identity { device, inode: found.stx_ino },
            kind: FileType::from_raw_mode(mode),
            mode: mode & 0o7777,
            device: (found.stx_rdev_major, found.stx_rdev_minor),
        })
    }
}

/// Opens a path of the host with `O_PATH`, following links; it may be longer than one call takes.
pub(crate) fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut reached: Option<OwnedFd> = None;
    for part in crate::target::parts(path) {
        let from = reached.as_ref().map_or(CWD, AsFd::as_fd);
        reached = Some(rustix::fs::openat(from, part, flags, Mode::empty())?);
    }
    reached.ok_or(Errno::NOENT)
}
