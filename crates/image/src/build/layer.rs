//! Layers that steps make: taken from the cache, or made, packed and unpacked again as any other layer.
//!
//! Kernel objects: two directories in the store's `pending/` for each step. Invariant: what stands in the cache is a whole
//! image of the store, so that it is collected and verified as any other.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use serde::Serialize;

use super::stage::Stage;
use super::trouble::{Trouble, call};
use super::workshop::Scratch;
use super::{Build, Cache, Outcome};
use crate::descriptor::Descriptor;
use crate::diff::{Diff, TreeRoot};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::MappedIds;
use crate::ids::hand_over::{self, Given};
use crate::jobs::Stop;
use crate::media_type::MediaType;
use crate::progress::Reporter;
use crate::reference::Reference;
use crate::store::{Layer, ScratchDirectory, Store};

/// A repository that no registry has (RFC 6761): the results of steps.
pub(super) const CACHE: &str = "build.invalid/cache";

/// What a step's result depends on.
#[derive(Debug, Serialize)]
pub(super) struct Key<'a> {
    /// Of this form.
    pub(super) version: u32,
    /// The image before.
    pub(super) before: Digest,
    /// The instruction, with what its words mean.
    pub(super) instruction: &'a str,
    /// Everything else: arguments, the content of sources.
    pub(super) more: String,
}

impl Key<'_> {
    /// The name of the result.
    fn reference(&self) -> Result<Reference> {
        let bytes = crate::document::to_json("cache key", self)?;
        format!("{CACHE}:{}", Digest::of(&bytes).hex()).parse()
    }
}

/// Makes one step's layer with `work`, unless it was made before.
pub(super) fn make(
    build: &Build<'_>,
    stage: &mut Stage,
    key: &Key<'_>,
    work: impl FnOnce(&[Layer], &Scratch) -> Result<(), Trouble>,
) -> Result<Outcome, Trouble> {
    let store = build.store;
    let name = key.reference()?;
    if build.cache == Cache::Used {
        match store.image(&name) {
            Ok(image) => {
                // It may have been collected since.
                store.unpack(&image, build.unpacker(), &())?;
                stage.take_over(&image);
                return Ok(Outcome::FromCache);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let layers = stage.open_layers(store, &build.unpacker().form())?;
    let scratch = store.scratch()?;
    let ids = build.diff.ids.as_ref();
    let directories = directories(&scratch, ids)?;
    let root = layers.last().map(|layer| like(layer, &directories.upper, ids)).transpose()?;
    work(&layers, &directories)?;
    drop(layers);
    let packed = pack(build, &scratch, root)?;
    stage.note(&build.created, key.instruction, packed.is_none());
    if let Some((layer, diff_id)) = packed {
        let stop = Stop::default();
        let mut reporter = Reporter::new(&(), (0, 1), &layer, &stop);
        store.unpack_layer(&layer, &diff_id, build.unpacker(), &mut reporter)?;
        stage.config.rootfs.diff_ids.push(diff_id);
        stage.layers.push(layer);
    }
    let manifest = stage.put(store)?;
    store.tag(&manifest, &name)?;
    Ok(Outcome::Done)
}

pub(super) fn directories(
    scratch: &ScratchDirectory,
    ids: Option<&MappedIds>,
) -> Result<Scratch, Trouble> {
    let [upper, empty] = ["upper", "empty"].map(|name| scratch.path().join(name));
    for path in [&upper, &empty] {
        make_directory(path)?;
    }
    Ok(Scratch { upper, empty, ids: ids.cloned() })
}

pub(super) fn make_directory(path: &PathBuf) -> Result<(), Trouble> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let made = std::fs::DirBuilder::new().mode(0o755).create(path);
    // The upper directory's mode is the mode of the tree's root, whatever the caller's umask is.
    let mode = std::fs::Permissions::from_mode(0o755);
    made.and_then(|()| std::fs::set_permissions(path, mode))
        .map_err(|error| Error::io("mkdir", path, &error).into())
}

/// Mode and owner of a tree's root.
type Root = (u32, u32, u32);

/// Mode and owner of an open directory.
fn root_of(fd: impl AsFd, path: &Path) -> Result<Root, Trouble> {
    let stat = rustix::fs::fstat(fd).map_err(call("fstat", path))?;
    Ok((stat.st_mode & 0o7777, stat.st_uid, stat.st_gid))
}

/// Gives an upper directory what the uppermost layer's root has: the tree's root is the upper one's.
fn like(layer: &Layer, upper: &Path, ids: Option<&MappedIds>) -> Result<Root, Trouble> {
    let open = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(call("open", path))
    };
    let wanted @ (mode, uid, gid) = root_of(open(layer.path())?, layer.path())?;
    let made = open(upper)?;
    let (_, own_uid, own_gid) = root_of(&made, upper)?;
    if let Some(ids) = ids.filter(|_| (own_uid, own_gid, 0o755) != (uid, gid, mode)) {
        let mode = Some(Mode::from_raw_mode(mode));
        let owner = ids.inside(uid, gid).unwrap_or_default();
        hand_over::give(ids, made.as_fd(), [(Vec::new(), Given { owner, mode })])
            .map_err(|(_, operation, errno)| call(operation, upper)(errno))?;
        return Ok(wanted);
    }
    if (own_uid, own_gid) != (uid, gid) {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::fchown(&made, owner.0, owner.1).map_err(call("fchown", upper))?;
    }
    rustix::fs::fchmod(&made, Mode::from_raw_mode(mode)).map_err(call("fchmod", upper))?;
    Ok(wanted)
}

/// The upper directory as a layer; none if nothing was changed. `before` is its root as it was.
fn pack(
    build: &Build<'_>,
    scratch: &ScratchDirectory,
    before: Option<Root>,
) -> Result<Option<(Descriptor, Digest)>, Trouble> {
    let upper = scratch.open("upper")?;
    let changed = before.is_some_and(|before| root_of(&upper, scratch.path()) != Ok(before));
    let root = if changed { TreeRoot::Written } else { TreeRoot::Unusual };
    let diff = Diff { root, ..build.diff.clone() };
    let mut blob = build.store.new_blob()?;
    let packed = diff.write(upper.as_fd(), &mut blob)?;
    if packed.entries == 0 && !changed {
        return Ok(None);
    }
    let layer = blob.finish(MediaType::Layer(diff.compression))?;
    Ok(Some((layer, packed.diff_id)))
}

impl Store {
    /// Removes the results of the steps of builds, which later builds would take; the next [`Store::gc`] removes their
    /// content. Returns how many there were.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn prune_build_cache(&self) -> Result<usize> {
        let mut removed = 0;
        for entry in self.list()?.into_iter().filter(|entry| entry.reference.name() == CACHE) {
            match self.remove(&entry.reference) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}
