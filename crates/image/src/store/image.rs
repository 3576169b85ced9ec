//! An image in a store, in use.
//!
//! Kernel objects: a shared lock on the manifest's file. Invariant: as long as an [`Image`] lives,
//! none of its blobs and unpacked layers is collected.

use std::io::{Read, Seek, SeekFrom};

use super::blob::Blob;
use super::layer::Layer;
use super::{Area, Entry, Form, Store, lock};
use crate::config::Configuration;
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::error::{Error, ErrorKind, Flaw, Result};
use crate::manifest::{MANIFEST, Manifest};
use crate::reference::Reference;
use crate::source::Source;

/// An image in a [`Store`]: its documents, and a hold on its content.
#[derive(Debug)]
pub struct Image {
    store: Store,
    entry: Entry,
    manifest: Manifest,
    config: Configuration,
    #[expect(dead_code, reason = "its shared lock holds the image's content")]
    held: Blob,
}

impl Store {
    /// Opens an image by its name; `latest` if the name has neither a tag nor a digest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], also for content that is missing;
    /// [`ErrorKind::DigestMismatch`] for documents that were changed on the disk.
    pub fn image(&self, reference: &Reference) -> Result<Image> {
        loop {
            // Collected just before: the name is gone, too, or stands for something else.
            if let Some(image) = self.open_entry(self.entry(reference)?)? {
                return Ok(image);
            }
        }
    }

    /// Opens an image; `None` if it was collected just before.
    pub(super) fn open_entry(&self, entry: Entry) -> Result<Option<Image>> {
        let Some(held) = self.hold(&entry.manifest)? else { return Ok(None) };
        let bytes = self.blob(&entry.manifest.digest)?.read_document()?;
        let Document::Manifest(manifest) =
            Document::parse(&bytes, Some(&entry.manifest.media_type))?
        else {
            let found = entry.manifest.media_type.to_string();
            return Err(Error::document(MANIFEST, Flaw::NotWhatItSays(found)));
        };
        let bytes = self.blob(&manifest.config.digest)?.read_document()?;
        let config = Configuration::parse_for(&bytes, &manifest)?;
        Ok(Some(Image { store: self.clone(), entry, manifest: *manifest, config, held }))
    }

    /// Locks a manifest against being collected; `None` if it was collected just before.
    fn hold(&self, manifest: &Descriptor) -> Result<Option<Blob>> {
        let held = self.blob(&manifest.digest)?;
        lock::shared(held.file(), &self.named(&Area::Blobs.path(&manifest.digest)))?;
        let stat = rustix::fs::fstat(held.file())
            .map_err(|errno| Error::at("fstat", &self.named(MANIFEST), errno))?;
        Ok((stat.st_nlink > 0).then_some(held))
    }
}

impl Image {
    /// The name by which it was opened.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.entry.reference
    }

    /// The manifest's descriptor: its digest is the image's.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.entry.manifest
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration. Its content is of whoever made the image, and not trusted.
    #[must_use]
    pub fn config(&self) -> &Configuration {
        &self.config
    }

    /// The store that it is in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How many bytes the image's blobs have together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.manifest
            .blobs()
            .fold(self.entry.manifest.size, |sum, blob| sum.saturating_add(blob.size))
    }

    /// Its layers as they were unpacked in this form (see [`Unpacker::form`](super::Unpacker)), the
    /// lowest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if one of them is not unpacked (see [`Store::unpack`]).
    pub fn layers(&self, form: &Form) -> Result<Vec<Layer>> {
        let ids = self.config.rootfs.diff_ids.iter();
        ids.map(|id| {
            self.store.layer(id, form)?.ok_or_else(|| Error::absent("unpacked layer", *id))
        })
        .collect()
    }
}

impl Source for Image {
    fn root(&self) -> Result<Descriptor> {
        Ok(self.entry.manifest.clone())
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut opened = self.store.blob(&blob.digest)?;
        opened.seek(SeekFrom::Start(offset)).map_err(|error| Error::stream("lseek", error))?;
        Ok(Box::new(opened))
    }
}

/// Whether something is not there.
pub(super) fn absent<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
