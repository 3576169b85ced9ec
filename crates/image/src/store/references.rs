//! References: the names of images in a store, and the only thing in it that changes.
//!
//! Kernel objects: one small file for each name, replaced as a whole. Invariant: a file's name is
//! the digest of the reference in it, so that names of any length and with any character fit.

use serde::{Deserialize, Serialize};

use super::lock::Lock;
use super::{Image, REFERENCES, Store, directory, pending};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{self, DOCUMENT_MAX};
use crate::error::{Error, ErrorKind, Flaw, Result};
use crate::reference::{REFERENCE, Reference};

/// A name in a store, and the image it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The name.
    pub reference: Reference,
    /// The image's manifest.
    pub manifest: Descriptor,
    /// The index from which it was chosen, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Digest>,
}

/// Somebody is adding something.
#[derive(Debug)]
pub(crate) struct Adding(Lock);

impl Entry {
    pub(crate) fn new(reference: Reference, manifest: &Descriptor, index: Option<Digest>) -> Self {
        Self { reference, manifest: manifest.bare(), index }
    }
}

fn place(reference: &Reference) -> String {
    format!("{REFERENCES}/{}", Digest::of(reference.to_string().as_bytes()).hex())
}

impl Store {
    /// The image that a name stands for; a name without a tag is taken with `latest`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn entry(&self, reference: &Reference) -> Result<Entry> {
        let reference = reference.or_latest();
        match self.read_entry(&place(&reference)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::no_image(&reference)),
            Ok(entry) if entry.reference != reference => {
                Err(Error::document(REFERENCE, Flaw::NotWhatItSays(entry.reference.to_string())))
            }
            result => result,
        }
    }

    /// Every name, in order.
    ///
    /// # Errors
    ///
    /// What the kernel says; [`ErrorKind::InvalidDocument`] for a file that was changed from
    /// outside.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let failed = |errno| Error::at("openat", &self.named(REFERENCES), errno);
        let mut entries = Vec::new();
        for name in directory::names(self.root(), REFERENCES).map_err(failed)? {
            match self.read_entry(&format!("{REFERENCES}/{name}")) {
                Ok(entry) => entries.push(entry),
                // Removed since.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|one, other| one.reference.cmp(&other.reference));
        Ok(entries)
    }

    /// Removes a name. The image's content stays until [`Store::gc`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`].
    pub fn remove(&self, reference: &Reference) -> Result<()> {
        let reference = reference.or_latest();
        let place = place(&reference);
        match rustix::fs::unlinkat(self.root(), &place, rustix::fs::AtFlags::empty()) {
            Ok(()) => pending::sync_parent(self, &place),
            Err(rustix::io::Errno::NOENT) => Err(Error::no_image(&reference)),
            Err(errno) => Err(Error::at("unlinkat", &self.named(&place), errno)),
        }
    }

    /// Gives an image in the store another name, or replaces what the name stands for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the store does not have the image's manifest.
    pub fn tag(&self, manifest: &Descriptor, reference: &Reference) -> Result<()> {
        let adding = Lock::shared(self)?;
        self.blob(&manifest.digest)?;
        let reference = reference.or_latest();
        self.set(&Entry { reference, manifest: manifest.bare(), index: None }, &adding)
    }

    /// Keeps everything that is added from being collected, as long as the result lives.
    pub(crate) fn adding(&self) -> Result<Adding> {
        Lock::shared(self).map(Adding)
    }

    /// Names an image that was added, and opens it.
    pub(crate) fn name(&self, entry: Entry, adding: &Adding) -> Result<Image> {
        self.set(&entry, &adding.0)?;
        // Nothing is collected meanwhile; the name may be somebody else's again.
        let reference = entry.reference.clone();
        self.open_entry(entry)?.ok_or_else(|| Error::no_image(&reference))
    }

    /// Writes a name, whose image is whole and stays so as long as `_adding` is held.
    pub(super) fn set(&self, entry: &Entry, _adding: &Lock) -> Result<()> {
        let bytes = document::to_json(REFERENCE, entry)?;
        pending::replace(self, &place(&entry.reference), &bytes)
    }

    fn read_entry(&self, place: &str) -> Result<Entry> {
        let path = self.named(place);
        let opened =
            std::fs::File::open(&path).map_err(|error| Error::io("open", &path, &error))?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(opened, DOCUMENT_MAX), &mut bytes)
            .map_err(|error| Error::io("read", &path, &error))?;
        document::strict(REFERENCE, document::FIELDS, &bytes)
    }
}
