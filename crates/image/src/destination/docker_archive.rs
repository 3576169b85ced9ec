//! A destination that is a Docker archive, for `docker load`: layers are not compressed in it.
//!
//! Kernel objects: one file, which appears when it is whole; three threads while a layer is
//! decompressed. Invariant: a layer stands in it under its diff id, which was checked.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::Destination;
use super::tar::TarFile;
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest};
use crate::document;
use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::source::Resolved;
use crate::source::docker_archive::{Item, MANIFEST_JSON};
use crate::unpack::pipeline::{Reading, run};

/// Writes one image into a Docker archive.
#[derive(Debug)]
pub struct DockerArchiveWriter {
    tar: TarFile,
    /// The diff ids of layers that are in it, by the digest of their blob.
    layers: BTreeMap<Digest, Digest>,
}

impl DockerArchiveWriter {
    /// Begins a file, which appears (and replaces an old one) when the image is whole.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { tar: TarFile::create(path.as_ref())?, layers: BTreeMap::new() })
    }

    /// Adds a layer under a name that its blob has.
    fn put_layer(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        let compression = blob.media_type.compression();
        let reading =
            Reading { compression, blob: blob.digest.algorithm(), diff: Algorithm::Sha256 };
        let name = layer_name(&blob.digest);
        let done = run(content, reading, |mut plain| self.tar.add(&name, &mut plain))?;
        self.layers.insert(blob.digest, done.diff.digest);
        Ok(())
    }
}

/// A layer's name in the archive. Its diff id comes out only after it was written.
fn layer_name(blob: &Digest) -> String {
    format!("{}.tar", blob.hex())
}

impl Destination for DockerArchiveWriter {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        Ok(self.layers.contains_key(&blob.digest))
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        match blob.media_type.compression() {
            Some(_) => self.put_layer(blob, content),
            None => self.tar.add(&format!("{}.json", blob.digest.hex()), content),
        }
    }

    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()> {
        let ids = &image.config.rootfs.diff_ids;
        for (layer, diff_id) in image.manifest.layers.iter().zip(ids) {
            match self.layers.get(&layer.digest) {
                Some(found) if found == diff_id => {}
                Some(found) => return Err(Error::mismatch("layer", *diff_id, *found)),
                None => return Err(Error::absent("layer", layer.digest)),
            }
        }
        let item = Item {
            config: format!("{}.json", image.manifest.config.digest.hex()),
            repo_tags: name.iter().map(|name| name.or_latest().familiar()).collect(),
            layers: image.manifest.layers.iter().map(|layer| layer_name(&layer.digest)).collect(),
        };
        let json = document::to_json(MANIFEST_JSON, &[item])?;
        self.tar.add(MANIFEST_JSON, &mut json.as_slice())?;
        self.tar.finish()
    }
}
