//! Unpacked layers: one tree for each, shared by all images that have the layer.
//!
//! Kernel objects: a directory below `layers/` for each layer with the tree in `diff`, and a
//! flock(2) lock on it: shared by who uses it, alone by who makes or removes it. Invariant: a layer
//! below `layers/` is whole, and its content had the digest that is its name.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::lock::{self, Lock};
use super::{Area, Store, directory, pending};
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Result};
use crate::media_type::Compression;
use crate::progress::{LayerState, Reporter};
use crate::unpack::{Unpack, Unpacked};

/// The directory with the layer's files.
const DIFF: &str = "diff";

/// Stands beside it if the layer hides everything below.
const OPAQUE: &str = "opaque";

/// What an unpacked layer is called in errors.
const DIFF_ID: &str = "unpacked layer";

/// Unpacks layers into empty directories. [`Unpack`] is one, for who may give files away.
pub trait Unpacker: Sync {
    /// Reads `layer` to its end, and says what came of it; the diff id by this algorithm.
    ///
    /// # Errors
    ///
    /// As [`Unpack::apply`]. The directory is thrown away then.
    fn unpack(
        &self,
        layer: &mut (dyn Read + Send),
        form: (Compression, Algorithm),
        into: BorrowedFd<'_>,
    ) -> Result<Unpacked>;
}

impl Unpacker for Unpack {
    fn unpack(
        &self,
        layer: &mut (dyn Read + Send),
        (compression, diff_algorithm): (Compression, Algorithm),
        into: BorrowedFd<'_>,
    ) -> Result<Unpacked> {
        let compression = Some(compression);
        Self { compression, diff_algorithm, ..self.clone() }.apply(layer, into)
    }
}

/// What a layer hides of the layers below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hides {
    /// What its whiteouts say.
    Whiteouts,
    /// Everything: its root is opaque, which no overlay knows. Leave the layers below out.
    Everything,
}

/// An unpacked layer, in use: it is not collected as long as this lives.
#[derive(Debug)]
pub struct Layer {
    digest: Digest,
    path: PathBuf,
    diff: OwnedFd,
    hides: Hides,
    #[expect(dead_code, reason = "its shared lock holds the layer")]
    held: OwnedFd,
}

impl Layer {
    /// The digest of the layer's uncompressed content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What it hides of the layers below.
    #[must_use]
    pub fn hides(&self) -> Hides {
        self.hides
    }

    /// The directory with its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Layer {
    /// The directory with its files.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.diff.as_fd()
    }
}

impl Store {
    /// An unpacked layer, by the digest of its uncompressed content; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<Layer>> {
        let place = Area::Layers.path(diff_id);
        loop {
            let held = match directory::open_at(self.root(), &place) {
                Ok(held) => held,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(Error::at("openat", &self.named(&place), errno)),
            };
            lock::shared(&held, &self.named(&place))?;
            if self.is_at(&held, &place)? {
                return self.as_layer(*diff_id, held).map(Some);
            }
        }
    }

    /// Where the files of an unpacked layer are, or would be.
    #[must_use]
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.named(&Area::Layers.path(diff_id)).join(DIFF)
    }

    /// Whether an open directory still has this name.
    fn is_at(&self, held: &OwnedFd, name: &str) -> Result<bool> {
        let failed = |errno| Error::at("fstatat", &self.named(name), errno);
        let own = rustix::fs::fstat(held).map_err(failed)?;
        match rustix::fs::statat(self.root(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => Ok((now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn as_layer(&self, digest: Digest, held: OwnedFd) -> Result<Layer> {
        let path = self.named(&Area::Layers.path(&digest)).join(DIFF);
        let diff = directory::open_at(&held, DIFF);
        let diff = diff.map_err(|errno| Error::at("openat", &path, errno))?;
        let hides = match rustix::fs::statat(&held, OPAQUE, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Hides::Everything,
            Err(Errno::NOENT) => Hides::Whiteouts,
            Err(errno) => return Err(Error::at("fstatat", &path, errno)),
        };
        Ok(Layer { digest, path, diff, hides, held })
    }

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
        let name = format!("{}{}-{}", pending::LAYER, diff_id.algorithm(), diff_id.hex());
        loop {
            if let Some(layer) = self.layer(diff_id)? {
                return Ok(layer);
            }
            let Some(held) = self.claim(&pending::path(&name))? else { continue };
            let reader = Told { blob: self.blob(&blob.digest)?, reporter, bytes: 0 };
            let made = self.make_layer(&held, reader, compression, (unpacker, diff_id));
            if made.is_err() {
                // The error tells why; what stays is cleared later.
                directory::remove(self.root(), &pending::path(&name)).unwrap_or_default();
            }
            made?;
            pending::publish(self, &name, &Area::Layers.path(diff_id))?;
            lock::shared(&held, &self.named(&name))?;
            return self.as_layer(*diff_id, held);
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
        (unpacker, diff_id): (&dyn Unpacker, &Digest),
    ) -> Result<()> {
        let failed = |operation| {
            let path = self.named(&Area::Layers.path(diff_id));
            move |errno| Error::at(operation, &path, errno)
        };
        for left in [DIFF, OPAQUE] {
            directory::remove(held, left).map_err(failed("unlinkat"))?;
        }
        rustix::fs::mkdirat(held, DIFF, Mode::from_raw_mode(0o755)).map_err(failed("mkdirat"))?;
        let diff = directory::open_at(held, DIFF).map_err(failed("openat"))?;
        let form = (compression, diff_id.algorithm());
        let unpacked = unpacker.unpack(&mut reader, form, diff.as_fd())?;
        if unpacked.diff_id != *diff_id {
            return Err(Error::mismatch(DIFF_ID, *diff_id, unpacked.diff_id));
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
        let read = self.blob.read(buffer)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        self.reporter.tell(LayerState::Unpacking, self.bytes);
        Ok(read)
    }
}
