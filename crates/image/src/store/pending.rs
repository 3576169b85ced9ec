//! What is not finished yet: names in one directory, renamed to their place when they are whole.
//!
//! Kernel objects: files and directories in `pending/`. Invariant: whoever makes a name here holds
//! the store's lock shared for as long, so that who holds it alone may remove everything.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::lock::{self, Lock};
use super::{PENDING, Store, directory};
use crate::error::{Error, Result};

/// What clearing leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Blobs that are there in part, so that a pull can go on.
    Partial,
    /// Nothing.
    Nothing,
}

/// How names of blobs that are there in part begin.
pub(super) const BLOB: &str = "blob-";

/// How names of layers that are being unpacked begin.
pub(super) const LAYER: &str = "layer-";

/// How names of what is being removed begin.
pub(super) const DEAD: &str = "dead-";

/// The path of a name in `pending/`, below the store.
pub(super) fn path(name: &str) -> String {
    format!("{PENDING}/{name}")
}

/// A name that nobody else has: of this process, of its age, and counted.
pub(crate) fn fresh(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    format!("{prefix}{}-{}-{}-{count}", std::process::id(), now.tv_sec, now.tv_nsec)
}

/// A new file in `pending/`.
pub(super) fn create(store: &Store, name: &str) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let path = path(name);
    rustix::fs::openat(store.root(), &path, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(|errno| Error::at("openat", &store.named(&path), errno))
}

/// Moves a whole file or directory to its place, unless another one is there already; writes the
/// place's directory to the disk.
pub(super) fn publish(store: &Store, name: &str, place: &str) -> Result<()> {
    let from = path(name);
    let failed = |errno| Error::at("renameat2", &store.named(place), errno);
    let root = store.root();
    match rustix::fs::renameat_with(root, &from, root, place, RenameFlags::NOREPLACE) {
        // The same content under the same digest: another process was faster.
        Err(Errno::EXIST | Errno::NOTEMPTY) => store.remove_tree(root, &from).map_err(failed)?,
        // File systems that cannot rename without replacing: content is the same anyway.
        Err(Errno::INVAL) => rustix::fs::renameat(root, &from, root, place).map_err(failed)?,
        result => result.map_err(failed)?,
    }
    sync_parent(store, place)
}

/// Writes the directory that `place` is in to the disk.
pub(super) fn sync_parent(store: &Store, place: &str) -> Result<()> {
    let parent = place.rsplit_once('/').map_or(".", |(parent, _)| parent);
    directory::sync(store.root(), parent)
        .map_err(|errno| Error::at("fsync", &store.named(parent), errno))
}

/// Replaces a small file as a whole: afterwards it is the old or the new one, also on the disk.
pub(super) fn replace(store: &Store, place: &str, bytes: &[u8]) -> Result<()> {
    let name = fresh("new-");
    let path = path(&name);
    let mut file = create(store, &name)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let written = written.map_err(|error| Error::io("write", &store.named(&path), &error));
    let renamed = written.and_then(|()| {
        rustix::fs::renameat(store.root(), &path, store.root(), place)
            .map_err(|errno| Error::at("renameat", &store.named(place), errno))
    });
    if renamed.is_err() {
        // The first error is the one that tells why; what stays is cleared later.
        store.remove_tree(store.root(), &path).unwrap_or_default();
    }
    renamed?;
    sync_parent(store, place)
}

/// Removes what ended processes left; nobody adds anything as long as `_alone` is held.
pub(super) fn clear(store: &Store, _alone: &Lock, keep: Keep) -> Result<()> {
    let failed = |name: &str, errno| Error::at("unlinkat", &store.named(&path(name)), errno);
    let names = directory::names(store.root(), PENDING).map_err(|errno| failed("", errno))?;
    for name in names {
        if name.starts_with(BLOB) && keep == Keep::Partial {
            continue;
        }
        // Who removes a large tree holds it locked, and no longer the store.
        if name.starts_with(DEAD) && !is_left(store, &name)? {
            continue;
        }
        match (store.remove_tree(store.root(), &path(&name)), keep) {
            // What has files of other ids stays for who collects with these.
            (Err(Errno::ACCESS | Errno::PERM), Keep::Partial) => {}
            (removed, _) => removed.map_err(|errno| failed(&name, errno))?,
        }
    }
    Ok(())
}

/// Whether nobody is removing a tree any more.
fn is_left(store: &Store, name: &str) -> Result<bool> {
    match directory::open_at(store.root(), path(name)) {
        Ok(opened) => lock::try_alone(&opened, &store.named(&path(name))),
        Err(_) => Ok(true),
    }
}
