//! A destination that is an OCI layout in a tar file.
//!
//! Kernel objects: one file, which appears when it is whole. Invariant: the same image gives the
//! same bytes.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use super::Destination;
use super::layout::named;
use super::tar::TarFile;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document;
use crate::error::Result;
use crate::index::Index;
use crate::reference::Reference;
use crate::source::Resolved;
use crate::source::layout::{INDEX_JSON, LAYOUT, Mark, VERSION, blob_path};

/// Writes one image into a tar file with an OCI layout.
#[derive(Debug)]
pub struct LayoutArchiveWriter {
    tar: TarFile,
    blobs: BTreeSet<Digest>,
}

impl LayoutArchiveWriter {
    /// Begins a file, which appears (and replaces an old one) when the image is whole.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let mut tar = TarFile::create(path.as_ref())?;
        let mark = Mark { version: VERSION.to_owned() };
        tar.add(LAYOUT, &mut document::to_json(LAYOUT, &mark)?.as_slice())?;
        Ok(Self { tar, blobs: BTreeSet::new() })
    }
}

impl Destination for LayoutArchiveWriter {
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        Ok(self.blobs.contains(&blob.digest))
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        self.tar.add(&blob_path(&blob.digest), content)?;
        self.blobs.insert(blob.digest);
        Ok(())
    }

    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()> {
        self.put(&image.descriptor, &mut image.manifest_bytes.as_slice())?;
        let index = Index::new(vec![named(&image.descriptor, name)]);
        self.tar.add(INDEX_JSON, &mut index.to_bytes()?.as_slice())?;
        self.tar.finish()
    }
}
