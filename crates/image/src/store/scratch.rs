//! A directory for work that leaves nothing behind.
//!
//! Kernel objects: a directory in `pending/`. Invariant: it is removed with the value, or by a later process.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::lock::Lock;
use super::{Store, directory, pending};
use crate::error::{Error, Result};

/// A directory of the store's file system, as long as this lives.
#[derive(Debug)]
pub(crate) struct ScratchDirectory {
    store: Store,
    name: String,
    path: PathBuf,
    /// Declared last: the lock ends after the directory is gone.
    _adding: Lock,
}

impl Store {
    /// A new, empty directory.
    pub(crate) fn scratch(&self) -> Result<ScratchDirectory> {
        let adding = Lock::shared(self)?;
        let name = pending::fresh("scratch-");
        let path = self.named(&pending::path(&name));
        self.make_directory(&pending::path(&name))?;
        Ok(ScratchDirectory { store: self.clone(), name, path, _adding: adding })
    }
}

impl ScratchDirectory {
    /// Where it is.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Opens a directory in it.
    pub(crate) fn open(&self, name: &str) -> Result<OwnedFd> {
        let place = format!("{}/{name}", pending::path(&self.name));
        directory::open_at(self.store.root(), &place)
            .map_err(|errno| Error::at("openat", &self.path.join(name), errno))
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        // What stays is cleared when the store is opened.
        self.store.remove_tree(self.store.root(), &pending::path(&self.name)).unwrap_or_default();
    }
}
