//! Directories that programs of builds keep for later builds.
//!
//! Kernel objects: a directory below `caches/` for each, with the files in `data`, and a flock(2) lock on it: shared or alone
//! by who uses it, alone by who removes it. Invariant: what is locked is what stands under its name.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::{CACHES, PRIVATE, Store, directory, lock};
use crate::containerfile::Sharing;
use crate::digest::Digest;
use crate::error::{Error, Result};

/// The directory that programs see.
const DATA: &str = "data";

/// A cache in use: it is not removed as long as this lives.
#[derive(Debug)]
pub(crate) struct RunCache {
    path: PathBuf,
    #[expect(dead_code, reason = "its lock holds the directory")]
    held: OwnedFd,
}

impl RunCache {
    /// The directory that programs see.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// A directory of this name, made if it is not there. Waits for who uses it alone.
    pub(crate) fn run_cache(&self, name: &str, sharing: Sharing, mode: u32) -> Result<RunCache> {
        self.make_directory(CACHES)?;
        let place = format!("{CACHES}/{}", Digest::of(name.as_bytes()).hex());
        let path = self.named(&place);
        let held = loop {
            self.make_directory(&place)?;
            let opened = match directory::open_at(self.root(), place.as_str()) {
                // Somebody removes it just now.
                Err(Errno::NOENT) => continue,
                opened => opened.map_err(|errno| Error::at("openat", &path, errno))?,
            };
            match sharing {
                Sharing::Shared => lock::shared(&opened, &path)?,
                Sharing::Locked => lock::alone(&opened, &path)?,
            }
            if self.is_still(&opened, &place).map_err(|errno| Error::at("stat", &path, errno))? {
                break opened;
            }
        };
        match rustix::fs::mkdirat(&held, DATA, Mode::from_raw_mode(PRIVATE)) {
            // The umask does not count.
            Ok(()) => {
                let mode = Mode::from_raw_mode(mode);
                rustix::fs::chmodat(&held, DATA, mode, AtFlags::empty())
                    .map_err(|errno| Error::at("fchmodat", &path, errno))?;
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::at("mkdirat", &path, errno)),
        }
        Ok(RunCache { path: path.join(DATA), held })
    }

    /// Whether an open directory stands under this name.
    fn is_still(&self, opened: &OwnedFd, place: &str) -> rustix::io::Result<bool> {
        let own = rustix::fs::fstat(opened)?;
        match rustix::fs::statat(self.root(), place, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((own.st_dev, own.st_ino) == (named.st_dev, named.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Removes the directories that programs of builds keep (`RUN --mount=type=cache`), but for those in use. Returns how
    /// many there were.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn prune_run_caches(&self) -> Result<usize> {
        let failed = |errno| Error::at("getdents64", &self.named(CACHES), errno);
        let mut removed = 0;
        for name in directory::names(self.root(), CACHES).map_err(failed)? {
            let place = format!("{CACHES}/{name}");
            let path = self.named(&place);
            let opened = match directory::open_at(self.root(), place.as_str()) {
                Err(Errno::NOENT) => continue,
                opened => opened.map_err(|errno| Error::at("openat", &path, errno))?,
            };
            let is_ours = lock::try_alone(&opened, &path)?;
            if is_ours && self.is_still(&opened, &place).map_err(failed)? {
                // Who waits for it sees that it is another one.
                self.remove_tree(opened.as_fd(), DATA)
                    .and_then(|()| self.remove_tree(self.root(), &place))
                    .map_err(|errno| Error::at("unlinkat", &path, errno))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
