//! Checking that a store is whole.
//!
//! Kernel objects: none but the files that are read. Invariant: nothing is changed.

use std::collections::BTreeMap;
use std::io::Read;

use super::Store;
use super::image::absent;
use super::lock::Lock;
use crate::digest::{Digest, Digester};
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::source::each_chunk;

/// What was checked, and everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many blobs were read.
    pub blobs: u64,
    /// How many bytes these have.
    pub bytes: u64,
    /// How many names were followed.
    pub references: u64,
    /// How many unpacked layers there are.
    pub layers: u64,
    /// What is wrong; empty for a store that is whole.
    pub problems: Vec<Error>,
}

impl Store {
    /// Reads every blob and follows every name. Unpacked layers are only looked for.
    ///
    /// # Errors
    ///
    /// What keeps it from looking; what it finds is in [`Verified::problems`].
    pub fn verify(&self) -> Result<Verified> {
        let _adding = Lock::shared(self)?;
        let mut verified = Verified::default();
        let mut sizes = BTreeMap::new();
        for digest in self.blobs()? {
            match self.verify_blob(&digest) {
                Ok(Some(size)) => {
                    verified.blobs += 1;
                    verified.bytes = verified.bytes.saturating_add(size);
                    sizes.insert(digest, size);
                }
                Ok(None) => {}
                Err(error) => verified.problems.push(error),
            }
        }
        for entry in self.list()? {
            verified.references += 1;
            if let Err(error) = self.verify_image(&entry.manifest.digest, &sizes) {
                verified.problems.push(error);
            }
        }
        for layer in self.layer_names()? {
            match self.open_layer(&layer) {
                Ok(found) => verified.layers += u64::from(found.is_some()),
                Err(error) => verified.problems.push(error),
            }
        }
        Ok(verified)
    }

    /// The size of a blob that is what its name says; `None` if it was collected meanwhile.
    fn verify_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let Some(mut blob) = absent(self.blob(digest))? else { return Ok(None) };
        let mut digester = Digester::new(digest.algorithm());
        each_chunk(&mut blob as &mut dyn Read, |bytes| {
            digester.update(bytes);
            Ok(())
        })?;
        let size = digester.len();
        let found = digester.finish();
        if found == *digest { Ok(Some(size)) } else { Err(Error::mismatch("blob", *digest, found)) }
    }

    /// Whether a manifest's documents can be read, and its blobs have the sizes it says. Blobs that
    /// are damaged are problems of their own.
    fn verify_image(&self, manifest: &Digest, sizes: &BTreeMap<Digest, u64>) -> Result<()> {
        let manifest = Manifest::parse(&self.blob(manifest)?.read_document()?)?;
        let config = self.blob(&manifest.config.digest)?.read_document()?;
        crate::Configuration::parse_for(&config, &manifest)?;
        for blob in manifest.blobs() {
            let size = match sizes.get(&blob.digest) {
                Some(size) => *size,
                None => self.blob(&blob.digest)?.size(),
            };
            if size != blob.size {
                return Err(Error::size("blob", blob.digest, blob.size, size));
            }
        }
        Ok(())
    }
}
