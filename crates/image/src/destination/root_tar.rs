//! A destination that is one tar file with all of an image's files.
//!
//! Kernel objects: the file, which appears when it is whole, and a directory beside it as long as it
//! is being made. Invariant: the layers are applied as for a root directory, so that the file has
//! what a container would see.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::pending_file::PendingFile;
use super::{Destination, RootDirectory};
use crate::descriptor::Descriptor;
use crate::diff::Diff;
use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::source::Resolved;
use crate::store::fresh_name;
use crate::unpack::{Unpack, Whiteouts};

/// Writes all files of one image into a tar file.
#[derive(Debug)]
pub struct RootTar {
    root: RootDirectory,
    directory: PathBuf,
    path: PathBuf,
    diff: Diff,
}

impl RootTar {
    /// Begins a file, which appears (and replaces an old one) when it is whole. How layers are
    /// unpacked meanwhile, into a directory beside it, says `unpack`; how the file is compressed,
    /// and which times it has, `diff`.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn create(path: impl AsRef<Path>, unpack: &Unpack, diff: &Diff) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let directory = beside(&path);
        let root = RootDirectory::create(&directory, unpack)?;
        let mut diff = diff.clone();
        (diff.whiteouts, diff.ownership) = (Whiteouts::Applied, unpack.ownership);
        Ok(Self { root, directory, path, diff })
    }
}

/// A name beside a file that nobody else uses.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(fresh_name("pending-"));
    path.with_file_name(name)
}

impl Destination for RootTar {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        self.root.has(blob)
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        self.root.put(blob, content)
    }

    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()> {
        self.root.finish(image, name)?;
        let directory = File::open(&self.directory)
            .map_err(|error| Error::io("open", &self.directory, &error))?;
        let mut file = PendingFile::create(beside(&self.path), self.path.clone())?;
        self.diff.write(std::os::fd::AsFd::as_fd(&directory), &mut file.file)?;
        file.finish()
    }
}

impl Drop for RootTar {
    fn drop(&mut self) {
        // What cannot be removed has a name that says what it is.
        fs::remove_dir_all(&self.directory).unwrap_or_default();
    }
}
