//! An image of a registry as a source and as a destination.
//!
//! Kernel objects: connections. Invariant: manifests are asked for as manifests and blobs as blobs, by digest, whatever
//! the documents between them say.

use std::io::{Cursor, Read};
use std::sync::OnceLock;

use super::upload::{Push, Upload};
use super::{FetchedManifest, Registry};
use crate::descriptor::Descriptor;
use crate::destination::Destination;
use crate::document::Document;
use crate::error::Result;
use crate::media_type::MediaType;
use crate::reference::Reference;
use crate::source::{Resolved, Source, each_chunk};

/// An image of a registry, to be read.
///
/// ```no_run
/// use ampoule_image::registry::{Options, Registry, RegistryImage};
/// use ampoule_image::{Pull, Reference, Store};
///
/// # fn main() -> ampoule_image::Result<()> {
/// let reference: Reference = "localhost:5000/team/app:1.2".parse()?;
/// let registry = Registry::new(reference.registry(), &Options::default())?;
/// let image = RegistryImage::new(&registry, &reference);
/// Store::open("/var/lib/app/images")?.pull(&image, &reference, &Pull::new())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RegistryImage<'a> {
    registry: &'a Registry,
    reference: Reference,
    root: OnceLock<FetchedManifest>,
}

impl<'a> RegistryImage<'a> {
    /// The image with that name; nothing is asked yet.
    #[must_use]
    pub fn new(registry: &'a Registry, reference: &Reference) -> Self {
        Self { registry, reference: reference.or_latest(), root: OnceLock::new() }
    }

    fn fetched(&self) -> Result<&FetchedManifest> {
        match self.root.get() {
            Some(root) => Ok(root),
            // Two threads may ask at once: the first answer stays, so that all see one image.
            None => {
                let fetched = self.registry.manifest(&self.reference)?;
                Ok(self.root.get_or_init(|| fetched))
            }
        }
    }
}

impl Source for RegistryImage<'_> {
    fn root(&self) -> Result<Descriptor> {
        let root = self.fetched()?;
        let said = MediaType::from(root.media_type.as_str());
        let media_type = if said.is_manifest() || said.is_index() {
            said
        } else {
            // Some registries say no more than that it is JSON.
            match Document::parse(&root.bytes, None)? {
                Document::Manifest(_) => MediaType::Manifest,
                Document::Index(_) => MediaType::Index,
            }
        };
        Ok(Descriptor::new(media_type, root.digest, root.bytes.len() as u64))
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let after = |bytes: Vec<u8>| {
            let mut reader = Cursor::new(bytes);
            reader.set_position(offset);
            Box::new(reader)
        };
        let root = self.fetched()?;
        if root.digest == blob.digest {
            return Ok(after(root.bytes.clone()));
        }
        if blob.media_type.is_manifest() || blob.media_type.is_index() {
            let one = self.reference.with_digest(blob.digest);
            return Ok(after(self.registry.manifest(&one)?.bytes));
        }
        let repository = self.reference.repository();
        Ok(Box::new(self.registry.blob_from(repository, &blob.digest, blob.size, offset)?))
    }
}

/// An image of a registry, to be written.
///
/// ```no_run
/// use ampoule_image::registry::{Options, Registry, RegistryWriter};
/// use ampoule_image::{Choice, Reference, Store, copy};
///
/// # fn main() -> ampoule_image::Result<()> {
/// let reference: Reference = "localhost:5000/team/app:1.2".parse()?;
/// let registry = Registry::new(reference.registry(), &Options::default())?;
/// let image = Store::open("/var/lib/app/images")?.image(&reference)?;
/// let mut writer = RegistryWriter::new(&registry, &reference);
/// copy(&image, &mut writer, None, &Choice::Host, &())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RegistryWriter<'a> {
    registry: &'a Registry,
    reference: Reference,
    from: Option<String>,
    begun: Option<Box<Upload<'a>>>,
}

impl<'a> RegistryWriter<'a> {
    /// The image with that name, `latest` if it has neither a tag nor a digest.
    #[must_use]
    pub fn new(registry: &'a Registry, reference: &Reference) -> Self {
        Self { registry, reference: reference.or_latest(), from: None, begun: None }
    }

    /// Another repository of the registry, from which it can take blobs over.
    #[must_use]
    pub fn mount_from(mut self, repository: impl Into<String>) -> Self {
        self.from = Some(repository.into());
        self
    }
}

impl Destination for RegistryWriter<'_> {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        let (repository, from) = (self.reference.repository(), self.from.as_deref());
        Ok(match self.registry.push_blob(repository, &blob.digest, from)? {
            Push::Send(upload) => {
                self.begun = Some(upload);
                false
            }
            Push::AlreadyThere | Push::Mounted => true,
        })
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        let mut upload = match self.begun.take().filter(|begun| begun.digest() == blob.digest) {
            Some(begun) => begun,
            None => self.registry.begin_upload(self.reference.repository(), &blob.digest)?,
        };
        each_chunk(content, |bytes| upload.send(bytes))?;
        upload.commit()
    }

    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()> {
        let named = match name {
            Some(name) => name.or_latest(),
            None => self.reference.clone(),
        };
        let media_type = image.descriptor.media_type.as_str();
        self.registry.push_manifest(&named, media_type, &image.manifest_bytes)
    }

    /// Blobs are uploaded independently of each other.
    fn another(&self) -> Option<Box<dyn Destination + Send + '_>> {
        let (reference, from) = (self.reference.clone(), self.from.clone());
        Some(Box::new(Self { registry: self.registry, reference, from, begun: None }))
    }
}
