//! Unpacked layers: one tree for each, shared by all images that have the layer.
//!
//! Kernel objects: a directory below `layers/` for each layer with the tree in `diff`, and a
//! flock(2) lock on it: shared by who uses it, alone by who makes or removes it. Invariant: a layer
//! below `layers/` is whole, and its content had the digest that is its name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Area, Form, Store, directory, lock, pending};
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Result};

/// The directory with the layer's files.
pub(super) const DIFF: &str = "diff";

/// Stands beside it if the layer hides everything below.
pub(super) const OPAQUE: &str = "opaque";

/// What an unpacked layer is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LayerName {
    pub(super) digest: Digest,
    pub(super) form: Form,
}

impl LayerName {
    /// Where it is, below the store.
    pub(super) fn place(&self) -> String {
        format!("{}.{}", Area::Layers.path(&self.digest), self.form)
    }

    /// What it is called in `pending/`.
    pub(super) fn pending(&self) -> String {
        let Self { digest, form } = self;
        format!("{}{}-{}.{form}", pending::LAYER, digest.algorithm(), digest.hex())
    }

    /// From the name of a directory; `None` for what is none of ours.
    fn parse(algorithm: Algorithm, name: &str) -> Option<Self> {
        let (hex, form) = name.split_once('.')?;
        let digest = format!("{algorithm}:{hex}").parse().ok()?;
        Some(Self { digest, form: Form::parse(form)? })
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
    name: LayerName,
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
        self.name.digest
    }

    /// In which form it was unpacked.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.name.form
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
    /// Every unpacked layer.
    pub(super) fn layer_names(&self) -> Result<Vec<LayerName>> {
        let mut found = Vec::new();
        for (algorithm, names) in self.names(Area::Layers)? {
            found.extend(names.iter().filter_map(|name| LayerName::parse(algorithm, name)));
        }
        Ok(found)
    }

    /// An unpacked layer, by the digest of its uncompressed content and the form that an
    /// [`Unpacker`](super::Unpacker) gives it; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn layer(&self, diff_id: &Digest, form: &Form) -> Result<Option<Layer>> {
        self.open_layer(&LayerName { digest: *diff_id, form: form.clone() })
    }

    pub(super) fn open_layer(&self, name: &LayerName) -> Result<Option<Layer>> {
        let place = name.place();
        loop {
            let held = match directory::open_at(self.root(), &place) {
                Ok(held) => held,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(Error::at("openat", &self.named(&place), errno)),
            };
            lock::shared(&held, &self.named(&place))?;
            if self.is_at(&held, &place)? {
                return self.as_layer(name, held).map(Some);
            }
        }
    }

    /// Where the files of an unpacked layer are, or would be.
    #[must_use]
    pub fn layer_path(&self, diff_id: &Digest, form: &Form) -> PathBuf {
        let name = LayerName { digest: *diff_id, form: form.clone() };
        self.named(&name.place()).join(DIFF)
    }

    /// Whether an open directory still has this name.
    pub(super) fn is_at(&self, held: &OwnedFd, name: &str) -> Result<bool> {
        let failed = |errno| Error::at("fstatat", &self.named(name), errno);
        let own = rustix::fs::fstat(held).map_err(failed)?;
        match rustix::fs::statat(self.root(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => Ok((now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }

    pub(super) fn as_layer(&self, name: &LayerName, held: OwnedFd) -> Result<Layer> {
        let path = self.named(&name.place()).join(DIFF);
        let diff = directory::open_at(&held, DIFF);
        let diff = diff.map_err(|errno| Error::at("openat", &path, errno))?;
        let hides = match rustix::fs::statat(&held, OPAQUE, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Hides::Everything,
            Err(Errno::NOENT) => Hides::Whiteouts,
            Err(errno) => return Err(Error::at("fstatat", &path, errno)),
        };
        Ok(Layer { name: name.clone(), path, diff, hides, held })
    }
}
