//! The store: one directory with blobs, unpacked layers, and references to images.
//!
//! Kernel objects: files and directories below one directory, advisory locks on them (flock(2)).
//!
//! Invariant: what stands under its own name is whole. Everything is made under a name in
//! `pending/`, checked, written to the disk, and renamed; what is there is never changed, but for
//! references, which are replaced in one step. So a process can be killed at any instant, and
//! another one goes on.
//!
//! | below the directory | is |
//! |---|---|
//! | `blobs/sha256/…` | manifests, configurations and layers as they came, by their digest |
//! | `layers/sha256/…/diff` | unpacked layers, by the digest of their uncompressed content and their form |
//! | `references/…` | one small file for each name of an image, by the digest of the name |
//! | `caches/…/data` | what programs of builds keep for later builds |
//! | `pending/` | what is not finished |
//! | `lock` | held shared by who adds, alone by who cleans up |
//!
//! Lock order: `lock`, then a file in `pending/`, then a blob or a layer.

pub(crate) mod blob;
mod directory;
mod gc;
mod image;
mod layer;
mod lock;
mod make_layer;
mod pending;
mod references;
mod run_cache;
mod scratch;
mod take_back;
mod unpacker;
mod usage;
mod verify;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest};
use crate::document;
use crate::error::{Error, Result};
use crate::ids::MappedIds;
use crate::unpack::Unpack;
pub use blob::{Blob, BlobWriter, NewBlob, Slot};
pub use gc::{Collected, Patience};
pub use image::Image;
pub use layer::{Hides, Layer};
use lock::Lock;
pub(crate) use pending::fresh as fresh_name;
pub(crate) use references::Adding;
pub use references::Entry;
pub(crate) use run_cache::RunCache;
pub(crate) use scratch::ScratchDirectory;
pub use unpacker::{Form, Unpacker};
pub use usage::Usage;
pub use verify::Verified;

/// A directory with images. Several processes can use one at the same time.
///
/// It belongs to one user, and nobody else may enter it: unpacked layers hold set-user-id programs
/// and devices.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: Arc<OwnedFd>,
    path: PathBuf,
    ids: Option<MappedIds>,
}

/// The kinds of things in a store, and their directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Blobs,
    Layers,
}

impl Area {
    fn name(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Layers => "layers",
        }
    }

    /// Where things with such digests are.
    fn directory(self, algorithm: Algorithm) -> String {
        format!("{}/{algorithm}", self.name())
    }

    /// Where one thing is: a digest is never a path of its own.
    fn path(self, digest: &Digest) -> String {
        format!("{}/{}", self.directory(digest.algorithm()), digest.hex())
    }
}

/// The file that says that this is a store, and of which version.
const MARK: &str = "ampoule-store";

/// The version of everything below the directory.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
}

const REFERENCES: &str = "references";
const PENDING: &str = "pending";
const CACHES: &str = "caches";
const LOCK: &str = "lock";

/// Nobody but the owner enters a store.
const PRIVATE: u32 = 0o700;

impl Store {
    /// Opens the store in `directory`; an absent or empty one becomes a store. What ended processes
    /// left in `pending/` is removed, unless somebody is adding something just now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if it was made by a later version,
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if it is a directory with
    /// something else in it, [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what the kernel
    /// says.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let path = directory.as_ref();
        let mut maker = fs::DirBuilder::new();
        maker.recursive(true).mode(PRIVATE);
        maker.create(path).map_err(|error| Error::io("mkdir", path, &error))?;
        // References and errors name files by path for as long as the store is open.
        let path = fs::canonicalize(path).map_err(|error| Error::io("realpath", path, &error))?;
        let root = Arc::new(directory::open(&path)?);
        let store = Self(Arc::new(Inner { root, path, ids: None }));
        store.check_version()?;
        for area in [Area::Blobs, Area::Layers] {
            store.make_directory(area.name())?;
            for algorithm in Algorithm::ALL {
                store.make_directory(&area.directory(algorithm))?;
            }
        }
        store.make_directory(REFERENCES)?;
        store.make_directory(PENDING)?;
        if let Some(alone) = Lock::try_alone(&store)? {
            pending::clear(&store, &alone, pending::Keep::Partial)?;
        }
        Ok(store)
    }

    /// The same store with the owners of the images, for a caller who is not root: [`Store::suited`] unpacks with these
    /// ids, and what belongs to them can be removed.
    ///
    /// Layers that were unpacked otherwise, or with other ids, are other ones ([`Unpacker::form`]); all of them are collected
    /// with their images. Who has layers with ids in a store collects with the same ids: [`Store::gc`] without them is
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied).
    #[must_use]
    pub fn with_ids(&self, ids: &MappedIds) -> Self {
        let Inner { root, path, .. } = &*self.0;
        let ids = Some(ids.clone());
        Self(Arc::new(Inner { root: Arc::clone(root), path: path.clone(), ids }))
    }

    /// The ids whose files it can have, if there are any but the caller's.
    #[must_use]
    pub fn ids(&self) -> Option<&MappedIds> {
        self.0.ids.as_ref()
    }

    /// How layers are unpacked that suit the caller and the ids at hand ([`Unpack::suited_with`]).
    #[must_use]
    pub fn suited(&self) -> Unpack {
        Unpack::suited_with(self.ids())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn root(&self) -> &OwnedFd {
        &self.0.root
    }

    /// A name below the directory as a path, for errors.
    fn named(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    fn make_directory(&self, name: &str) -> Result<()> {
        match rustix::fs::mkdirat(self.root(), name, Mode::from_raw_mode(PRIVATE)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::at("mkdirat", &self.named(name), errno)),
        }
    }

    /// Checks the file with the version, and writes it into an empty directory.
    fn check_version(&self) -> Result<()> {
        let path = self.named(MARK);
        // What is no store is not written to.
        match fs::read(&path) {
            Ok(bytes) => return check_mark(&bytes, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("open", &path, &error)),
        }
        if !self.is_empty_or_half_made()? {
            return Err(Error::at("open", &path, rustix::io::Errno::EXIST));
        }
        // Nobody clears `pending/` meanwhile.
        let _adding = Lock::shared(self)?;
        self.make_directory(PENDING)?;
        pending::replace(self, MARK, &document::to_json(MARK, &Mark { version: VERSION })?)
    }

    /// Whether nothing is in the directory but what another process that makes the store has made.
    fn is_empty_or_half_made(&self) -> Result<bool> {
        let failed = |error: io::Error| Error::io("readdir", self.path(), &error);
        for entry in fs::read_dir(self.path()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if ![PENDING, LOCK, MARK].iter().any(|own| name == *own) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn check_mark(bytes: &[u8], path: &Path) -> Result<()> {
    let mark: Mark = document::strict(MARK, &["version"], bytes)?;
    if mark.version == VERSION {
        Ok(())
    } else {
        Err(Error::at("open", path, rustix::io::Errno::OPNOTSUPP))
    }
}
