//! What is in the way of an archive and belongs to others: an archive may be unpacked over a tree that has owners already.
//!
//! Kernel objects: directories and files below the root, and a process of [`crate::ids`] for each that is taken. Invariant:
//! what was taken is given back in the end, unless the archive says whose it is.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, Dir, FileType, Mode, Stat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::layer::{Layer, file_type};
use super::remove::remove;
use crate::ids::MappedIds;
use crate::ids::hand_over::{self, Given, Owners};
use crate::unpack::name::split;
use crate::unpack::trouble::Trouble;

/// Makes files of a tree the caller's.
#[derive(Debug)]
pub(crate) struct Taking<'a> {
    ids: &'a MappedIds,
    root: BorrowedFd<'a>,
    /// Owner and permissions that files had, by inode.
    before: HashMap<u64, ((u32, u32), Mode)>,
}

impl<'a> Taking<'a> {
    pub(crate) fn new(ids: &'a MappedIds, root: BorrowedFd<'a>) -> Self {
        Self { ids, root, before: HashMap::new() }
    }

    /// Whether a file is another's.
    pub(crate) fn is_foreign(stat: &Stat) -> bool {
        stat.st_uid != geteuid().as_raw() || stat.st_gid != getegid().as_raw()
    }

    /// Makes a file the caller's; a directory may be entered and written to afterwards.
    pub(crate) fn take(&self, path: &[u8], stat: &Stat) -> Result<(), Trouble> {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let mode = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Some(mode | Mode::RWXU),
            FileType::Symlink => None,
            _ => Some(mode),
        };
        let given = Given { owner: (0, 0), mode };
        hand_over::give(self.ids, self.root, [(path.to_vec(), given)])
            .map_err(|(_, operation, errno)| Trouble::System(operation, errno))
    }

    /// Notes what a file was that is now this inode.
    pub(crate) fn note(&mut self, inode: u64, was: &Stat) -> Result<(), Trouble> {
        let owner = self.ids.inside(was.st_uid, was.st_gid);
        let owner = owner.ok_or(Trouble::System("fchown", Errno::PERM))?;
        if owner != (0, 0) {
            let before = (owner, Mode::from_raw_mode(was.st_mode & 0o7777));
            self.before.entry(inode).or_insert(before);
        }
        Ok(())
    }

    /// An inode is not given back: the archive says whose it is, or it is gone.
    pub(crate) fn forget(&mut self, inode: u64) {
        self.before.remove(&inode);
    }

    /// Gives everything back when the rest gets its owners.
    pub(crate) fn give_back(self, owners: &mut Owners) {
        self.before.into_iter().for_each(|(inode, (owner, mode))| owners.keep(inode, owner, mode));
    }
}

impl Layer<'_> {
    /// Removes what a path of the tree names, with everything in it, if it exists; its parent does.
    pub(super) fn remove(&mut self, path: &[u8]) -> Result<(), Trouble> {
        self.directories.forget(path);
        let (parent, last) = split(path);
        match remove(self.directories.get(parent)?, last) {
            Err(Trouble::System(_, Errno::ACCESS | Errno::PERM)) if self.directories.takes() => {
                let taken = self.take_below(path)?;
                self.directories.forget(path);
                taken.into_iter().for_each(|inode| self.directories.described(inode));
                remove(self.directories.get(parent)?, last)
            }
            removed => removed,
        }
    }

    /// Takes a directory and all those in it; gives their inodes.
    fn take_below(&mut self, path: &[u8]) -> Result<Vec<u64>, Trouble> {
        let (mut left, mut taken) = (vec![path.to_vec()], Vec::new());
        while let Some(path) = left.pop() {
            let directory = self.directories.get(&path)?;
            taken.push(fs::fstat(directory).map_err(Trouble::of("fstat"))?.st_ino);
            let entries = Dir::read_from(directory).map_err(Trouble::of("getdents64"))?;
            for entry in entries {
                let entry = entry.map_err(Trouble::of("getdents64"))?;
                let name = entry.file_name().to_bytes();
                let is_self = matches!(name, b"." | b"..");
                if !is_self && file_type(directory.as_fd(), name)? == FileType::Directory {
                    left.push([&path, b"/".as_slice(), name].concat());
                }
            }
        }
        Ok(taken)
    }
}
