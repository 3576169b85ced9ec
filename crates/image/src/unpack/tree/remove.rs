//! Removing a file, or a directory with everything in it.
//!
//! Kernel objects: entries of directories. Invariant: goes down by descriptor and never through a
//! link; memory and descriptors do not grow with the depth or the width of the tree.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::directories::DIRECTORY;
use crate::unpack::trouble::Trouble;

/// Removes `name`, whatever it is, if it exists.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Trouble> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => remove_directory(parent, name),
        Err(errno) => Err(Trouble::System("unlinkat", errno)),
    }
}

/// Removes the directory `name`: the deepest first, always found anew from the top.
fn remove_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Trouble> {
    let top = open_for_removal(parent, name, ResolveFlags::BENEATH)?;
    // The path from `top` to the directory at hand.
    let mut path: Vec<u8> = Vec::new();
    loop {
        let here = if path.is_empty() {
            fs::openat(&top, ".", DIRECTORY, Mode::empty()).map_err(Trouble::of("openat"))?
        } else {
            open_for_removal(top.as_fd(), &path, ResolveFlags::BENEATH)?
        };
        if let Some(subdirectory) = empty(here)? {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&subdirectory);
            continue;
        }
        if path.is_empty() {
            break;
        }
        fs::unlinkat(&top, path.as_slice(), AtFlags::REMOVEDIR).map_err(Trouble::of("unlinkat"))?;
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        path.truncate(slash);
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(Trouble::of("unlinkat"))
}

/// Opens a directory that is to be removed; without privilege it may have to be made accessible.
fn open_for_removal(
    at: BorrowedFd<'_>,
    path: &[u8],
    resolve: ResolveFlags,
) -> Result<OwnedFd, Trouble> {
    let resolve = resolve | ResolveFlags::NO_SYMLINKS;
    match fs::openat2(at, path, DIRECTORY, Mode::empty(), resolve) {
        Err(Errno::ACCESS) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = fs::openat2(at, path, flags, Mode::empty(), resolve);
            let fd = fd.map_err(Trouble::of("openat2"))?;
            super::metadata::chmod_path(fd.as_fd(), Mode::RWXU)?;
            fs::openat2(at, path, DIRECTORY, Mode::empty(), resolve)
        }
        other => other,
    }
    .map_err(Trouble::of("openat2"))
}

/// Removes all that is no directory, until there is a directory that has to be emptied first.
fn empty(directory: OwnedFd) -> Result<Option<Vec<u8>>, Trouble> {
    let mut entries = Dir::read_from(&directory).map_err(Trouble::of("getdents64"))?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(Trouble::of("getdents64"))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlink(directory.as_fd(), name) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_bytes().to_vec())),
            Err(errno) => return Err(Trouble::System("unlinkat", errno)),
        }
    }
    Ok(None)
}

/// Removes a file or an empty directory.
fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let first = match fs::unlinkat(directory, name, AtFlags::empty()) {
        // Without privilege: the directory was not writable.
        Err(Errno::ACCESS) => {
            fs::fchmod(directory, Mode::RWXU)?;
            fs::unlinkat(directory, name, AtFlags::empty())
        }
        other => other,
    };
    match first {
        Err(Errno::ISDIR) => fs::unlinkat(directory, name, AtFlags::REMOVEDIR),
        other => other,
    }
}
