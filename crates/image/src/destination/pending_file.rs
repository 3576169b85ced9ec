//! Files that appear under their name when they are whole.
//!
//! Kernel objects: a file with a temporary name beside the final one. Invariant: what stands under
//! the final name is whole, and on the disk.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::source::each_chunk;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct PendingFile {
    pub(super) file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl PendingFile {
    /// Begins a file that will be `path`; `temporary` is a name that no other writer uses, and that
    /// must not exist: a link of that name would lead elsewhere.
    pub(super) fn create(temporary: PathBuf, path: PathBuf) -> Result<Self> {
        let file = File::create_new(&temporary);
        let file = file.map_err(|error| Error::io("open", &temporary, &error))?;
        Ok(Self { file, temporary, path })
    }

    /// Adds bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed("write", &error))
    }

    /// Adds everything that `content` has.
    pub(super) fn write_all(&mut self, content: &mut dyn Read) -> Result<()> {
        each_chunk(content, |bytes| self.write(bytes))
    }

    /// An error of this file.
    pub(super) fn failed(&self, operation: &'static str, error: &std::io::Error) -> Error {
        Error::io(operation, &self.temporary, error)
    }

    /// Gives it its name.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.file.sync_all().map_err(|error| self.failed("fsync", &error))?;
        fs::rename(&self.temporary, &self.path)
            .map_err(|error| Error::io("rename", &self.path, &error))?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| Error::io("fsync", parent, &error))
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        // A finished one has another name already.
        fs::remove_file(&self.temporary).unwrap_or_default();
    }
}
