//! Locks: who uses what, between threads and processes alike.
//!
//! Kernel objects: flock(2) locks, which belong to an open file description and end with it, so
//! that the lock of an ended process is gone. Invariant: every lock is taken on a description of
//! its own, never on one that is shared.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{LOCK, Store};
use crate::error::{Error, Result};

/// A lock on the whole store, held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    #[expect(dead_code, reason = "the lock ends when it is closed")]
    held: OwnedFd,
}

impl Lock {
    /// Together with others that add something; waits for who cleans up.
    pub(super) fn shared(store: &Store) -> Result<Self> {
        let held = open(store)?;
        self::shared(&held, &store.named(LOCK))?;
        Ok(Self { held })
    }

    /// Alone; waits for everybody else.
    pub(super) fn alone(store: &Store) -> Result<Self> {
        let held = open(store)?;
        self::alone(&held, &store.named(LOCK))?;
        Ok(Self { held })
    }

    /// Alone, if nobody is adding anything.
    pub(super) fn try_alone(store: &Store) -> Result<Option<Self>> {
        let held = open(store)?;
        let locked = self::try_alone(&held, &store.named(LOCK))?;
        Ok(locked.then_some(Self { held }))
    }
}

fn open(store: &Store) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(store.root(), LOCK, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| Error::at("openat", &store.named(LOCK), errno))
}

fn flock(fd: BorrowedFd<'_>, operation: FlockOperation) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(fd, operation))
}

/// Locks an open file or directory together with others.
pub(super) fn shared(fd: impl AsFd, path: &Path) -> Result<()> {
    flock(fd.as_fd(), FlockOperation::LockShared).map_err(|errno| Error::at("flock", path, errno))
}

/// Locks an open file or directory alone.
pub(super) fn alone(fd: impl AsFd, path: &Path) -> Result<()> {
    flock(fd.as_fd(), FlockOperation::LockExclusive)
        .map_err(|errno| Error::at("flock", path, errno))
}

/// Locks an open file or directory alone, if nobody holds it.
pub(super) fn try_alone(fd: impl AsFd, path: &Path) -> Result<bool> {
    match flock(fd.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(Error::at("flock", path, errno)),
    }
}
