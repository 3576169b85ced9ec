//! Images made in memory, as a source.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Mutex;

use ampoule_image::source::Source;
use ampoule_image::{
    Compression, Configuration, Descriptor, Digest, Error, Index, Manifest, MediaType, Platform,
    Reference, Result, Store,
};

/// Blobs by digest, and which of them were read from which byte on.
pub(crate) struct Memory {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) root: Descriptor,
    pub(crate) reads: Mutex<Vec<(Digest, u64)>>,
}

impl Memory {
    pub(crate) fn empty() -> Self {
        let root = Descriptor::of(MediaType::Manifest, b"");
        Self { blobs: BTreeMap::new(), root, reads: Mutex::default() }
    }

    pub(crate) fn put(&mut self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, bytes);
        self.blobs.insert(descriptor.digest, bytes.to_vec());
        descriptor
    }

    /// An image with these uncompressed layers, as the root.
    pub(crate) fn image(layers: &[&[u8]]) -> Self {
        let mut memory = Self::empty();
        memory.root = memory.add_image(&Platform::host(), layers);
        memory
    }

    /// An image with these uncompressed layers.
    pub(crate) fn add_image(&mut self, platform: &Platform, layers: &[&[u8]]) -> Descriptor {
        let mut config = Configuration::new(platform.clone());
        config.rootfs.diff_ids = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = config.to_bytes().expect("configuration");
        let config = self.put(MediaType::Config, &config);
        let kind = MediaType::Layer(Compression::Uncompressed);
        let layers = layers.iter().map(|layer| self.put(kind.clone(), layer)).collect();
        let manifest = Manifest::new(config, layers).to_bytes().expect("manifest");
        self.put(MediaType::Manifest, &manifest)
    }

    #[allow(dead_code, reason = "not in every test program")]
    pub(crate) fn add_index(&mut self, manifests: Vec<Descriptor>) -> Descriptor {
        let index = Index::new(manifests).to_bytes().expect("index");
        self.put(MediaType::Index, &index)
    }

    /// How often anything was read.
    #[allow(dead_code, reason = "not in every test program")]
    pub(crate) fn count(&self) -> usize {
        self.reads.lock().expect("reads").len()
    }
}

impl Source for Memory {
    fn root(&self) -> Result<Descriptor> {
        Ok(self.root.clone())
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        self.reads.lock().expect("reads").push((blob.digest, offset));
        let Some(bytes) = self.blobs.get(&blob.digest) else { return Err(not_found()) };
        let mut reader = Cursor::new(bytes.as_slice());
        reader.seek(SeekFrom::Start(offset)).expect("seek in memory");
        Ok(Box::new(reader))
    }
}

/// An error as a source gives it for what it does not have.
fn not_found() -> Error {
    let directory = tempfile::tempdir().expect("directory");
    let store = Store::open(directory.path()).expect("store");
    store.blob(&Digest::of(b"absent")).expect_err("absent")
}

#[allow(dead_code, reason = "not in every test program")]
pub(crate) fn name(text: &str) -> Reference {
    text.parse().expect(text)
}
