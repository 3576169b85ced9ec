//! What the caller may not open in a mounted tree, opened by user 0 of the user namespace that its files belong to.
//!
//! Kernel objects: a process of [`crate::ids`] for each file. Invariant: links lead nowhere out of the tree.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ampoule_init::Draft;
use ampoule_init::steps::{file, launch};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::ids::{MappedIds, process};

/// Names, and opens nothing.
pub(super) const NAME: OFlags = crate::ids::read::NAME;

/// Opens a path of the tree at `root`.
pub(super) fn open(
    ids: &MappedIds,
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let mut draft = Draft::default();
    let root = draft.inherit(rustix::io::fcntl_dupfd_cloexec(root, 3)?);
    let opened = draft.slots.take();
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    let resolve = (ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS).bits();
    let steps = [
        file::open(root, &path, u64::from(flags.bits()), resolve, opened),
        launch::send_fd(0, opened),
    ];
    let sent = process::run(ids, draft, steps).map_err(|failed| failed.errno)?;
    sent.into_iter().next().map(|(_, fd)| fd).ok_or(Errno::MFILE)
}
