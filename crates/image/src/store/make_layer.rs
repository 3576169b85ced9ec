//! Making unpacked layers: under a pending name, moved to their place when they are whole.
//!
//! Kernel objects: a directory in `pending/`, locked alone, and everything in it. Invariant: one
//! process at a time makes a layer; what a killed one left is thrown away.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::Mode;
use rustix::io::Errno;

use super::layer::{DIFF, LayerName, OPAQUE};
use super::lock::{self, Lock};
use super::{Layer, Store, Unpacker, directory, pending};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::media_type::Compression;
use crate::progress::{LayerState, Reporter};

/// What an unpacked layer is called in errors.
const DIFF_ID: &str = "unpacked layer";

impl Store {
    /// Unpacks one layer, unless it is there. Waits for another process that is unpacking it.
    pub(crate) fn unpack_layer(
        &self,
        blob: &Descriptor,
        diff_id: &Digest,
        unpacker: &dyn Unpacker,
        reporter: &mut Reporter<'_>,
    ) -> Result<Layer> {
        let Some(compression) = blob.media_type.compression() else {
            return Err(Error::media_type("layer", &blob.media_type));
        };
        let _adding = Lock::shared(self)?;
        let layer = LayerName { digest: *diff_id, form: unpacker.form() };
        let name = layer.pending();
        loop {
            if let Some(layer) = self.open_layer(&layer)? {
                return Ok(layer);
            }
            let Some(held) = self.claim(&pending::path(&name))? else { continue };
            let reader = Told { blob: self.blob(&blob.digest)?, reporter, bytes: 0 };
            let made = self.make_layer(&held, reader, compression, (unpacker, &layer));
            if made.is_err() {
                // The error tells why; what stays is cleared later.
                self.remove_tree(self.root(), &pending::path(&name)).unwrap_or_default();
            }
            made?;
            pending::publish(self, &name, &layer.place())?;
            lock::shared(&held, &self.named(&name))?;
            return self.as_layer(&layer, held);
        }
    }

    /// A directory of ours alone, with whatever a killed process left in it; `None` if another
    /// process finished or gave up meanwhile.
    fn claim(&self, path: &str) -> Result<Option<OwnedFd>> {
        self.make_directory(path)?;
        let held = match directory::open_at(self.root(), path) {
            Ok(held) => held,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Error::at("openat", &self.named(path), errno)),
        };
        lock::alone(&held, &self.named(path))?;
        Ok(self.is_at(&held, path)?.then_some(held))
    }

    fn make_layer(
        &self,
        held: &OwnedFd,
        mut reader: Told<'_, '_>,
        compression: Compression,
        (unpacker, layer): (&dyn Unpacker, &LayerName),
    ) -> Result<()> {
        let failed = |operation| {
            let path = self.named(&layer.place());
            move |errno| Error::at(operation, &path, errno)
        };
        for left in [DIFF, OPAQUE] {
            self.remove_tree(held, left).map_err(failed("unlinkat"))?;
        }
        rustix::fs::mkdirat(held, DIFF, Mode::from_raw_mode(0o755)).map_err(failed("mkdirat"))?;
        let diff = directory::open_at(held, DIFF).map_err(failed("openat"))?;
        let stream = (compression, layer.digest.algorithm());
        let unpacked = unpacker.unpack(&mut reader, stream, diff.as_fd())?;
        if unpacked.diff_id != layer.digest {
            return Err(Error::mismatch(DIFF_ID, layer.digest, unpacked.diff_id));
        }
        if unpacked.root_opaque {
            rustix::fs::mkdirat(held, OPAQUE, Mode::RWXU).map_err(failed("mkdirat"))?;
        }
        rustix::fs::syncfs(held).map_err(failed("syncfs"))
    }
}

/// A blob that tells how far it was read.
struct Told<'a, 'b> {
    blob: super::Blob,
    reporter: &'a mut Reporter<'b>,
    bytes: u64,
}

impl Read for Told<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reporter.check()?;
        let read = self.blob.read(buffer)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        self.reporter.tell(LayerState::Unpacking, self.bytes);
        Ok(read)
    }
}
