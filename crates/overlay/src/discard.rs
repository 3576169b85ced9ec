//! Removes everything in a directory that somebody hostile has filled.
//!
//! Kernel objects: names below one directory. Invariant: three descriptors at most, whatever the depth: a directory in a
//! directory is first moved up to the top; a name is only ever removed below a descriptor, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags, fchmod, fchown, fstat, openat2,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

use crate::error::{ErrorKind, Problem};

/// Takes a directory over that this process may not change.
pub(crate) type Take<'a> = dyn Fn(BorrowedFd<'_>, &OsStr) -> Result<OwnedFd, Errno> + 'a;

/// How often a name may come back before somebody else is at work.
const PASSES: usize = 8;

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes everything in a directory.
pub(crate) fn empty(root: BorrowedFd<'_>, take: &Take<'_>) -> Result<(), Problem> {
    let mut removal = Removal { root, take, moved: 0 };
    let mut idle = 0;
    loop {
        let names = names(root).map_err(|errno| failed(OsStr::new("."), errno))?;
        if names.is_empty() {
            return Ok(());
        }
        let moved = removal.moved;
        for name in &names {
            removal.remove(name).map_err(|errno| failed(name, errno))?;
        }
        // What is moved up is work for the next pass; without any, only somebody else makes more.
        idle = if removal.moved == moved { idle + 1 } else { 0 };
        if idle > PASSES {
            return Err(failed(&names[0], Errno::BUSY));
        }
    }
}

/// Gives a directory mode and owner of another one.
pub(crate) fn make_like(dir: BorrowedFd<'_>, like: &OwnedFd) -> Result<(), Errno> {
    let (is, wanted) = (fstat(dir)?, fstat(like)?);
    if geteuid().is_root() && (is.st_uid, is.st_gid) != (wanted.st_uid, wanted.st_gid) {
        let owner = (Uid::from_raw(wanted.st_uid), Gid::from_raw(wanted.st_gid));
        fchown(dir, Some(owner.0), Some(owner.1))?;
    }
    if is.st_mode != wanted.st_mode {
        fchmod(dir, Mode::from_raw_mode(wanted.st_mode & 0o7777))?;
    }
    Ok(())
}

fn failed(name: &OsStr, errno: Errno) -> Problem {
    Problem::new(ErrorKind::NotRemoved, Path::new("/").join(name)).with(errno)
}

struct Removal<'a> {
    root: BorrowedFd<'a>,
    take: &'a Take<'a>,
    /// How many directories have been moved up.
    moved: usize,
}

impl Removal<'_> {
    /// Removes one name of the root; directories in it are moved up and stay for now.
    fn remove(&mut self, name: &OsStr) -> Result<(), Errno> {
        match unlinkat(self.root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        if matches!(unlinkat(self.root, name, AtFlags::REMOVEDIR), Ok(()) | Err(Errno::NOENT)) {
            return Ok(());
        }
        let dir = self.open(self.root, name)?;
        for inner in names(dir.as_fd())? {
            self.remove_inside(dir.as_fd(), &inner)?;
        }
        match unlinkat(self.root, name, AtFlags::REMOVEDIR) {
            // Filled again meanwhile: the next pass has it.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn remove_inside(&mut self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        match unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        self.move_up(dir, name)
    }

    /// Moves a directory to the root, under a name that is free.
    fn move_up(&mut self, dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        loop {
            self.moved += 1;
            let free = format!(".discarded-{}", self.moved);
            match renameat_with(dir, name, self.root, &free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                // Its own mode or owner is in the way: a directory that moves is written to.
                Err(Errno::ACCESS | Errno::PERM) => {
                    drop(self.own(dir, name)?);
                    return renameat_with(dir, name, self.root, &free, RenameFlags::NOREPLACE);
                }
                Err(Errno::NOENT) => return Ok(()),
                moved => return moved,
            }
        }
    }

    /// Opens a directory that can be written to.
    fn open(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
        let opened = match openat2(parent, name, OPEN, Mode::empty(), HERE) {
            Ok(dir) => dir,
            Err(Errno::ACCESS | Errno::PERM) => return self.own(parent, name),
            Err(errno) => return Err(errno),
        };
        let stat = fstat(&opened)?;
        let user = geteuid();
        if user.is_root() {
            return Ok(opened);
        }
        if stat.st_uid != user.as_raw() {
            return (self.take)(parent, name);
        }
        if stat.st_mode & 0o700 != 0o700 {
            fchmod(&opened, Mode::RWXU)?;
        }
        Ok(opened)
    }

    /// Makes a directory this user's, and opens it.
    fn own(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
        (self.take)(parent, name)
    }
}

/// How a name is looked up: it is one name, and no mount is crossed.
const HERE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The names in a directory.
fn names(dir: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    Ok(names)
}
