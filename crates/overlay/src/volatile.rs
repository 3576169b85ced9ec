//! The mark that a volatile overlay leaves in its work directory until somebody takes it away.
//!
//! Kernel objects: `work/incompat/volatile/dirty` below the work directory (kernel document filesystems/overlayfs, "Volatile
//! mount"). Invariant: nothing else is removed.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, chmodat, fstat, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::identity::open_path;

const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whether the mark is there, as far as that can be seen.
pub(crate) fn is_marked(work: &Path) -> bool {
    matches!(open(work), Ok(Some([_, _, _])))
}

/// Takes the mark away, if it is there.
pub(crate) fn clear(work: &Path) -> Result<(), Errno> {
    let Some([inner, incompat, volatile]) = open(work)? else { return Ok(()) };
    // A file in it, since Linux 5.10.
    gone(unlinkat(volatile, "dirty", AtFlags::empty()))?;
    gone(unlinkat(incompat, "volatile", AtFlags::REMOVEDIR))?;
    match unlinkat(inner, "incompat", AtFlags::REMOVEDIR) {
        // Another mark is in it.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        removed => gone(removed),
    }
}

fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// The mark's directory with the two that it is in, the outermost first.
fn open(work: &Path) -> Result<Option<[OwnedFd; 3]>, Errno> {
    let opened = (|| {
        let inner = enter(&open_path(work)?, "work")?;
        let incompat = enter(&inner, "incompat")?;
        let volatile = enter(&incompat, "volatile")?;
        Ok([inner, incompat, volatile])
    })();
    match opened {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Opens a directory of the kernel's. It makes them with mode 0, in which an ordinary user may do nothing.
fn enter(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let dir = openat(parent, name, DIRECTORY, Mode::empty())?;
    if !geteuid().is_root() && fstat(&dir)?.st_mode & 0o700 != 0o700 {
        chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
    }
    Ok(dir)
}
