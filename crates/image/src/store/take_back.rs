//! Removing trees in which files belong to other ids.
//!
//! Kernel objects: directories below one. Who owns a directory may remove every file in it, whoever owns that, so that only
//! directories have to become the caller's. Invariant: no link is followed; a process with other ids gets the paths of
//! some thousand directories at once, and memory grows with these and with the names on one path only.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ampoule_init::steps::file;
use ampoule_init::{Draft, Fd, Slot, Step};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Store, directory};
use crate::ids::{MappedIds, process};

/// Directories that one process is told of.
const BATCH: usize = 4096;

/// The kernel takes one byte more, the zero at the end included (path_resolution(7)).
const PATH_MAX: usize = 4095;

impl Store {
    /// Removes a file or a whole tree below `parent`, whichever of the store's ids owns it; fine if it does not exist.
    pub(super) fn remove_tree(&self, parent: impl AsFd, name: &str) -> rustix::io::Result<()> {
        match (directory::remove(&parent, name), self.ids()) {
            (Err(Errno::ACCESS | Errno::PERM), Some(ids)) => {
                take_back(ids, parent.as_fd(), name)?;
                directory::remove(parent, name)
            }
            (removed, _) => removed,
        }
    }
}

/// Makes every directory of a tree the caller's, level by level: those in a foreign one are seen when it is taken.
fn take_back(ids: &MappedIds, parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    loop {
        let foreign = foreign(parent, &name)?;
        if foreign.is_empty() {
            return Ok(());
        }
        let mut draft = Draft::default();
        let root = draft.inherit(rustix::io::fcntl_dupfd_cloexec(parent, 3)?);
        let slots = [draft.slots.take(), draft.slots.take()];
        let mut steps = Vec::new();
        for path in &foreign {
            steps.extend(take(root, path, slots)?);
        }
        process::run(ids, draft, steps).map_err(|failed| failed.errno)?;
    }
}

/// A directory with the names in it that have not been looked at.
struct Level {
    name: CString,
    names: std::vec::IntoIter<CString>,
}

/// Paths of directories that are not the caller's, the outermost ones, in any order.
fn foreign(parent: BorrowedFd<'_>, top: &CStr) -> rustix::io::Result<Vec<Vec<CString>>> {
    let own = geteuid().as_raw();
    let mut found = Vec::new();
    if !is_own(parent, top, own)? {
        return Ok(vec![vec![top.to_owned()]]);
    }
    let mut current = directory::enter(parent, top)?;
    let mut levels = vec![Level { name: top.to_owned(), names: directories(current.as_fd())? }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.next() else {
            levels.pop();
            current = up(current.as_fd())?;
            continue;
        };
        if is_own(current.as_fd(), &name, own)? {
            current = directory::enter(current.as_fd(), &name)?;
            levels.push(Level { name, names: directories(current.as_fd())? });
            continue;
        }
        let above = levels.iter().map(|level| level.name.clone());
        found.push(above.chain([name]).collect());
        if found.len() == BATCH {
            break;
        }
    }
    Ok(found)
}

fn up(current: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    directory::open_at(current, c"..")
}

fn is_own(parent: BorrowedFd<'_>, name: &CStr, own: u32) -> rustix::io::Result<bool> {
    Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid == own)
}

/// The directories in a directory.
fn directories(current: BorrowedFd<'_>) -> rustix::io::Result<std::vec::IntoIter<CString>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(current)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say what an entry is.
            FileType::Unknown => {
                let stat = rustix::fs::statat(current, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        if kind == FileType::Directory {
            found.push(name.to_owned());
        }
    }
    Ok(found.into_iter())
}

/// The steps that make one directory the caller's, who is user 0 there.
fn take(root: Fd, path: &[CString], [a, b]: [Slot; 2]) -> rustix::io::Result<Vec<Step>> {
    let resolve = (ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS).bits();
    let flags = |access: OFlags| u64::from((access | OFlags::DIRECTORY | OFlags::NOFOLLOW).bits());
    let mut parts = pieces(path)?;
    let last = parts.pop().ok_or(Errno::INVAL)?;
    let (mut steps, mut from, mut free) = (Vec::new(), None, (a, b));
    for part in parts {
        let (next, other) = free;
        steps.push(file::open(
            from.map_or(root, Fd::from),
            &part,
            flags(OFlags::PATH),
            resolve,
            next,
        ));
        steps.extend(from.map(file::close));
        (from, free) = (Some(next), (other, next));
    }
    let opened = free.0;
    let start = from.map_or(root, Fd::from);
    steps.push(file::open(start, &last, flags(OFlags::RDONLY), resolve, opened));
    steps.push(file::fchown(opened.into(), 0, 0));
    steps.push(file::fchmod(opened.into(), Mode::RWXU.as_raw_mode()));
    steps.push(file::close(opened));
    steps.extend(from.map(file::close));
    Ok(steps)
}

/// A path in pieces that the kernel takes at once.
fn pieces(names: &[CString]) -> rustix::io::Result<Vec<CString>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for name in names.iter().map(|name| name.to_bytes()) {
        match pieces.last_mut() {
            Some(last) if last.len() + 1 + name.len() <= PATH_MAX => {
                last.push(b'/');
                last.extend_from_slice(name);
            }
            _ => pieces.push(name.to_vec()),
        }
    }
    let texts = pieces.into_iter().map(CString::new);
    texts.collect::<Result<_, _>>().map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_come_in_pieces() {
        let name = CString::new(vec![b'n'; 255]).unwrap();
        let all = pieces(&vec![name.clone(); 33]).unwrap();
        let lengths: Vec<usize> = all.iter().map(|piece| piece.to_bytes().len()).collect();
        assert_eq!(lengths, [4095, 4095, 255]);
        assert_eq!(pieces(&[c"a".into(), c"b".into()]).unwrap(), [c"a/b".to_owned()]);
    }
}
