//! The file with the state, and its lock.
//!
//! Kernel objects: a directory with the files `lock` (flock(2)) and `state`; both go when nothing is in use. Invariant:
//! `state` is replaced as a whole, by the holder of the lock only.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Reason, Result};
use crate::state::State;

/// The largest state that is read: some hundred thousand leases.
const STATE_MAX: u64 = 64 << 20;

/// The place.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// The state, while this process alone may change it.
#[derive(Debug)]
pub(crate) struct Locked {
    directory: PathBuf,
    /// The lock ends with it.
    _lock: OwnedFd,
    pub(crate) state: State,
}

impl Store {
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits for the lock and reads the state.
    pub(crate) fn lock(&self) -> Result<Locked> {
        let lock = self.open_lock()?;
        let path = self.directory.join("state");
        let state = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(Error::io("stat", &path, &error)),
            Ok(found) if found.len() > STATE_MAX => return Err(damaged(&path)),
            Ok(_) => {
                let content = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
                State::parse(&content).ok_or_else(|| damaged(&path))?
            }
        };
        Ok(Locked { directory: self.directory.clone(), _lock: lock, state })
    }

    /// The lock file, locked. The last user removes it, so that it is looked at again when the lock is held.
    fn open_lock(&self) -> Result<OwnedFd> {
        let path = self.directory.join("lock");
        let failed = |operation| {
            let path = path.clone();
            move |error: io::Error| Error::io(operation, &path, &error)
        };
        loop {
            self.make_directory()?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
            let file = match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => OwnedFd::from(opened.map_err(failed("open"))?),
            };
            lock(&file).map_err(|errno| Error::at("flock", &path, errno))?;
            let held = fstat(&file).map_err(|errno| Error::at("fstat", &path, errno))?;
            match fs::symlink_metadata(&path) {
                Ok(now) if (now.dev(), now.ino()) == (held.st_dev, held.st_ino) => return Ok(file),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("stat")(error)),
            }
        }
    }

    /// Its own directory is for nobody else; those above it are as they usually are.
    fn make_directory(&self) -> Result<()> {
        let failed = |path: &Path, error: &io::Error| Error::io("mkdir", path, error);
        if let Some(parent) = self.directory.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        match fs::DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed(&self.directory, &error))
            }
            _ => Ok(()),
        }
    }
}

fn lock(file: &OwnedFd) -> Result<(), Errno> {
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn damaged(path: &Path) -> Error {
    Error::text(ErrorKind::DamagedState, path.display(), Reason::Damaged)
}

impl Locked {
    /// Writes the state; the files go when there is nothing in it.
    pub(crate) fn save(&self) -> Result<()> {
        let path = self.directory.join("state");
        if self.state.is_empty() {
            return self.remove();
        }
        let new = self.directory.join("state.new");
        fs::write(&new, self.state.to_bytes()?)
            .map_err(|error| Error::io("write", &new, &error))?;
        fs::rename(&new, &path).map_err(|error| Error::io("rename", &path, &error))
    }

    /// Removes the files and the directory; one with other things in it stays.
    fn remove(&self) -> Result<()> {
        // The lock last: who takes a new one finds everything else gone.
        for name in ["state.new", "state", "lock"] {
            let path = self.directory.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("unlink", &path, &error));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.directory) {
            // Somebody else has made a lock in it.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| Error::io("rmdir", &self.directory, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::BridgeNetwork;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(directory.path().join("net"));
        (directory, store)
    }

    #[test]
    fn nothing_in_use_leaves_nothing() {
        let (directory, store) = store();
        let mut locked = store.lock().unwrap();
        let network = BridgeNetwork::new("a").unwrap();
        locked.state.require(&network, || Ok(Vec::new()), [0; 5]).unwrap();
        locked.save().unwrap();
        drop(locked);
        let mut locked = store.lock().unwrap();
        assert_eq!(locked.state.networks.len(), 1);
        locked.state = State::default();
        locked.save().unwrap();
        drop(locked);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_state_is_said() {
        let (_directory, store) = store();
        drop(store.lock().unwrap());
        fs::write(store.directory().join("state"), b"{").unwrap();
        assert_eq!(store.lock().unwrap_err().kind(), ErrorKind::DamagedState);
    }

    #[test]
    fn many_take_turns() {
        let (directory, store) = store();
        let name = |index| BridgeNetwork::new(&format!("n{index}")).unwrap();
        std::thread::scope(|scope| {
            for index in 0..8 {
                let store = store.clone();
                scope.spawn(move || {
                    for _ in 0..20 {
                        let mut locked = store.lock().unwrap();
                        let network = name(index);
                        locked.state.require(&network, || Ok(Vec::new()), [0; 5]).unwrap();
                        locked.save().unwrap();
                        drop(locked);
                        let mut locked = store.lock().unwrap();
                        assert!(locked.state.networks.remove(network.name()).is_some());
                        locked.save().unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
