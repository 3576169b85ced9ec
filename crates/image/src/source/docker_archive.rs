//! Docker archives, as `docker save` writes them: a `manifest.json`, configurations, and layers as
//! tar files, usually not compressed.
//!
//! Kernel objects: none. Invariant: the manifest that is made of one names every blob by its true
//! digest, or reading the blob fails.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::{Source, Spool, each_chunk};
use crate::config::{CONFIG, Configuration};
use crate::descriptor::{Descriptor, null_is_empty};
use crate::digest::{Algorithm, Digest, Digester};
use crate::document;
use crate::error::{Error, Flaw, Result};
use crate::manifest::{LAYERS_MAX, Manifest};
use crate::media_type::{Compression, MediaType};
use crate::reference::Reference;

/// The file with the images.
pub(crate) const MANIFEST_JSON: &str = "manifest.json";

/// One image of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    pub(crate) config: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) layers: Vec<String>,
}

/// An image in a Docker archive.
#[derive(Debug)]
pub struct DockerArchive {
    archive: Archive,
    root: Descriptor,
    blobs: BTreeMap<Digest, Content>,
    names: Vec<Reference>,
}

#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    Member(String),
}

impl DockerArchive {
    /// Opens the image with this name, or without a name the only one. Layers that are compressed
    /// are read through once, because the archive does not say what their digest is; an archive that
    /// is compressed as a whole is decompressed into a [`Spool`] first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound),
    /// [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous),
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument),
    /// [`ErrorKind::InvalidArchive`](crate::ErrorKind::InvalidArchive);
    /// [`ErrorKind::UnsupportedMediaType`](crate::ErrorKind::UnsupportedMediaType) for one that is
    /// compressed with zstd, without the feature `zstd`.
    pub fn open(path: impl AsRef<Path>, name: Option<&Reference>) -> Result<Self> {
        Self::open_spooled(path, name, &Spool::default())
    }

    /// As [`open`](Self::open), with the place for an archive that is compressed as a whole.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`ErrorKind::QuotaExceeded`](crate::ErrorKind::QuotaExceeded) for
    /// more than [`Spool::bytes`], [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace).
    pub fn open_spooled(
        path: impl AsRef<Path>,
        name: Option<&Reference>,
        spool: &Spool,
    ) -> Result<Self> {
        let archive = Archive::open(path.as_ref(), spool)?;
        let bytes = archive.document(MANIFEST_JSON, MANIFEST_JSON)?;
        let fields = &["Config", "RepoTags", "Layers"];
        let items: Vec<Item> = document::strict(MANIFEST_JSON, fields, &bytes)?;
        let item = choose(items, name)?;
        let names = item.repo_tags.iter().filter_map(|tag| tag.parse().ok()).collect();
        let root = Descriptor::of(MediaType::Manifest, b"");
        let mut opened = Self { archive, root, blobs: BTreeMap::new(), names };
        opened.read(&item)?;
        Ok(opened)
    }

    /// The names that the archive has for the image.
    #[must_use]
    pub fn names(&self) -> &[Reference] {
        &self.names
    }

    /// Makes a manifest of what the archive says.
    fn read(&mut self, item: &Item) -> Result<()> {
        let bytes = self.archive.document(CONFIG, &item.config)?;
        let config = Configuration::parse(&bytes)?;
        let (layers, diff_ids) = (item.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(Error::document(MANIFEST_JSON, Flaw::LayerCounts { layers, diff_ids }));
        }
        if layers > LAYERS_MAX {
            return Err(Error::document(MANIFEST_JSON, Flaw::TooManyLayers(layers)));
        }
        let config_blob = Descriptor::of(MediaType::Config, &bytes);
        self.blobs.insert(config_blob.digest, Content::Bytes(bytes));
        let mut blobs = Vec::with_capacity(layers);
        for (name, diff_id) in item.layers.iter().zip(&config.rootfs.diff_ids) {
            let blob = self.layer(name, diff_id)?;
            self.blobs.insert(blob.digest, Content::Member(name.clone()));
            blobs.push(blob);
        }
        let manifest = Manifest::new(config_blob, blobs).to_bytes()?;
        self.root = Descriptor::of(MediaType::Manifest, &manifest);
        self.blobs.insert(self.root.digest, Content::Bytes(manifest));
        Ok(())
    }

    /// The descriptor of one layer. If it is not compressed, its digest is its diff id: reading it
    /// fails if that is not true.
    fn layer(&self, name: &str, diff_id: &Digest) -> Result<Descriptor> {
        let (reader, size) = self.archive.file(name, 0)?;
        let mut magic = Vec::new();
        let read = reader.take(4).read_to_end(&mut magic);
        read.map_err(|error| Error::stream("read", error))?;
        let compression = Compression::of_magic(&magic);
        let digest = match compression {
            Compression::Uncompressed => *diff_id,
            _ => self.digest(name)?,
        };
        Ok(Descriptor::new(MediaType::Layer(compression), digest, size))
    }

    fn digest(&self, name: &str) -> Result<Digest> {
        let mut digester = Digester::new(Algorithm::Sha256);
        each_chunk(&mut self.archive.file(name, 0)?.0, |bytes| {
            digester.update(bytes);
            Ok(())
        })?;
        Ok(digester.finish())
    }
}

fn choose(mut items: Vec<Item>, name: Option<&Reference>) -> Result<Item> {
    let named = |item: &Item| item.repo_tags.first().unwrap_or(&item.config).clone();
    let offered = items.iter().map(named).collect();
    let Some(name) = name.map(Reference::or_latest) else {
        return match (items.pop(), items.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => Err(Error::ambiguous(offered)),
            (None, _) => Err(Error::not_named("", offered)),
        };
    };
    let found = items.into_iter().find(|item| has_name(item, &name));
    found.ok_or_else(|| Error::not_named(&name.to_string(), offered))
}

fn has_name(item: &Item, name: &Reference) -> bool {
    item.repo_tags.iter().any(|tag| tag.parse::<Reference>().as_ref() == Ok(name))
}

impl Source for DockerArchive {
    fn root(&self) -> Result<Descriptor> {
        Ok(self.root.clone())
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        match self.blobs.get(&blob.digest) {
            Some(Content::Bytes(bytes)) => Ok(super::in_memory(bytes, offset)),
            Some(Content::Member(name)) => Ok(Box::new(self.archive.file(name, offset)?.0)),
            None => Err(Error::absent("blob", blob.digest)),
        }
    }
}
