//! How much room a store takes on the disk.
//!
//! Kernel objects: none but the files that are looked at. Invariant: nothing is changed; what
//! disappears meanwhile is not counted.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::{Area, CACHES, PENDING, Store, directory};
use crate::error::{Error, Result};

/// Bytes on the disk, counted in the blocks that files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Of blobs.
    pub blobs: u64,
    /// Of unpacked layers.
    pub layers: u64,
    /// Of what is not finished.
    pub pending: u64,
    /// Of what programs of builds keep for later builds.
    pub caches: u64,
}

impl Usage {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.blobs
            .saturating_add(self.layers)
            .saturating_add(self.pending)
            .saturating_add(self.caches)
    }
}

impl Store {
    /// How much room it takes. Unpacked layers are walked through.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn usage(&self) -> Result<Usage> {
        let of = |name: &str| {
            let opened = directory::open_at(self.root(), name);
            opened.and_then(tree).map_err(|errno| Error::at("openat", &self.named(name), errno))
        };
        Ok(Usage {
            blobs: of(Area::Blobs.name())?,
            layers: of(Area::Layers.name())?,
            pending: of(PENDING)?,
            caches: self.caches()?,
        })
    }
}

impl Store {
    /// Files of other owners are counted as far as the caller may look.
    fn caches(&self) -> Result<u64> {
        let failed = |errno| Error::at("openat", &self.named(CACHES), errno);
        match directory::open_at(self.root(), CACHES).and_then(tree) {
            Err(Errno::NOENT) => Ok(0),
            bytes => bytes.map_err(failed),
        }
    }
}

/// The blocks of everything below a directory, in bytes; files with several names count once for
/// each link that they have in the tree, divided among the links.
fn tree(top: OwnedFd) -> rustix::io::Result<u64> {
    let mut bytes = 0_u64;
    let mut open = vec![Dir::new(top)?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.read() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let parent = directory.fd()?;
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        #[allow(clippy::useless_conversion, reason = "32 bits wide on aarch64")]
        let links = if is_directory { 1 } else { u64::from(stat.st_nlink).max(1) };
        bytes = bytes.saturating_add(blocks / links);
        if is_directory {
            match directory::open_at(parent, name) {
                Ok(below) => open.push(Dir::new(below)?),
                Err(Errno::NOENT | Errno::ACCESS) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(bytes)
}
