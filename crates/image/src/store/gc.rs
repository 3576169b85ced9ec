//! Collecting what no name leads to and nobody uses.
//!
//! Kernel objects: the store's lock, held alone; locks of blobs and layers, tried. Invariant:
//! nothing that a name or a held image leads to is touched, so that it can be killed at any
//! instant.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use super::image::absent;
use super::lock::{self, Lock};
use super::pending::{self, DEAD, Keep};
use super::{Area, Store, directory};
use crate::config::Configuration;
use crate::digest::{Algorithm, Digest};
use crate::document::DOCUMENT_MAX;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Manifest;

/// What to do while somebody else is adding something to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patience {
    /// Wait until they are done.
    #[default]
    Wait,
    /// Fail with [`ErrorKind::InUse`](crate::ErrorKind::InUse).
    Refuse,
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// How many bytes these had.
    pub bytes: u64,
    /// How many unpacked layers.
    pub layers: u64,
    /// How many things stayed because they are in use, although no name leads to them.
    pub in_use: u64,
}

/// What is reached.
#[derive(Default)]
struct Marked {
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
}

impl Store {
    /// Removes blobs and unpacked layers that belong to no named image and that nobody uses, and
    /// what was never finished.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`] with [`Patience::Refuse`];
    /// [`ErrorKind::InvalidDocument`] if a reference was changed
    /// from outside: nothing is removed then. What the kernel says.
    pub fn gc(&self, patience: Patience) -> Result<Collected> {
        let alone = match patience {
            Patience::Wait => Lock::alone(self)?,
            Patience::Refuse => Lock::try_alone(self)?
                .ok_or_else(|| Error::at("flock", self.path(), rustix::io::Errno::BUSY))?,
        };
        pending::clear(self, &alone, Keep::Nothing)?;
        let mut collected = Collected::default();
        let mut marked = Marked::default();
        for entry in self.list()? {
            self.mark(&mut marked, &entry.manifest.digest)?;
        }
        self.collect_manifests(&mut marked, &mut collected)?;
        for blob in self.blobs()? {
            if !marked.blobs.contains(&blob) {
                self.collect_blob(&blob, &mut collected)?;
            }
        }
        let dead = self.collect_layers(&marked, &mut collected)?;
        // Trees can be large: others go on meanwhile.
        drop(alone);
        for (name, _held) in dead {
            let path = pending::path(&name);
            self.remove_tree(self.root(), &path)
                .map_err(|errno| Error::at("unlinkat", &self.named(&path), errno))?;
        }
        Ok(collected)
    }

    /// The names in an area, by algorithm.
    pub(super) fn names(&self, area: Area) -> Result<Vec<(Algorithm, Vec<String>)>> {
        let of = |algorithm: Algorithm| {
            let place = area.directory(algorithm);
            let names = directory::names(self.root(), &place)
                .map_err(|errno| Error::at("openat", &self.named(&place), errno))?;
            Ok((algorithm, names))
        };
        Algorithm::ALL.into_iter().map(of).collect()
    }

    /// Every blob; names that are no digests are none of ours.
    pub(super) fn blobs(&self) -> Result<Vec<Digest>> {
        let mut found = Vec::new();
        for (algorithm, names) in self.names(Area::Blobs)? {
            let parsed = names.iter().map(|name| format!("{algorithm}:{name}").parse::<Digest>());
            found.extend(parsed.filter_map(Result::ok));
        }
        Ok(found)
    }

    /// Marks what a manifest leads to, as far as it is there and readable.
    fn mark(&self, marked: &mut Marked, manifest: &Digest) -> Result<()> {
        if !marked.blobs.insert(*manifest) {
            return Ok(());
        }
        let Some(manifest) = self.small(manifest)?.and_then(|bytes| Manifest::parse(&bytes).ok())
        else {
            return Ok(());
        };
        marked.blobs.extend(manifest.blobs().map(|blob| blob.digest));
        let config = self.small(&manifest.config.digest)?;
        if let Some(config) = config.and_then(|bytes| Configuration::parse(&bytes).ok()) {
            marked.layers.extend(config.rootfs.diff_ids);
        }
        Ok(())
    }

    /// A blob that may be a document and is what its name says.
    fn small(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        match absent(self.blob(digest))? {
            Some(blob) if blob.size() <= DOCUMENT_MAX => match blob.read_document() {
                // A damaged document leads nowhere.
                Err(error) if error.kind() == ErrorKind::DigestMismatch => Ok(None),
                result => result.map(Some),
            },
            _ => Ok(None),
        }
    }

    /// Manifests go first: one that is in use keeps everything that it leads to.
    fn collect_manifests(&self, marked: &mut Marked, collected: &mut Collected) -> Result<()> {
        for digest in self.blobs()? {
            if marked.blobs.contains(&digest) {
                continue;
            }
            let bytes = self.small(&digest)?;
            if bytes.is_some_and(|bytes| Manifest::parse(&bytes).is_ok())
                && !self.collect_blob(&digest, collected)?
            {
                self.mark(marked, &digest)?;
            }
        }
        Ok(())
    }

    /// Removes a blob, unless somebody holds it.
    fn collect_blob(&self, digest: &Digest, collected: &mut Collected) -> Result<bool> {
        let place = Area::Blobs.path(digest);
        let Some(blob) = absent(self.blob(digest))? else { return Ok(true) };
        if !lock::try_alone(blob.file(), &self.named(&place))? {
            collected.in_use += 1;
            return Ok(false);
        }
        self.remove_tree(self.root(), &place)
            .map_err(|errno| Error::at("unlinkat", &self.named(&place), errno))?;
        collected.blobs += 1;
        collected.bytes = collected.bytes.saturating_add(blob.size());
        Ok(true)
    }

    /// Takes layers that nobody needs out of their place; they are locked until they are removed.
    fn collect_layers(
        &self,
        marked: &Marked,
        collected: &mut Collected,
    ) -> Result<Vec<(String, OwnedFd)>> {
        let mut dead = Vec::new();
        for layer in self.layer_names()? {
            if marked.layers.contains(&layer.digest) {
                continue;
            }
            let place = layer.place();
            let failed = |errno| Error::at("renameat", &self.named(&place), errno);
            let held = directory::open_at(self.root(), &place).map_err(failed)?;
            if !lock::try_alone(&held, &self.named(&place))? {
                collected.in_use += 1;
                continue;
            }
            let name = pending::fresh(DEAD);
            rustix::fs::renameat(self.root(), &place, self.root(), pending::path(&name))
                .map_err(failed)?;
            collected.layers += 1;
            dead.push((name, held));
        }
        Ok(dead)
    }
}
