//! RUN --mount: what one program sees besides the image.
//!
//! Kernel objects: directories in the store's `pending/`, caches below `caches/`. Invariant: nothing of it is part of the
//! layer; what a program writes to a bind mount is thrown away.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, OFlags};

use super::gather::Origin;
use super::mask::Mask;
use super::owning::path_of;
use super::stage::Stage;
use super::step_mount::{StepMount, StepMountKind};
use super::tree_part::{self, Part};
use super::trouble::{Trouble, call};
use super::workshop::Scratch;
use super::{Build, driver};
use crate::containerfile::{
    Ignore, MountAccess, Need, ProblemKind, RunMount, RunMountKind, Sharing,
};
use crate::store::{Layer, RunCache};

/// Where secrets are that have no target.
const SECRETS: &str = "/run/secrets";

/// A mount with its words expanded.
pub(super) struct Wanted {
    target: PathBuf,
    what: What,
    /// What the result depends on.
    key: String,
}

enum What {
    Context {
        path: PathBuf,
        is_directory: bool,
        /// What of it is not seen.
        mask: Mask,
        access: MountAccess,
    },
    Layers {
        /// Held as long as the program runs.
        _layers: Vec<Layer>,
        part: Part,
        access: MountAccess,
    },
    Cache {
        id: String,
        sharing: Sharing,
        access: MountAccess,
        mode: u32,
    },
    Tmpfs {
        size: Option<u64>,
    },
    Secret {
        bytes: Vec<u8>,
        mode: u32,
    },
}

/// What the mounts of one program need as long as it runs.
pub(super) struct Held {
    pub(super) mounts: Vec<StepMount>,
    #[expect(dead_code, reason = "their locks hold the caches")]
    caches: Vec<RunCache>,
}

/// What the result of a program depends on, of all its mounts.
pub(super) fn key(wanted: &[Wanted]) -> String {
    wanted.iter().map(|one| format!(" {:?} {}", one.target, one.key)).collect()
}

/// Everything but a bind mount of layers; none for a secret that is not there and need not be.
pub(super) fn expand(
    build: &Build<'_>,
    stage: &Stage,
    mount: &RunMount,
) -> Result<Option<Wanted>, Trouble> {
    let expand = |word: &Option<_>| word.as_ref().map(|word| stage.expand(word)).transpose();
    let written = expand(&mount.target)?;
    let what = match &mount.kind {
        RunMountKind::Bind { source, access, .. } => {
            let source = expand(source)?.unwrap_or_default();
            let (what, key) = of_context(build, &source, *access)?;
            return Ok(Some(Wanted { target: target(stage, written)?, what, key }));
        }
        RunMountKind::Cache { id, sharing, access, mode } => {
            let id = expand(id)?;
            let id = match id {
                Some(id) => id,
                None => target(stage, written.clone())?.to_string_lossy().into_owned(),
            };
            What::Cache { id, sharing: *sharing, access: *access, mode: *mode }
        }
        RunMountKind::Tmpfs { size } => What::Tmpfs { size: *size },
        RunMountKind::Secret { id, need, mode } => {
            let name = written.as_deref().and_then(|path| path.rsplit('/').next());
            let id = expand(id)?.or_else(|| name.map(str::to_owned)).unwrap_or_default();
            let written = written.or_else(|| Some(format!("{SECRETS}/{id}")));
            let Some(bytes) = build.secrets.get(&id).cloned() else {
                return match need {
                    Need::Required => Err(Trouble::NoSecret(id)),
                    Need::Optional => Ok(None),
                };
            };
            // Not what it says: who has another one gets the same result.
            let key = format!("secret {id:?} {mode:o}");
            let what = What::Secret { bytes, mode: *mode };
            return Ok(Some(Wanted { target: target(stage, written)?, what, key }));
        }
    };
    let key = match &what {
        What::Cache { id, sharing, access, mode } => {
            format!("cache {id:?} {sharing:?} {access:?} {mode:o}")
        }
        _ => format!("{:?}", mount.kind),
    };
    Ok(Some(Wanted { target: target(stage, written)?, what, key }))
}

/// Where it is mounted: absolute, and not the root.
fn target(stage: &Stage, written: Option<String>) -> Result<PathBuf, Trouble> {
    let written = written.unwrap_or_default();
    let mut target = PathBuf::from("/");
    for part in Path::new(&stage.absolute(&written)).components() {
        match part {
            Component::Normal(name) => target.push(name),
            Component::ParentDir => drop(target.pop()),
            _ => {}
        }
    }
    match target.parent() {
        Some(_) if !written.is_empty() => Ok(target),
        _ => Err(ProblemKind::Value { what: "the target of a mount", text: written }.into()),
    }
}

/// A bind mount of the build's directory.
fn of_context(
    build: &Build<'_>,
    source: &str,
    access: MountAccess,
) -> Result<(What, String), Trouble> {
    let context = driver::context(build, false)?.ok_or(Trouble::NoContext)?;
    let origin =
        Origin { root: context.as_fd(), ignore: &build.ignore, exclude: Vec::new(), ids: None };
    let inner = relative(source);
    let missing = || Trouble::NoSource(source.to_owned());
    let opened = origin.open(&inner, OFlags::PATH).map_err(|_| missing())?;
    let found = origin.look(&inner)?.ok_or_else(missing)?;
    let digest = origin.digest(std::slice::from_ref(&found))?;
    let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let path = std::fs::read_link(&link)
        .map_err(|error| crate::error::Error::io("readlink", Path::new(&link), &error))?;
    let key = format!("bind {digest} {access:?}");
    let (mask, is_directory) = (Mask::of(&origin, &inner, &found)?, found.is_directory);
    Ok((What::Context { path, is_directory, mask, access }, key))
}

/// A bind mount of another stage or image.
pub(super) fn of_layers(
    build: &Build<'_>,
    stage: &Stage,
    mount: &RunMount,
    layers: Vec<Layer>,
) -> Result<Wanted, Trouble> {
    let RunMountKind::Bind { source, access, .. } = &mount.kind else {
        return Err(Trouble::Unsupported("a mount with layers"));
    };
    let expand = |word: &Option<_>| word.as_ref().map(|word| stage.expand(word)).transpose();
    let source = expand(source)?.unwrap_or_default();
    let path = straight(build, &layers, &source)?;
    let part = tree_part::part(&layers, &path, build.diff.ids.as_ref())?;
    let digests: Vec<_> = layers.iter().map(|layer| layer.digest().to_string()).collect();
    let key = format!("layers {digests:?} {path:?} {access:?}");
    let what = What::Layers { _layers: layers, part, access: *access };
    Ok(Wanted { target: target(stage, expand(&mount.target)?)?, what, key })
}

/// A path in a tree of layers without its links.
fn straight(build: &Build<'_>, layers: &[Layer], source: &str) -> Result<PathBuf, Trouble> {
    let path = relative(source);
    if path.as_os_str().is_empty() {
        return Ok(path);
    }
    let (_directory, scratch) = driver::scratch_of(build)?;
    let mounted = build.workshop.mount(layers, &scratch)?;
    let (ignore, ids) = (Ignore::default(), build.diff.ids.as_ref());
    let origin = Origin { root: mounted.root(), ignore: &ignore, exclude: Vec::new(), ids };
    let opened =
        origin.open(&path, OFlags::PATH).map_err(|_| Trouble::NoSource(source.to_owned()))?;
    let stat = rustix::fs::fstat(&opened).map_err(call("fstat", &path))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::Directory | FileType::RegularFile) {
        return Err(Trouble::NoSource(source.to_owned()));
    }
    let path = path_of(opened.as_fd()).map_err(call("readlink", &path))?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// A source from the origin's root on.
fn relative(source: &str) -> PathBuf {
    super::gather::clean(source).into_iter().collect()
}

/// Makes what the mounts need.
pub(super) fn prepare(
    build: &Build<'_>,
    wanted: &[Wanted],
    scratch: &Scratch,
) -> Result<Held, Trouble> {
    let caches = caches(build, wanted)?;
    let mut mounts = Vec::new();
    for (number, one) in wanted.iter().enumerate() {
        let kind = match &one.what {
            What::Context { path, is_directory: false, access, .. } => bind(path, *access)?,
            What::Context { path, mask, access: MountAccess::ReadOnly, .. } if mask.is_empty() => {
                bind(path, MountAccess::ReadOnly)?
            }
            What::Context { path, mask, access, .. } => {
                let hiding = scratch.upper().with_file_name(format!("mask-{number}"));
                mask.make(&hiding)?;
                let lower = (!mask.is_empty()).then_some(hiding);
                tree(lower.into_iter().chain([path.clone()]).collect(), *access, scratch, number)?
            }
            What::Layers { part: Part::File(path), access, .. } => bind(path, *access)?,
            What::Layers { part: Part::Directories(lower), access, .. } => {
                tree(lower.clone(), *access, scratch, number)?
            }
            What::Cache { id, access, .. } => {
                let Some((_, cache)) = caches.iter().find(|(name, _)| name == id) else { continue };
                StepMountKind::Bind { source: cache.path().to_owned(), access: *access }
            }
            What::Tmpfs { size } => StepMountKind::Tmpfs { size: *size },
            What::Secret { bytes, mode } => {
                StepMountKind::File { bytes: bytes.clone(), mode: *mode }
            }
        };
        mounts.push(StepMount { target: one.target.clone(), kind });
    }
    Ok(Held { mounts, caches: caches.into_iter().map(|(_, cache)| cache).collect() })
}

/// The caches, each once and in the order of their names, so that two builds do not wait for each other.
fn caches(build: &Build<'_>, wanted: &[Wanted]) -> Result<Vec<(String, RunCache)>, Trouble> {
    let mut asked = std::collections::BTreeMap::<&str, (Sharing, u32)>::new();
    for one in wanted {
        if let What::Cache { id, sharing, mode, .. } = &one.what {
            let entry = asked.entry(id).or_insert((*sharing, *mode));
            entry.0 = entry.0.max(*sharing);
        }
    }
    // Other ids, other owners: such caches are not shared.
    let form = build.unpacker().form();
    let open = |(id, (sharing, mode)): (&str, (Sharing, u32))| {
        let cache = build.store.run_cache(&format!("{form} {id}"), sharing, mode)?;
        Ok((id.to_owned(), cache))
    };
    asked.into_iter().map(open).collect()
}

/// One file, or a directory that is only read.
fn bind(path: &Path, access: MountAccess) -> Result<StepMountKind, Trouble> {
    match access {
        MountAccess::ReadOnly => {
            Ok(StepMountKind::Bind { source: path.to_owned(), access: MountAccess::ReadOnly })
        }
        MountAccess::ReadWrite => Err(Trouble::Unsupported("a bind mount of one file to write to")),
    }
}

/// Directories as a tree, with a directory of its own for what is written.
fn tree(
    mut lower: Vec<PathBuf>,
    access: MountAccess,
    scratch: &Scratch,
    number: usize,
) -> Result<StepMountKind, Trouble> {
    if lower.len() < 2 {
        lower.push(scratch.empty().to_owned());
    }
    let upper = match access {
        MountAccess::ReadOnly => None,
        MountAccess::ReadWrite => {
            let upper = scratch.upper().with_file_name(format!("mount-{number}"));
            super::layer::make_directory(&upper)?;
            Some(upper)
        }
    };
    Ok(StepMountKind::Layers { lower, upper })
}
