//! The directories that belong to the system: never relabelled, because the host's programs would lose them.
//!
//! Kernel objects: none; devices and inodes of paths. Invariant: a directory is known by what it is, not only by its
//! name, so that a bind mount or a link to it is refused, too.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, fstat, statat};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::label::shown;

/// Directories with files of more than one purpose. What is below them may be a container's, unless it is here, too.
const ITSELF: [&str; 33] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
    "/dev/shm",
];

/// Directories of which all is the system's.
const WITH_ALL_BELOW: [&str; 11] = [
    "/bin",
    "/boot",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
];

/// The system's directories of this machine.
#[derive(Debug)]
pub(crate) struct SystemDirectories {
    found: BTreeSet<(u64, u64)>,
}

impl SystemDirectories {
    /// Those of this machine, with the caller's home directory.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let paths = ITSELF.iter().chain(&WITH_ALL_BELOW).map(PathBuf::from).chain(home);
        let mut found = BTreeSet::new();
        for path in paths {
            match statat(CWD, &path, AtFlags::empty()) {
                Ok(stat) => found.extend([(stat.st_dev, stat.st_ino)]),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(Error::on("stat", &path, errno)),
            }
        }
        Ok(Self { found })
    }

    /// Refuses an open file that is one of them, or below one of which all is the system's.
    pub(crate) fn check(&self, file: impl AsFd) -> Result<()> {
        let path = shown(&file);
        let stat = fstat(&file).map_err(|errno| Error::on("stat", &path, errno))?;
        if self.contains((stat.st_dev, stat.st_ino)) || is_below(&path) {
            return Err(Error::at(ErrorKind::SystemDirectory, path));
        }
        Ok(())
    }

    /// Whether this device and inode is one of them.
    pub(crate) fn contains(&self, identity: (u64, u64)) -> bool {
        self.found.contains(&identity)
    }
}

fn is_below(path: &Path) -> bool {
    WITH_ALL_BELOW.iter().any(|dir| path.starts_with(dir))
}
