//! Directories by descriptor: opening, listing, removing whole trees, writing through to the disk.
//!
//! Kernel objects: directories. Invariant: no link is followed, and the number of descriptors and
//! the memory in use do not grow with the size or the depth of a tree.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::error::{Error, Result};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Opens a directory by its whole path.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|errno| Error::at("open", path, errno))
}

/// Opens a directory below another.
pub(super) fn open_at(parent: impl AsFd, name: impl Arg) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())
}

/// The names in a directory below `parent`, in no order; none if it does not exist.
pub(super) fn names(parent: impl AsFd, directory: &str) -> rustix::io::Result<Vec<String>> {
    let opened = match open_at(parent, directory) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut names = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        // Names that are not ours need not be text.
        let name = entry.file_name().to_string_lossy();
        if !matches!(&*name, "." | "..") {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

/// Writes a directory's entries to the disk.
pub(super) fn sync(parent: impl AsFd, directory: &str) -> rustix::io::Result<()> {
    rustix::fs::fsync(open_at(parent, directory)?)
}

/// Removes a file or a whole tree below `parent`; fine if it does not exist.
pub(super) fn remove(parent: impl AsFd, name: &str) -> rustix::io::Result<()> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    let parent = parent.as_fd();
    match rustix::fs::unlinkat(parent, &name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    match remove_tree(parent, name) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Goes down into the first directory that it finds, and up again when one is empty.
fn remove_tree(parent: BorrowedFd<'_>, name: CString) -> rustix::io::Result<()> {
    let mut current = enter(parent, &name)?;
    let mut path = vec![name];
    while let Some(own) = path.last() {
        if let Some(below) = empty_or_directory(current.as_fd())? {
            current = enter(current.as_fd(), &below)?;
            path.push(below);
            continue;
        }
        if path.len() == 1 {
            return rustix::fs::unlinkat(parent, own, AtFlags::REMOVEDIR);
        }
        let up = rustix::fs::openat(&current, c"..", DIRECTORY, Mode::empty())?;
        rustix::fs::unlinkat(&up, own, AtFlags::REMOVEDIR)?;
        current = up;
        path.pop();
    }
    Ok(())
}

/// Opens a directory to empty it; one that its owner may not enter is opened up first.
pub(super) fn enter(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let open = || rustix::fs::openat(parent, name, DIRECTORY, Mode::empty());
    let opened = match open() {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        opened => opened?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&opened, Mode::RWXU)?;
    }
    Ok(opened)
}

/// Removes files until there is none left, or a directory comes.
fn empty_or_directory(current: BorrowedFd<'_>) -> rustix::io::Result<Option<CString>> {
    for entry in Dir::read_from(current)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            return Ok(Some(name.to_owned()));
        }
        match rustix::fs::unlinkat(current, name, AtFlags::empty()) {
            // Some file systems do not say what an entry is.
            Err(Errno::ISDIR) => return Ok(Some(name.to_owned())),
            result => result?,
        }
    }
    Ok(None)
}
