//! A destination that is an OCI layout in a directory: a new one, or one that gets a further image.
//!
//! Kernel objects: the directory's files, and a lock on the directory, so that two processes do not
//! write its index at once. Invariant: files appear under their names when they are whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{BlobSink, Destination, put};
use crate::descriptor::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, Descriptor};
use crate::document;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::reference::{DEFAULT_TAG, Reference};
use crate::source::Resolved;
use crate::source::layout::{self, INDEX_JSON, LAYOUT, Mark, VERSION};

/// Writes images into an OCI layout that is a directory.
#[derive(Debug)]
pub struct LayoutDirectoryWriter {
    path: PathBuf,
    index: Index,
    #[expect(dead_code, reason = "its lock keeps other writers out")]
    held: File,
}

impl LayoutDirectoryWriter {
    /// Opens a layout, or makes one in an absent or empty directory. Waits for another writer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) for a directory with something
    /// else in it, [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for a layout
    /// of another version, and what the kernel says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let failed = |operation| {
            let path = path.clone();
            move |error: std::io::Error| Error::io(operation, &path, &error)
        };
        fs::create_dir_all(&path).map_err(failed("mkdir"))?;
        let held = File::open(&path).map_err(failed("open"))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&held, FlockOperation::LockExclusive))
            .map_err(|errno| Error::at("flock", &path, errno))?;
        let mut writer = Self { path, index: Index::new(Vec::new()), held };
        match fs::read(writer.path.join(LAYOUT)) {
            Ok(mark) => {
                layout::check_mark(&mark)?;
                writer.read_index()?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => writer.make()?,
            Err(error) => return Err(Error::io("open", &writer.path.join(LAYOUT), &error)),
        }
        Ok(writer)
    }

    fn read_index(&mut self) -> Result<()> {
        let path = self.path.join(INDEX_JSON);
        match fs::read(&path) {
            Ok(bytes) => self.index = layout::parse_index(&bytes)?,
            // Killed between the two files.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("open", &path, &error)),
        }
        Ok(())
    }

    fn make(&self) -> Result<()> {
        let mut entries =
            fs::read_dir(&self.path).map_err(|error| Error::io("readdir", &self.path, &error))?;
        if entries.next().is_some() {
            return Err(Error::at("open", &self.path, rustix::io::Errno::EXIST));
        }
        let mark = Mark { version: VERSION.to_owned() };
        self.write(LAYOUT, &document::to_json(LAYOUT, &mark)?)
    }

    /// Writes a small file as a whole.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.pending(self.path.join(name))?;
        file.write(bytes)?;
        Box::new(file).finish()
    }

    fn pending(&self, path: PathBuf) -> Result<PendingFile> {
        let parent = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(parent).map_err(|error| Error::io("mkdir", parent, &error))?;
        // There is one writer at a time, so that one name is enough.
        let temporary = self.path.join(".pending");
        let file =
            File::create(&temporary).map_err(|error| Error::io("open", &temporary, &error))?;
        Ok(PendingFile { file, temporary, path })
    }
}

impl Destination for LayoutDirectoryWriter {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        let path = self.path.join(layout::blob_path(blob));
        match fs::symlink_metadata(&path) {
            Ok(found) => Ok(found.is_file() && found.len() == blob.size),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("stat", &path, &error)),
        }
    }

    fn begin(&mut self, blob: &Descriptor) -> Result<Box<dyn BlobSink + '_>> {
        Ok(Box::new(self.pending(self.path.join(layout::blob_path(blob)))?))
    }

    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()> {
        put(self, &image.descriptor, &image.manifest_bytes)?;
        let entry = named(&image.descriptor, name);
        // The new one takes the name from the old one.
        let name = layout::name_of(&entry);
        self.index.manifests.retain(|old| {
            layout::name_of(old) != name || name.is_none() && old.digest != entry.digest
        });
        self.index.manifests.push(entry);
        self.write(INDEX_JSON, &self.index.to_bytes()?)
    }
}

/// A descriptor with the annotations by which others find the image.
pub(super) fn named(descriptor: &Descriptor, name: Option<&Reference>) -> Descriptor {
    let mut entry = descriptor.bare();
    entry.platform = descriptor.platform.clone();
    if let Some(name) = name {
        let tag = name.tag().unwrap_or(DEFAULT_TAG);
        let annotations =
            [(ANNOTATION_REF_NAME, tag.to_owned()), (ANNOTATION_IMAGE_NAME, name.to_string())];
        entry.annotations.extend(annotations.map(|(key, value)| (key.to_owned(), value)));
    }
    entry
}

/// A file that appears under its name when it is whole.
struct PendingFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl BlobSink for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io("write", &self.temporary, &error))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.file.sync_all().map_err(|error| Error::io("fsync", &self.temporary, &error))?;
        fs::rename(&self.temporary, &self.path)
            .map_err(|error| Error::io("rename", &self.path, &error))
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        // A finished one is gone from here.
        fs::remove_file(&self.temporary).unwrap_or_default();
    }
}
