//! Blobs: content under its digest, read as a file, written as a stream that is checked.
//!
//! Kernel objects: regular files below `blobs/`, and in `pending/` while they are not whole.
//! Invariant: a file below `blobs/` had its digest when it was put there, and was on the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::lock::{self, Lock};
use super::{Area, Store, pending};
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, Digester};
use crate::document::{self, DOCUMENT_MAX};
use crate::error::{Error, Flaw, Result, errno_of};
use crate::media_type::MediaType;

/// A blob that is there, open for reading.
#[derive(Debug)]
pub struct Blob {
    file: File,
    digest: Digest,
    size: u64,
}

impl Blob {
    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole blob, if it is no larger than a document; its digest is checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for more than
    /// [`DOCUMENT_MAX`], [`ErrorKind::DigestMismatch`](crate::ErrorKind::DigestMismatch) for what
    /// was changed on the disk.
    pub fn read_document(mut self) -> Result<Vec<u8>> {
        if self.size > DOCUMENT_MAX {
            return Err(Error::document(BLOB, Flaw::TooLarge(self.size)));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(DOCUMENT_MAX).read_to_end(&mut bytes);
        read.map_err(|error| Error::stream("read", error))?;
        document::verify(BLOB, &bytes, &self.digest, self.size)?;
        Ok(bytes)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for Blob {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// What a blob is called in errors.
pub(crate) const BLOB: &str = "blob";

/// A blob that is wanted: there, or to be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Slot {
    /// It is there.
    There(Blob),
    /// It is to be written.
    Write(Box<BlobWriter>),
}

/// Writes a blob whose digest and size are known beforehand.
///
/// Dropped before [`commit`](Self::commit), it leaves what was written, so that a later writer of
/// the same blob goes on from there ([`offset`](Self::offset)).
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: File,
    name: String,
    wanted: Descriptor,
    digester: Digester,
    is_gone: bool,
    _adding: Lock,
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if self.offset() == 0 && self.wanted.size > 0 {
            self.discard();
        }
    }
}

/// Writes a blob whose digest comes out at the end.
#[derive(Debug)]
pub struct NewBlob {
    store: Store,
    file: File,
    name: String,
    digester: Digester,
    finished: bool,
    _adding: Lock,
}

impl Store {
    /// Opens a blob.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn blob(&self, digest: &Digest) -> Result<Blob> {
        let place = Area::Blobs.path(digest);
        let failed = |errno| Error::at("openat", &self.named(&place), errno);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = rustix::fs::openat(self.root(), &place, flags, Mode::empty());
        let opened = opened.map_err(failed)?;
        let stat = rustix::fs::fstat(&opened).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(Errno::INVAL));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Blob { file: opened.into(), digest: *digest, size })
    }

    /// A place for a blob: it is there, or the only writer for it. Waits for other writers of the
    /// same blob.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn slot(&self, wanted: &Descriptor) -> Result<Slot> {
        let adding = Lock::shared(self)?;
        let place = Area::Blobs.path(&wanted.digest);
        let name =
            format!("{}{}-{}", pending::BLOB, wanted.digest.algorithm(), wanted.digest.hex());
        let path = pending::path(&name);
        loop {
            if let Some(there) = self.there(wanted, &place)? {
                return Ok(Slot::There(there));
            }
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let failed = |errno| Error::at("openat", &self.named(&path), errno);
            let mode = Mode::from_raw_mode(0o600);
            let file = rustix::fs::openat(self.root(), &path, flags, mode).map_err(failed)?;
            lock::alone(&file, &self.named(&path))?;
            // Whoever had it may have renamed or removed it meanwhile.
            let own = rustix::fs::fstat(&file).map_err(failed)?;
            let now = rustix::fs::statat(self.root(), &path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            if now.is_ok_and(|now| (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)) {
                let mut writer = BlobWriter {
                    store: self.clone(),
                    file: file.into(),
                    name,
                    wanted: wanted.bare(),
                    digester: Digester::new(wanted.digest.algorithm()),
                    is_gone: false,
                    _adding: adding,
                };
                writer.take_up()?;
                return Ok(Slot::Write(Box::new(writer)));
            }
        }
    }

    /// The blob, if it is there with the right size; one that lost its end on the disk is removed.
    fn there(&self, wanted: &Descriptor, place: &str) -> Result<Option<Blob>> {
        match self.blob(&wanted.digest) {
            Ok(blob) if blob.size == wanted.size => Ok(Some(blob)),
            Ok(blob) if blob.size < wanted.size => {
                self.remove_tree(self.root(), place)
                    .map_err(|errno| Error::at("unlinkat", &self.named(place), errno))?;
                Ok(None)
            }
            Ok(blob) => Err(Error::size(BLOB, wanted.digest, wanted.size, blob.size)),
            Err(error) if error.kind() == crate::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores bytes that are in memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what the kernel says.
    pub fn put(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        self.put_checked(&descriptor, bytes)?;
        Ok(descriptor)
    }

    /// Stores bytes that have to be what a descriptor says.
    pub(crate) fn put_checked(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        document::verify(BLOB, bytes, &descriptor.digest, descriptor.size)?;
        if let Slot::Write(mut writer) = self.slot(descriptor)? {
            writer.restart()?;
            writer.write(bytes)?;
            writer.commit()?;
        }
        Ok(())
    }

    /// A new blob, whose digest is known when it is written.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn new_blob(&self) -> Result<NewBlob> {
        let adding = Lock::shared(self)?;
        let name = pending::fresh("new-");
        Ok(NewBlob {
            store: self.clone(),
            file: pending::create(self, &name)?,
            name,
            digester: Digester::new(Algorithm::Sha256),
            finished: false,
            _adding: adding,
        })
    }
}

impl BlobWriter {
    /// How many bytes of the blob are there already: the first one to write is this.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.digester.len()
    }

    /// Reads what an earlier writer left.
    fn take_up(&mut self) -> Result<()> {
        let digester = &mut self.digester;
        let mut hash = Hash(digester);
        let limited = &mut (&self.file).take(self.wanted.size.saturating_add(1));
        let copied = io::copy(limited, &mut hash).map_err(|error| self.failed("read", &error))?;
        // Too much cannot be the start of it, and all of it would have been committed.
        if copied >= self.wanted.size { self.restart() } else { Ok(()) }
    }

    /// Forgets what is there: the first byte to write is the blob's first.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn restart(&mut self) -> Result<()> {
        self.digester = Digester::new(self.wanted.digest.algorithm());
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|error| self.failed("ftruncate", &error))
    }

    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SizeMismatch`](crate::ErrorKind::SizeMismatch) for more than was promised; what
    /// there was is dropped then. [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace) likewise.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let len = self.digester.len().saturating_add(bytes.len() as u64);
        if len > self.wanted.size {
            self.discard();
            return Err(Error::size(BLOB, self.wanted.digest, self.wanted.size, len));
        }
        if let Err(error) = self.file.write_all(bytes) {
            self.discard();
            return Err(self.failed("write", &error));
        }
        self.digester.update(bytes);
        Ok(())
    }

    /// Checks size and digest, and puts the blob into its place, on the disk.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SizeMismatch`](crate::ErrorKind::SizeMismatch),
    /// [`ErrorKind::DigestMismatch`](crate::ErrorKind::DigestMismatch): what was written is dropped
    /// then. [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what the kernel says.
    pub fn commit(mut self) -> Result<Blob> {
        let Descriptor { digest, size, .. } = self.wanted;
        if self.digester.len() != size {
            return Err(Error::size(BLOB, digest, size, self.digester.len()));
        }
        let found = self.digester.clone().finish();
        if found != digest {
            self.discard();
            return Err(Error::mismatch(BLOB, digest, found));
        }
        if let Err(error) = self.file.sync_all() {
            self.discard();
            return Err(self.failed("fsync", &error));
        }
        pending::publish(&self.store, &self.name, &Area::Blobs.path(&digest))?;
        self.is_gone = true;
        self.store.blob(&digest)
    }

    /// Removes what was written; once, because then the name may be another writer's.
    fn discard(&mut self) {
        if std::mem::replace(&mut self.is_gone, true) {
            return;
        }
        // The error that led here is the one to tell; what stays is cleared later.
        self.store.remove_tree(self.store.root(), &pending::path(&self.name)).unwrap_or_default();
    }

    fn failed(&self, operation: &'static str, error: &io::Error) -> Error {
        Error::at(operation, &self.store.named(&pending::path(&self.name)), errno_of(error))
    }
}

impl NewBlob {
    /// Puts the blob into its place, under the digest that it has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what the kernel says.
    pub fn finish(mut self, media_type: MediaType) -> Result<Descriptor> {
        let path = self.store.named(&pending::path(&self.name));
        self.file.sync_all().map_err(|error| Error::io("fsync", &path, &error))?;
        let size = self.digester.len();
        let digest = self.digester.clone().finish();
        pending::publish(&self.store, &self.name, &Area::Blobs.path(&digest))?;
        self.finished = true;
        Ok(Descriptor::new(media_type, digest, size))
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digester.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if !self.finished {
            self.store
                .remove_tree(self.store.root(), &pending::path(&self.name))
                .unwrap_or_default();
        }
    }
}

/// A digester as a place to write to.
struct Hash<'a>(&'a mut Digester);

impl Write for Hash<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
