//! Importing: a tar file of a whole root file system becomes an image with one layer.
//!
//! Kernel objects: three threads while the layer is read, which end before the call does.
//! Invariant: what is stored is a layer that the strict reader accepts, to its last byte.

use std::io::{Cursor, Read, Write};

use crate::config::{Configuration, History};
use crate::digest::Algorithm;
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::media_type::{Compression, MediaType};
use crate::reference::Reference;
use crate::store::{Image, NewBlob, Store};
use crate::unpack::Quotas;
use crate::unpack::format::members::Members;
use crate::unpack::pipeline::{Reading, run};

impl Store {
    /// Makes an image of one layer, which is read from `layer`: a tar file, compressed or not. It
    /// is stored as it is. Layers that `config` lists already are forgotten; its history gets one
    /// entry more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArchive`](crate::ErrorKind::InvalidArchive),
    /// [`ErrorKind::QuotaExceeded`](crate::ErrorKind::QuotaExceeded),
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what reading gives.
    pub fn import(
        &self,
        mut layer: impl Read + Send,
        mut config: Configuration,
        reference: &Reference,
    ) -> Result<Image> {
        let adding = self.adding()?;
        let mut magic = Vec::new();
        let read = (&mut layer).take(4).read_to_end(&mut magic);
        read.map_err(|error| Error::stream("read", error))?;
        let compression = Compression::of_magic(&magic);
        let mut blob = self.new_blob()?;
        let reading = Reading {
            compression: Some(compression),
            blob: Algorithm::Sha256,
            diff: Algorithm::Sha256,
        };
        let tee = Tee { reader: Cursor::new(magic).chain(layer), blob: &mut blob };
        let done = run(tee, reading, |plain| {
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
        config.rootfs.diff_ids = vec![done.diff.digest];
        let mut history = History::default();
        history.created.clone_from(&config.created);
        history.comment = Some("imported".to_owned());
        config.history.push(history);
        let config_blob = self.put(MediaType::Config, &config.to_bytes()?)?;
        let manifest = Manifest::new(config_blob, vec![layer]);
        let manifest = self.put(MediaType::Manifest, &manifest.to_bytes()?)?;
        let reference = reference.or_latest();
        self.name(&reference, &manifest, None, &adding)?;
        self.image(&reference)
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
