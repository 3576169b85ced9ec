//! The files of one running machine: sockets, the description of the job, the console.
//!
//! Invariant: removed with the value; what a killed process left is removed by the next one.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::error::Error;

const PREFIX: &str = "xtask-vm.";
const LOCK: &str = "lock";

/// A directory below `/tmp`, as the path of a socket may have no more than 107 bytes.
pub(super) struct Scratch {
    dir: TempDir,
    /// Locked while we live.
    _held: File,
}

impl Scratch {
    /// Makes it, and removes those whose owner was killed.
    pub(super) fn make() -> Result<Self, Error> {
        let top = Path::new("/tmp");
        sweep(top)?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(top)
            .map_err(|e| Error::io("make a directory in", top, e))?;
        let lock = dir.path().join(LOCK);
        let held = File::create(&lock).map_err(|e| Error::io("make", &lock, e))?;
        flock(&held, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| Error::io("lock", &lock, errno.into()))?;
        let scratch = Self { dir, _held: held };
        for name in ["job", "empty"] {
            let dir = scratch.path(name);
            std::fs::create_dir(&dir).map_err(|e| Error::io("make", &dir, e))?;
            std::fs::set_permissions(&dir, Permissions::from_mode(0o755))
                .map_err(|e| Error::io("chmod", &dir, e))?;
        }
        Ok(scratch)
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The last lines that the kernel and QEMU said.
    pub(super) fn last_words(&self) -> String {
        let mut words = String::new();
        for name in ["qemu.log", "console"] {
            let bytes = std::fs::read(self.path(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            let lines: Vec<&str> = text.lines().collect();
            for line in lines.get(lines.len().saturating_sub(30)..).unwrap_or_default() {
                words += &format!("  {line}\n");
            }
        }
        words
    }
}

/// Removes directories of ours that nobody holds a lock in.
fn sweep(top: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(top).map_err(|e| Error::io("list", top, e))? {
        let Ok(entry) = entry else { continue };
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Another user's cannot be opened; one without a lock file is just being made.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        match std::fs::remove_dir_all(entry.path()) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", &entry.path(), e));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_abandoned_ones_are_swept() {
        let top = tempfile::tempdir().expect("a directory");
        for name in ["xtask-vm.gone", "xtask-vm.used", "xtask-vm.new", "other"] {
            std::fs::create_dir(top.path().join(name)).expect("a directory");
            if name != "xtask-vm.new" {
                File::create(top.path().join(name).join(LOCK)).expect("a file");
            }
        }
        let used = File::open(top.path().join("xtask-vm.used/lock")).expect("the file");
        flock(&used, FlockOperation::LockExclusive).expect("a lock");
        sweep(top.path()).expect("swept");
        let there = |name: &str| top.path().join(name).exists();
        assert!(!there("xtask-vm.gone"));
        assert!(there("xtask-vm.used") && there("xtask-vm.new") && there("other"));
    }
}
