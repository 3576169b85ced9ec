//! Which directories of places this process uses, and which of them go with the last use.
//!
//! Kernel objects: directories of cgroupfs. Invariant: within this process no directory is removed while it is used or
//! being opened; another process makes it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which directories are removed after use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those that were made here; what was there stays.
    Found,
    /// All: they are for groups of this crate only.
    Nothing,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    users: usize,
    made: bool,
}

static COUNTS: Mutex<BTreeMap<PathBuf, Count>> = Mutex::new(BTreeMap::new());

fn counts() -> MutexGuard<'static, BTreeMap<PathBuf, Count>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One use of some directories, each below the one before it.
#[derive(Debug)]
pub(crate) struct Used {
    paths: Vec<PathBuf>,
    keep: Keep,
}

impl Used {
    /// Begins, before the directories are opened.
    pub(crate) fn new(paths: Vec<PathBuf>, keep: Keep) -> Self {
        let mut counts = counts();
        for path in &paths {
            counts.entry(path.clone()).or_default().users += 1;
        }
        drop(counts);
        Self { paths, keep }
    }

    /// This process made one of them.
    pub(crate) fn made(path: &Path) {
        if let Some(count) = counts().get_mut(path) {
            count.made = true;
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut counts = counts();
        for path in self.paths.iter().rev() {
            let Some(count) = counts.get_mut(path) else { continue };
            count.users = count.users.saturating_sub(1);
            if count.users > 0 {
                continue;
            }
            let ours = count.made || self.keep == Keep::Nothing;
            // Busy: another process has groups in it. Then the next use here tries again.
            let gone = ours && rustix::fs::rmdir(path) != Err(rustix::io::Errno::BUSY);
            if gone || !ours {
                counts.remove(path);
            }
        }
    }
}
