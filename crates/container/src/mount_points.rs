//! Mount points that a container makes in the tree of a build, and that are no part of the layer.
//!
//! Kernel objects: files and directories of an upper directory, by descriptor; an overlay of the layers, mounted nowhere. Invariant: nothing is removed but what was
//! missing before, is empty now, and says nothing that the layers below do not say.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ampoule_image::build::{Foreign, Scratch};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::workshop::overlay;

/// What every container of a build mounts, and so makes in its root when it is missing.
const DIRECTORIES: [&str; 3] = ["proc", "sys", "dev"];

/// Attributes with these names are the overlay's own.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Longest list of attributes, and longest value (xattr(7)).
const ATTRIBUTES_MAX: usize = 65_536;

const ROOT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// The mount points that none of the layers has.
#[derive(Debug)]
pub(crate) struct MountPoints {
    missing: BTreeSet<PathBuf>,
    /// The directories that they are in, as the layers have them; none where they do not.
    parents: BTreeMap<PathBuf, Option<Nature>>,
}

impl MountPoints {
    /// Looks at the layers as the container will see them; `targets` are what is mounted besides, from `/` on.
    pub(crate) fn missing(
        lower: &[PathBuf],
        scratch: &Scratch,
        targets: &[&Path],
    ) -> Result<Self, Foreign> {
        let mut targets: Vec<PathBuf> = DIRECTORIES
            .iter()
            .map(Path::new)
            .chain(targets.iter().copied())
            .map(|path| path.strip_prefix("/").unwrap_or(path).to_owned())
            .collect();
        let empty = scratch.empty();
        if lower != [empty] {
            // An overlay that cannot be written to needs two layers.
            let empty = (lower.len() == 1).then(|| empty.to_owned());
            let tree = overlay(lower.iter().cloned().chain(empty).collect(), scratch)?.mount()?;
            let tree = tree.merged();
            for target in &mut targets {
                *target = straight(tree, target);
            }
            let mut points = Self::of(&targets);
            points
                .missing
                .retain(|path| inside(tree, path, OFlags::PATH | OFlags::NOFOLLOW).is_err());
            for (path, nature) in &mut points.parents {
                *nature =
                    inside(tree, path, DIRECTORY).ok().map(|fd| Nature::of(&fd)).transpose()?;
            }
            return Ok(points);
        }
        Ok(Self::of(&targets))
    }

    /// The targets and every directory on the way to them, as if none was there.
    fn of(targets: &[PathBuf]) -> Self {
        let ways = || targets.iter().flat_map(|path| path.ancestors());
        let is_some = |path: &&Path| !path.as_os_str().is_empty();
        let missing = ways().filter(is_some).map(Path::to_owned).collect();
        let parents = ways().filter(is_some).filter(|path| !targets.iter().any(|t| t == path));
        Self { missing, parents: parents.map(|path| (path.to_owned(), None)).collect() }
    }

    /// Takes them away again: empty files and directories, and then the directory that they are in, if that is all that it
    /// was made or copied for.
    pub(crate) fn remove(&self, upper: &Path) -> Result<(), Foreign> {
        let upper = rustix::fs::openat(CWD, upper, ROOT, Mode::empty())?;
        // What is deeper comes first.
        for path in self.missing.iter().rev() {
            let Some((parent, name)) = path.parent().zip(path.file_name()) else { continue };
            let Ok(parent) = inside(upper.as_fd(), parent, DIRECTORY) else { continue };
            remove_empty(parent.as_fd(), Path::new(name))?;
        }
        for (path, before) in self.parents.iter().rev() {
            // It was there because of what was missing in it.
            let is_ours = self.missing.iter().any(|missing| missing.starts_with(path));
            let Ok(now) = inside(upper.as_fd(), path, DIRECTORY) else { continue };
            if !is_ours {
                continue;
            }
            let now = Nature::of(&now)?;
            if before.as_ref().is_none_or(|before| *before == now) {
                remove_empty(upper.as_fd(), path)?;
            }
        }
        Ok(())
    }
}

/// A path without the links that are in it, as far as it is there.
fn straight(tree: BorrowedFd<'_>, path: &Path) -> PathBuf {
    let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    for parent in parents {
        let Ok(opened) = inside(tree, parent, OFlags::PATH | OFlags::DIRECTORY) else { continue };
        let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
        // A tree that is mounted nowhere begins at `/`.
        let real = std::fs::read_link(link).ok();
        let real = real.and_then(|real| real.strip_prefix("/").ok().map(Path::to_owned));
        if let (Some(real), Ok(rest)) = (real, path.strip_prefix(parent)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// Opens below a directory; no link leads out of it.
fn inside(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Removes what is empty; what a program wrote there stays.
fn remove_empty(parent: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<()> {
    let Ok(stat) = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(());
    };
    let removed = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR),
        FileType::RegularFile if stat.st_size == 0 => {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())
        }
        _ => Ok(()),
    };
    match removed {
        // In a directory of another of the ids at hand it stays, empty.
        Err(Errno::NOTEMPTY | Errno::NOENT | Errno::ACCESS) => Ok(()),
        removed => removed,
    }
}

/// Mode, owner and attributes of a directory; not times, which the making of mount points changed.
#[derive(Debug, PartialEq, Eq)]
struct Nature {
    mode: u32,
    owner: (u32, u32),
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Nature {
    fn of(fd: &OwnedFd) -> rustix::io::Result<Self> {
        let stat = rustix::fs::fstat(fd)?;
        let attributes = attributes(fd)?;
        Ok(Self { mode: stat.st_mode, owner: (stat.st_uid, stat.st_gid), attributes })
    }
}

/// Names and values of a directory's attributes, the overlay's own left out.
fn attributes(fd: &OwnedFd) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut list = vec![0; ATTRIBUTES_MAX];
    let len = match rustix::fs::flistxattr(fd, list.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let mut attributes = BTreeMap::new();
    let names = list[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    for name in names {
        if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let mut value = vec![0; ATTRIBUTES_MAX];
        let len = rustix::fs::fgetxattr(fd, name, value.as_mut_slice())?;
        value.truncate(len);
        attributes.insert(name.to_vec(), value);
    }
    Ok(attributes)
}
