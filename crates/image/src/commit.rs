//! Adding a layer: what a container wrote, a directory, or a tar file becomes an image.
//!
//! Kernel objects: three threads while a tar file is read, which end before the call does.
//! Invariant: what is stored is a layer that the strict reader accepts, to its last byte; the name
//! is set last.

use std::io::{Cursor, Read, Write};
use std::os::fd::BorrowedFd;

use crate::config::{Configuration, History};
use crate::descriptor::Descriptor;
use crate::diff::Diff;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::media_type::{Compression, MediaType};
use crate::reference::Reference;
use crate::store::{Adding, Entry, Image, NewBlob, Store};
use crate::unpack::Quotas;
use crate::unpack::format::members::Members;
use crate::unpack::pipeline::{Reading, run};

/// An image that is to be made by adding one layer.
#[derive(Clone, Debug)]
pub struct NewImage<'a> {
    base: Option<&'a Image>,
    config: Configuration,
    history: History,
    reference: &'a Reference,
}

impl<'a> NewImage<'a> {
    /// On top of nothing. Layers and history that `config` has are forgotten.
    #[must_use]
    pub fn from_scratch(mut config: Configuration, reference: &'a Reference) -> Self {
        config.rootfs.diff_ids.clear();
        config.history.clear();
        Self { base: None, config, history: History::default(), reference }
    }

    /// On top of an image of the same store, with its configuration.
    #[must_use]
    pub fn on(base: &'a Image, reference: &'a Reference) -> Self {
        let config = base.config().clone();
        Self { base: Some(base), config, history: History::default(), reference }
    }

    /// Changes the configuration; its layers and its history are not looked at.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Configuration)) -> Self {
        let (rootfs, history) = (self.config.rootfs.clone(), self.config.history.clone());
        change(&mut self.config);
        (self.config.rootfs, self.config.history) = (rootfs, history);
        self
    }

    /// When it is made, as RFC 3339 writes it.
    #[must_use]
    pub fn created(mut self, time: &str) -> Self {
        self.config.created = Some(time.to_owned());
        self.history.created = Some(time.to_owned());
        self
    }

    /// How the layer was made: the command, for people.
    #[must_use]
    pub fn created_by(mut self, command: &str) -> Self {
        self.history.created_by = Some(command.to_owned());
        self
    }
}

impl Store {
    /// Makes an image from a directory: the upper directory of an overlay over the base's layers,
    /// or a whole root file system (`diff` with
    /// [`Whiteouts::Applied`](crate::unpack::Whiteouts::Applied)).
    ///
    /// # Errors
    ///
    /// As [`Diff::write`]; [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace).
    pub fn commit(
        &self,
        new: &NewImage<'_>,
        directory: BorrowedFd<'_>,
        diff: &Diff,
    ) -> Result<Image> {
        let adding = self.adding()?;
        let mut blob = self.new_blob()?;
        let made = diff.write(directory, &mut blob)?;
        let layer = blob.finish(MediaType::Layer(diff.compression))?;
        self.add_layer(new, (layer, made.diff_id), &adding)
    }

    /// Makes an image from a layer that is a tar file, compressed or not. It is stored as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArchive`](crate::ErrorKind::InvalidArchive),
    /// [`ErrorKind::QuotaExceeded`](crate::ErrorKind::QuotaExceeded),
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what reading gives.
    pub fn import(&self, new: &NewImage<'_>, mut layer: impl Read + Send) -> Result<Image> {
        let adding = self.adding()?;
        let mut magic = Vec::new();
        let read = (&mut layer).take(4).read_to_end(&mut magic);
        read.map_err(|error| Error::stream("read", error))?;
        let compression = Compression::of_magic(&magic);
        let mut blob = self.new_blob()?;
        let (algorithm, reader) = (Algorithm::Sha256, Cursor::new(magic).chain(layer));
        let compression_known = Some(compression);
        let reading = Reading { compression: compression_known, blob: algorithm, diff: algorithm };
        let done = run(Tee { reader, blob: &mut blob }, reading, |plain| {
            let mut members = Members::new(plain, Quotas::default());
            loop {
                match members.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(trouble) => return Err(Error::layer(None, members.position(), trouble)),
                }
            }
        })?;
        let layer = blob.finish(MediaType::Layer(compression))?;
        self.add_layer(new, (layer, done.diff.digest), &adding)
    }

    /// Names an image with one layer more.
    fn add_layer(
        &self,
        new: &NewImage<'_>,
        (layer, diff_id): (Descriptor, Digest),
        adding: &Adding,
    ) -> Result<Image> {
        let mut config = new.config.clone();
        config.rootfs.diff_ids.push(diff_id);
        config.history.push(new.history.clone());
        let mut layers = new.base.map_or_else(Vec::new, |base| base.manifest().layers.clone());
        for layer in &mut layers {
            // The same bytes by the name that belongs into an OCI manifest.
            if let MediaType::DockerLayer(compression) = layer.media_type {
                layer.media_type = MediaType::Layer(compression);
            }
        }
        layers.push(layer);
        let config = self.put(MediaType::Config, &config.to_bytes()?)?;
        let manifest = Manifest::new(config, layers).to_bytes()?;
        // Nothing is named that could not be read again.
        Manifest::parse(&manifest)?;
        let manifest = self.put(MediaType::Manifest, &manifest)?;
        self.name(Entry::new(new.reference.or_latest(), &manifest, None), adding)
    }
}

/// A reader whose bytes are stored as they go by.
struct Tee<'a, R> {
    reader: R,
    blob: &'a mut NewBlob,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.blob.write_all(buffer.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}
