//! A destination that is a directory with the image's files: its layers applied one on the other.
//!
//! Kernel objects: files below the directory. Invariant: nothing outside of it is touched (see
//! [`unpack`](crate::unpack)); it is complete if and only if copying succeeded.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Destination;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::source::Resolved;
use crate::unpack::{Unpack, Whiteouts};

/// Unpacks one image into a directory.
///
/// After an error the directory holds a part of the image; remove it.
#[derive(Debug)]
pub struct RootDirectory {
    directory: OwnedFd,
    unpack: Unpack,
    diff_ids: Vec<Digest>,
}

impl RootDirectory {
    /// Makes the directory, or takes an empty one. The whiteouts of `unpack` do not matter: they
    /// are applied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if something is in it, and what
    /// the kernel says.
    pub fn create(path: impl AsRef<Path>, unpack: &Unpack) -> Result<Self> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(|error| Error::io("mkdir", path, &error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::at("open", path, errno))?;
        let mut entries = fs::read_dir(path).map_err(|error| Error::io("readdir", path, &error))?;
        if entries.next().is_some() {
            return Err(Error::at("open", path, Errno::EXIST));
        }
        let mut unpack = unpack.clone();
        unpack.whiteouts = Whiteouts::Applied;
        Ok(Self { directory, unpack, diff_ids: Vec::new() })
    }
}

impl Destination for RootDirectory {
    /// A layer that stands twice in an image is applied twice.
    fn has(&mut self, blob: &Descriptor) -> Result<bool> {
        Ok(blob.media_type.compression().is_none())
    }

    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()> {
        self.unpack.compression = blob.media_type.compression();
        let unpacked = self.unpack.apply(content, self.directory.as_fd())?;
        self.diff_ids.push(unpacked.diff_id);
        Ok(())
    }

    fn finish(&mut self, image: &Resolved, _: Option<&Reference>) -> Result<()> {
        let wanted = &image.config.rootfs.diff_ids;
        for (wanted, found) in wanted.iter().zip(&self.diff_ids) {
            if wanted != found {
                return Err(Error::mismatch("layer", *wanted, *found));
            }
        }
        Ok(())
    }
}
