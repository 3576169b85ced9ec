//! Diffing: what a container wrote becomes a layer.
//!
//! | I want … | Here |
//! |---|---|
//! | the upper directory of an overlay as a layer | [`Diff`], [`Diff::write`] |
//! | a directory as a layer | the same, with [`Whiteouts::Applied`] |
//! | the same layer every time | [`Diff::source_date_epoch`], [`Holes::Filled`] |
//! | what came of it | [`Layer`] |
//!
//! The tree is what an attacker wrote: it is read by descriptor, no link is followed, and what
//! would mean something else in a layer (a file called `.wh.x`) is refused.

pub(crate) mod compress;
mod located;
mod records;
mod upper;
mod walk;
pub(crate) mod writer;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::digest::{Algorithm, Digest};
use crate::error::Result;
use crate::ids::MappedIds;
use crate::media_type::Compression;
use crate::unpack::{AttributeFilter, Ownership, Quotas, Whiteouts};
use compress::Output;
use walk::Walk;

/// What happens to holes in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holes {
    /// They are holes in the layer, too, in GNU tar's notation 1.0. Where holes are depends on the
    /// file system.
    #[default]
    Kept,
    /// They are zeros.
    Filled,
}

/// Whether the tree's own root is a member of the layer (`.`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeRoot {
    /// It is not: a directory that was made for the tree says nothing about it.
    #[default]
    LeftOut,
    /// Only if it is not what a layer without it has: mode 0755, owner 0:0, no extended attributes.
    Unusual,
    /// It is, with mode, owner, attributes and time.
    Written,
}

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerRange {
    /// The first id in the layer.
    pub inside: u32,
    /// The first id in the tree.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl std::fmt::Display for OwnerRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { inside, outside, count } = self;
        match count {
            1 => write!(f, "{inside}={outside}"),
            _ => {
                let last = |first: &u32| first.saturating_add(count.saturating_sub(1));
                write!(f, "{inside}-{}={outside}-{}", last(inside), last(outside))
            }
        }
    }
}

impl OwnerRange {
    /// Whether a layer may have this id.
    pub(crate) fn has_inside(&self, id: u32) -> bool {
        id.checked_sub(self.inside).is_some_and(|offset| offset < self.count)
    }

    /// What an id of the tree is in the layer; itself where there are no ranges.
    pub(crate) fn find(ranges: &[Self], id: u32) -> Option<u32> {
        if ranges.is_empty() {
            return Some(id);
        }
        ranges.iter().find_map(|range| {
            let offset = id.checked_sub(range.outside).filter(|offset| *offset < range.count)?;
            range.inside.checked_add(offset)
        })
    }
}

/// How a tree becomes a layer.
///
/// ```no_run
/// use std::fs::File;
/// use std::os::fd::AsFd;
/// use ampoule_image::diff::Diff;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upper = File::open("/tmp/upper")?;
/// let mut diff = Diff::default();
/// diff.source_date_epoch = Some(1_700_000_000);
/// let layer = diff.write(upper.as_fd(), File::create("layer.tar.gz")?)?;
/// println!("{} is {}", layer.blob, layer.diff_id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// How the tree has whiteouts and opaque directories. [`Whiteouts::Applied`]: not at all, it is
    /// a plain directory.
    pub whiteouts: Whiteouts,
    /// How the tree has owners: [`Ownership::Single`] takes them from the attribute
    /// `user.containers.override_stat`, and root for what the caller owns without one.
    pub ownership: Ownership,
    /// Which owners in the tree are which in the layer; without any they are the same. For trees that a user namespace has
    /// written, as its maps are (user_namespaces(7)).
    pub uid_map: Vec<OwnerRange>,
    /// The same for groups.
    pub gid_map: Vec<OwnerRange>,
    /// Whether the root's own mode and owner are a part of the layer.
    pub root: TreeRoot,
    /// For a tree of which the caller may not read everything: these ids read it. Attributes `user.*` of files that the
    /// caller may not read are counted as dropped.
    pub ids: Option<MappedIds>,
    /// Only these paths, relative to the tree, and the directories that lead to them.
    pub selected: Option<BTreeSet<PathBuf>>,
    /// Which extended attributes are taken over.
    pub attributes: AttributeFilter,
    /// Later times become this one, in seconds since 1970, so that the same files give the same
    /// layer. See <https://reproducible-builds.org/specs/source-date-epoch/>.
    pub source_date_epoch: Option<i64>,
    /// What happens to holes in files.
    pub holes: Holes,
    /// How the layer is compressed. Default: gzip.
    pub compression: Compression,
    /// How hard: 0 to 9 for gzip (default 6), 1 to 22 for zstd (default 3).
    pub level: Option<u32>,
    /// What the tree may have; its `bytes` and `attribute` are not looked at.
    pub quotas: Quotas,
    /// The hash function for both digests.
    pub algorithm: Algorithm,
}

impl Default for Diff {
    fn default() -> Self {
        Self {
            whiteouts: Whiteouts::default(),
            ownership: Ownership::default(),
            uid_map: Vec::new(),
            gid_map: Vec::new(),
            root: TreeRoot::default(),
            ids: None,
            selected: None,
            attributes: AttributeFilter::default(),
            source_date_epoch: None,
            holes: Holes::default(),
            compression: Compression::Gzip,
            level: None,
            quotas: Quotas::default(),
            algorithm: Algorithm::Sha256,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// The digest of the layer as it was written.
    pub blob: Digest,
    /// Its bytes.
    pub blob_size: u64,
    /// The digest of the uncompressed layer, which a configuration calls a diff id.
    pub diff_id: Digest,
    /// Its bytes.
    pub diff_size: u64,
    /// Members, the root's own not counted.
    pub entries: u64,
    /// Extended attributes that were not taken over, those by which overlays are steered apart.
    pub attributes_dropped: u64,
    /// Sockets, which a layer cannot have.
    pub sockets_skipped: u64,
}

impl Diff {
    /// What suits the caller, as [`Unpack::suited`](crate::unpack::Unpack::suited).
    #[must_use]
    pub fn suited() -> Self {
        let crate::unpack::Unpack { whiteouts, ownership, .. } = crate::unpack::Unpack::suited();
        Self { whiteouts, ownership, ..Self::default() }
    }

    /// What suits the caller who has these ids, for a tree that a container with the same ones wrote.
    #[must_use]
    pub fn suited_with(ids: Option<&MappedIds>) -> Self {
        let Some(ids) = ids else { return Self::suited() };
        Self {
            whiteouts: Whiteouts::User,
            ownership: Ownership::Real,
            uid_map: ids.uid_map().to_vec(),
            gid_map: ids.gid_map().to_vec(),
            ids: Some(ids.clone()),
            ..Self::default()
        }
    }

    /// Writes the tree in `directory`, sorted by name, as a layer to `output`.
    ///
    /// # Errors
    ///
    /// [`UnsafeLayer`](crate::ErrorKind::UnsafeLayer) for a name that is reserved for whiteouts and for an owner that is
    /// in none of the ranges,
    /// [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded),
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for directories or files of which an overlay
    /// keeps a part in another layer (its options `redirect_dir` and `metacopy`),
    /// [`InUse`](crate::ErrorKind::InUse) where a file changes while it is read, or what a system
    /// call says.
    pub fn write(&self, directory: BorrowedFd<'_>, output: impl Write) -> Result<Layer> {
        let mut walk = Walk::new(self, directory, Output::new(self, output)?);
        walk.run()?;
        let counts = walk.counts;
        let (blob, diff) = walk.finish()?;
        Ok(Layer {
            blob: blob.digest,
            blob_size: blob.size,
            diff_id: diff.digest,
            diff_size: diff.size,
            entries: counts.entries,
            attributes_dropped: counts.attributes_dropped,
            sockets_skipped: counts.sockets_skipped,
        })
    }
}
