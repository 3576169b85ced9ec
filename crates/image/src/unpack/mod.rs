//! Unpacking: a layer, read once, becomes a tree of files and two digests.
//!
//! | I want … | Here |
//! |---|---|
//! | to unpack a layer | [`Unpack`], [`Unpack::apply`] |
//! | to limit what it may ask for | [`Quotas`] |
//! | whiteouts as an overlay wants them, or applied | [`Whiteouts`] |
//! | to do it without privilege | [`Ownership::Single`] |
//! | devices, attributes | [`Devices`], [`AttributeFilter`] |
//! | what came of it | [`Unpacked`] |
//!
//! A layer is what an attacker wrote. Every name is looked up inside the directory, by descriptor,
//! with openat2(2); no link is ever followed; what readers of tar files understand differently is
//! refused, so that nobody can show one tree to a scanner and another one to us.

pub(crate) mod blocks;
pub(crate) mod decoder;
pub(crate) mod format;
pub(crate) mod name;
mod options;
pub(crate) mod pipeline;
pub(crate) mod quotas;
pub(crate) mod tree;
pub(crate) mod trouble;

use std::io::Read;
use std::os::fd::BorrowedFd;

pub use options::{AttributeFilter, Devices, Ownership, Whiteouts};
pub use quotas::Quotas;

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Result};
use crate::ids::MappedIds;
use crate::media_type::Compression;
use format::members::Members;
use pipeline::Reading;
use tree::layer::Layer;

/// How a layer is unpacked.
///
/// ```no_run
/// use std::fs::File;
/// use std::os::fd::AsFd;
/// use ampoule_image::unpack::{Unpack, Whiteouts};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = File::open("/tmp/rootfs")?;
/// let mut unpack = Unpack::default();
/// unpack.whiteouts = Whiteouts::Applied;
/// let unpacked = unpack.apply(File::open("layer.tar.gz")?, directory.as_fd())?;
/// println!("{} is {}", unpacked.blob, unpacked.diff_id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpack {
    /// How the layer is compressed; `None`: what its first bytes say. Windows of zstd may have
    /// 8 MiB, as RFC 8878 recommends.
    pub compression: Option<Compression>,
    /// What it may ask for.
    pub quotas: Quotas,
    /// How removed files are written down.
    pub whiteouts: Whiteouts,
    /// Who owns the files.
    pub ownership: Ownership,
    /// With which ids [`Ownership::Real`] is done by a caller who may not give files away: the directory and what is in it
    /// belong to the caller or to these ids, and no devices can be made. Directories of others that are written to are the
    /// caller's meanwhile. The owners are set when all files are there. Each file that is not root's takes some 50 bytes of
    /// memory more.
    pub ids: Option<MappedIds>,
    /// What happens to device nodes.
    pub devices: Devices,
    /// Which extended attributes are taken over.
    pub attributes: AttributeFilter,
    /// The hash function for the layer as it is read.
    pub blob_algorithm: Algorithm,
    /// The hash function for the uncompressed layer.
    pub diff_algorithm: Algorithm,
}

impl Default for Unpack {
    fn default() -> Self {
        Self {
            compression: None,
            quotas: Quotas::default(),
            whiteouts: Whiteouts::default(),
            ownership: Ownership::default(),
            ids: None,
            devices: Devices::default(),
            attributes: AttributeFilter::default(),
            blob_algorithm: Algorithm::Sha256,
            diff_algorithm: Algorithm::Sha256,
        }
    }
}

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpacked {
    /// The digest of the layer as it was read.
    pub blob: Digest,
    /// Its bytes.
    pub blob_size: u64,
    /// The digest of the uncompressed layer, which a configuration calls a diff id.
    pub diff_id: Digest,
    /// Its bytes.
    pub diff_size: u64,
    /// Members.
    pub entries: u64,
    /// Bytes of all files, the holes of sparse ones included.
    pub file_bytes: u64,
    /// Files and directories of lower layers that are hidden or removed.
    pub whiteouts: u64,
    /// Extended attributes that were not taken over: not allowed, or not possible for this caller
    /// or on this file system.
    pub attributes_dropped: u64,
    /// Device nodes that were passed over.
    pub devices_skipped: u64,
    /// Whether the root itself is opaque: nothing of the lower layers is to be seen. An overlay
    /// does not know that; whoever stacks the layers leaves the lower ones out.
    pub root_opaque: bool,
}

impl Unpack {
    /// What suits the caller: for root the defaults with [`Whiteouts::Both`]; for others files of their own, whiteouts for an
    /// overlay with the option `userxattr`, and no devices.
    #[must_use]
    pub fn suited() -> Self {
        if rustix::process::geteuid().is_root() {
            return Self { whiteouts: Whiteouts::Both, ..Self::default() };
        }
        Self {
            whiteouts: Whiteouts::User,
            ownership: Ownership::Single,
            devices: Devices::Skip,
            ..Self::default()
        }
    }

    /// What suits the caller who has these ids: their owners, else as [`Unpack::suited`].
    #[must_use]
    pub fn suited_with(ids: Option<&MappedIds>) -> Self {
        match ids {
            None => Self::suited(),
            Some(_) => Self {
                whiteouts: Whiteouts::User,
                devices: Devices::Skip,
                ids: ids.cloned(),
                ..Self::default()
            },
        }
    }

    /// Reads `layer` to its end and writes what it holds into `directory`.
    ///
    /// Three threads live while this runs. The memory taken is independent of the layer's size.
    /// After an error the directory holds a part of the layer; remove it.
    ///
    /// # Errors
    ///
    /// [`InvalidArchive`](crate::ErrorKind::InvalidArchive),
    /// [`UnsafeLayer`](crate::ErrorKind::UnsafeLayer),
    /// [`NotMapped`](crate::ErrorKind::NotMapped) for an owner that [`Unpack::ids`] do not have,
    /// [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded),
    /// [`UnsupportedMediaType`](crate::ErrorKind::UnsupportedMediaType) for zstd without the
    /// feature `zstd`, or what a system call says: [`NoSpace`](crate::ErrorKind::NoSpace),
    /// [`Denied`](crate::ErrorKind::Denied) … An error of `layer` that is an
    /// [`Error`] of this crate comes back as it is.
    pub fn apply(&self, layer: impl Read + Send, directory: BorrowedFd<'_>) -> Result<Unpacked> {
        let reading = Reading {
            compression: self.compression,
            blob: self.blob_algorithm,
            diff: self.diff_algorithm,
        };
        if let Some(ids) = self.ids.as_ref().filter(|_| self.ownership == Ownership::Real) {
            make_own(ids, directory)?;
        }
        let done = pipeline::run(layer, reading, |plain| {
            let mut members = Members::new(plain, self.quotas);
            let mut layer = Layer::new(self, directory);
            layer.write(&mut members)?;
            let told = (layer.counts, layer.attributes_dropped());
            Ok((told, layer.later()))
        })?;
        let ((counts, attributes_dropped), later) = done.result;
        if let Some(ids) = self.ids.as_ref().filter(|_| self.ownership == Ownership::Real) {
            later.hand_over(ids, (directory, done.diff.size))?;
        }
        Ok(Unpacked {
            blob: done.blob.digest,
            blob_size: done.blob.size,
            diff_id: done.diff.digest,
            diff_size: done.diff.size,
            entries: counts.entries,
            file_bytes: counts.bytes,
            whiteouts: counts.whiteouts,
            attributes_dropped,
            devices_skipped: counts.devices_skipped,
            root_opaque: counts.root_opaque,
        })
    }
}

/// Gives a directory the caller's own group, which what is made in it has from it if it is a set-group-id one, where the user
/// namespace does not have the one that it has.
fn make_own(ids: &MappedIds, directory: BorrowedFd<'_>) -> Result<()> {
    let failed = |operation| move |errno| Error::call(operation, errno);
    let stat = rustix::fs::fstat(directory).map_err(failed("fstat"))?;
    let own = rustix::process::getegid();
    if stat.st_gid != own.as_raw() && ids.inside(stat.st_uid, stat.st_gid).is_none() {
        rustix::fs::fchown(directory, None, Some(own)).map_err(failed("fchown"))?;
    }
    Ok(())
}
