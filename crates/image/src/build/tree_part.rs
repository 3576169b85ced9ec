//! A part of a tree of layers: the directories that make it up, or the file that it is.
//!
//! Kernel objects: files of unpacked layers. Invariant: what an upper layer hides is not part of it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::others;
use super::trouble::{Trouble, call};
use crate::ids::MappedIds;
use crate::store::{Hides, Layer};

/// Attributes that hide what is below a directory (kernel document filesystems/overlayfs).
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// A part of a tree.
#[derive(Debug)]
pub(super) enum Part {
    /// Directories, the uppermost first.
    Directories(Vec<PathBuf>),
    /// Anything else.
    File(PathBuf),
}

/// What one layer has at a path.
enum Here {
    Nothing,
    /// It hides what is below.
    Hidden,
    File(PathBuf),
    Directory(PathBuf),
}

/// What is at a path, in which no component is a link; the layers come from the lowest up.
pub(super) fn part(
    layers: &[Layer],
    path: &Path,
    ids: Option<&MappedIds>,
) -> Result<Part, Trouble> {
    let mut directories = Vec::new();
    for layer in layers.iter().rev() {
        let (here, is_last) = look(layer, path, ids)?;
        match here {
            Here::Nothing => {}
            Here::Hidden => break,
            Here::File(path) if directories.is_empty() => return Ok(Part::File(path)),
            Here::File(_) => break,
            Here::Directory(path) => directories.push(path),
        }
        if is_last || layer.hides() == Hides::Everything {
            break;
        }
    }
    Ok(Part::Directories(directories))
}

/// What a layer has, and whether layers below it count no more.
fn look(layer: &Layer, path: &Path, ids: Option<&MappedIds>) -> Result<(Here, bool), Trouble> {
    let (mut inner, mut is_last) = (PathBuf::new(), false);
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        inner.push(part);
        let here = layer.path().join(&inner);
        let stat = match open(layer, &inner, others::NAME, ids).and_then(rustix::fs::fstat) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok((Here::Nothing, is_last)),
            Err(errno) => return Err(call("openat2", &here)(errno)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory {
            let is_whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0;
            let is_hidden = is_whiteout || parts.peek().is_some();
            return Ok((if is_hidden { Here::Hidden } else { Here::File(here) }, is_last));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory = open(layer, &inner, flags, ids).map_err(call("openat2", &here))?;
        is_last |= is_opaque(&directory, &here)?;
    }
    Ok((Here::Directory(layer.path().join(inner)), is_last))
}

/// Opens in a layer; what the caller may not, user 0 of its ids may.
fn open(
    layer: &Layer,
    path: &Path,
    flags: OFlags,
    ids: Option<&MappedIds>,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match (rustix::fs::openat2(layer, path, flags, Mode::empty(), resolve), ids) {
        (Err(Errno::ACCESS), Some(ids)) => others::open(ids, layer.as_fd(), path, flags),
        (opened, _) => opened,
    }
}

fn is_opaque(directory: &OwnedFd, path: &Path) -> Result<bool, Trouble> {
    for name in OPAQUE {
        let mut value = [0; 1];
        match rustix::fs::fgetxattr(directory, name, &mut value) {
            Ok(_) if value == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::RANGE) => {}
            // Even by descriptor, its attributes are for those who may read it.
            Err(Errno::ACCESS) => {
                return Err(Trouble::Unsupported(
                    "a bind mount of what only another of the ids at hand may read",
                ));
            }
            Err(errno) => return Err(call("fgetxattr", path)(errno)),
        }
    }
    Ok(false)
}
