//! A part of a tree of layers: the directories that make it up, or the file that it is.
//!
//! Kernel objects: files of unpacked layers. Invariant: what an upper layer hides is not part of it.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::trouble::Trouble;
use crate::error::Error;
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
pub(super) fn part(layers: &[Layer], path: &Path) -> Result<Part, Trouble> {
    let mut directories = Vec::new();
    for layer in layers.iter().rev() {
        let (here, is_last) = look(layer.path(), path)?;
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
fn look(layer: &Path, path: &Path) -> Result<(Here, bool), Trouble> {
    let (mut here, mut is_last) = (layer.to_owned(), false);
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        here.push(part);
        let stat = match std::fs::symlink_metadata(&here) {
            Ok(stat) => stat,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Here::Nothing, is_last));
            }
            Err(error) => return Err(Error::io("lstat", &here, &error).into()),
        };
        if !stat.is_dir() {
            let is_hidden = is_whiteout(&stat) || parts.peek().is_some();
            return Ok((if is_hidden { Here::Hidden } else { Here::File(here) }, is_last));
        }
        is_last |= is_opaque(&here)?;
    }
    Ok((Here::Directory(here), is_last))
}

fn is_whiteout(stat: &Metadata) -> bool {
    stat.file_type().is_char_device() && stat.rdev() == 0
}

fn is_opaque(path: &Path) -> Result<bool, Trouble> {
    for name in OPAQUE {
        let mut value = [0; 1];
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(_) if value == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM | Errno::RANGE) => {}
            Err(errno) => return Err(Error::at("lgetxattr", path, errno).into()),
        }
    }
    Ok(false)
}
