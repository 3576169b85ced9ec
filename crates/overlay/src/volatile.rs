//! The mark that a volatile overlay leaves in its work directory until somebody takes it away.
//!
//! Kernel objects: `work/incompat/volatile` below the work directory (kernel document filesystems/overlayfs, "Volatile
//! mount"). Invariant: nothing else is removed.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, openat, unlinkat};
use rustix::io::Errno;

use crate::identity::open_path;

const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whether the mark is there, as far as that can be seen.
pub(crate) fn is_marked(work: &Path) -> bool {
    incompat(work).is_ok_and(|incompat| {
        incompat.is_some_and(|dir| openat(dir, "volatile", DIRECTORY, Mode::empty()).is_ok())
    })
}

/// Takes the mark away, if it is there.
pub(crate) fn clear(work: &Path) -> Result<(), Errno> {
    let Some(incompat) = incompat(work)? else { return Ok(()) };
    remove(&incompat, "volatile")?;
    let inner = inner(&open_path(work)?)?;
    inner.map_or(Ok(()), |inner| match remove(&inner, "incompat") {
        // Another mark is in it.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        removed => removed,
    })
}

fn remove(dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// The directory of marks.
fn incompat(work: &Path) -> Result<Option<OwnedFd>, Errno> {
    let work = match open_path(work) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    let Some(inside) = inner(&work)? else { return Ok(None) };
    let opened = match openat(&inside, "incompat", DIRECTORY, Mode::empty()) {
        // The kernel makes it with mode 0, in which an ordinary user cannot look; the next mount makes it anew.
        Err(Errno::ACCESS) => {
            chmodat(&work, "work", Mode::RWXU, AtFlags::empty())?;
            openat(&inside, "incompat", DIRECTORY, Mode::empty())
        }
        opened => opened,
    };
    found(opened)
}

/// The kernel's own directory in the work directory.
fn inner(work: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    found(openat(work, "work", DIRECTORY, Mode::empty()))
}

fn found(opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, Errno> {
    match opened {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}
