//! A destination that is an OCI layout in a directory: a new one, or one that gets a further image.
//!
//! Kernel objects: the directory's files, and a lock on the directory, so that two processes do not
//! write its index at once. Invariant: files appear under their names when they are whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::Destination;
use super::pending_file::PendingFile;
use crate::descriptor::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, Descriptor};
use crate::digest::Digester;
use crate::document;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::reference::{DEFAULT_TAG, Reference};
use crate::source::layout::{self, INDEX_JSON, LAYOUT, Mark, VERSION};
use crate::source::{Resolved, each_chunk};

/// Writes images into an OCI layout that is a directory.
#[derive(Debug)]
pub struct LayoutWriter {
    path: PathBuf,
    index: Index,
    #[expect(dead_code, reason = "its lock keeps other writers out")]
    held: File,
}

impl LayoutWriter {
    /// Opens a layout, or makes one in an absent or empty directory. Waits for another writer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) for a directory with something
    /// else in it, [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for a layout
    /// of another version, and what the kernel says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        fs::create_dir_all(&path).map_err(|error| Error::io("mkdir", &path, &error))?;
        let held = File::open(&path).map_err(|error| Error::io("open", &path, &error))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&held, FlockOperation::LockExclusive))
            .map_err(|errno| Error::at("flock", &path, errno))?;
        let mut writer = Self { path, index: Index::new(Vec::new()), held };
        match writer.read(LAYOUT)? {
            Some(mark) => {
                layout::check_mark(&mark)?;
                // A process can be killed between the two files.
                if let Some(index) = writer.read(INDEX_JSON)? {
                    writer.index = layout::parse_index(&index)?;
                }
            }
            None => writer.make()?,
        }
        Ok(writer)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path, &error)),
        }
    }

    fn make(&self) -> Result<()> {
        let listed = fs::read_dir(&self.path);
        let mut entries = listed.map_err(|error| Error::io("readdir", &self.path, &error))?;
        if entries.next().is_some() {
            return Err(Error::at("open", &self.path, rustix::io::Errno::EXIST));
        }
        let mark = Mark { version: VERSION.to_owned() };
        self.write(LAYOUT, &mut document::to_json(LAYOUT, &mark)?.as_slice())
    }

    /// The directories of a file. A link in their place would lead out of the layout.
    fn make_parents(&self, name: &str) -> Result<()> {
        let mut path = self.path.clone();
        let Some((parents, _)) = name.rsplit_once('/') else { return Ok(()) };
        for parent in parents.split('/') {
            path.push(parent);
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("mkdir", &path, &error));
                }
                _ => {}
            }
            let found = fs::symlink_metadata(&path);
            let found = found.map_err(|error| Error::io("stat", &path, &error))?;
            if !found.is_dir() {
                return Err(Error::at("open", &path, rustix::io::Errno::NOTDIR));
            }
        }
        Ok(())
    }

    /// Whether a file has the size and the digest of a blob.
    fn is_whole(&self, path: &Path, blob: &Descriptor) -> Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_file() && found.len() == blob.size => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("stat", path, &error));
            }
            _ => return Ok(false),
        }
        let mut file = File::open(path).map_err(|error| Error::io("open", path, &error))?;
        let mut digester = Digester::new(blob.digest.algorithm());
        each_chunk(&mut file, |bytes| {
            digester.update(bytes);
            Ok(())
        })?;
        Ok(digester.finish() == blob.digest)
    }

    /// Writes a file as a whole.
    fn write(&self, name: &str, content: &mut dyn Read) -> Result<()> {
        let path = self.path.join(name);
        self.make_parents(name)?;
        // There is one writer at a time: what stands there was left by a killed one.
        let temporary = self.path.join(".pending");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("unlink", &temporary, &error));
            }
            _ => {}
        }
        let mut file = PendingFile::create(temporary, path)?;
        file.write_all(content)?;
        file.finish()
    }
}

impl Destination for LayoutWriter {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        self.is_whole(&self.path.join(layout::blob_path(&blob.digest)), blob)
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        self.write(&layout::blob_path(&blob.digest), content)
    }

    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()> {
        if !self.has(&image.descriptor)? {
            self.put(&image.descriptor, &mut image.manifest_bytes.as_slice())?;
        }
        add(&mut self.index, named(&image.descriptor, name));
        self.write(INDEX_JSON, &mut self.index.to_bytes()?.as_slice())
    }
}

/// Adds an entry to an index; it takes its name from the one that had it.
fn add(index: &mut Index, entry: Descriptor) {
    let name = layout::name_of(&entry);
    index
        .manifests
        .retain(|old| layout::name_of(old) != name || name.is_none() && old.digest != entry.digest);
    index.manifests.push(entry);
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
