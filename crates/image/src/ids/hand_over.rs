//! Giving the files of a tree to the owners that they should have.
//!
//! Kernel objects: the inodes below one directory, all of them the caller's until then. Invariant: a directory comes after
//! everything in it, so that the caller, who looks for the files, may enter all that is left; a process in the namespace
//! opens each by its path, following no link, so that there is one launch for some thousand files.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use ampoule_init::steps::file;
use ampoule_init::{Draft, Fd, Slot, Step};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{MappedIds, process};
use crate::error::Error;
use crate::unpack::format::member::{Kind, Member};
use crate::unpack::tree::directories::{DIRECTORY, open_beneath};
use crate::unpack::trouble::Trouble;

/// Files that one process is told of.
const BATCH: usize = 4096;

/// Which programs may do what only root may otherwise (capabilities(7)).
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// Owners and attributes that files get in the end, by inode.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owners: HashMap<u64, Owner>,
    capabilities: HashMap<u64, Vec<u8>>,
}

/// Permissions of directories that would keep the caller out, by inode: they get them in the end.
#[derive(Debug, Default)]
pub(crate) struct Tight(HashMap<u64, Mode>);

/// Everything that files get in the end.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) owners: Owners,
    pub(crate) tight: Tight,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
    /// Of a file with set-id bits, which a new owner clears.
    mode: Option<Mode>,
}

/// A file, and where it was found.
struct Found {
    path: Vec<u8>,
    kind: FileType,
    owner: Option<Owner>,
    capability: Option<Vec<u8>>,
    tight: Option<Mode>,
}

impl Owners {
    /// Notes what a member becomes, whose inode this is now, whatever it was before.
    pub(crate) fn note(&mut self, inode: u64, member: &Member, capability: Option<&[u8]>) {
        let is_root = (member.uid, member.gid) == (0, 0);
        let set_id = member.mode & 0o6000 != 0 && !matches!(member.kind, Kind::Directory);
        let mode = set_id.then(|| Mode::from_raw_mode(member.mode));
        let owner = Owner { uid: member.uid, gid: member.gid, mode };
        match is_root {
            true => self.owners.remove(&inode),
            false => self.owners.insert(inode, owner),
        };
        match capability {
            None => self.capabilities.remove(&inode),
            Some(value) => self.capabilities.insert(inode, value.to_vec()),
        };
    }
}

impl Owners {
    /// What a file was before it became the caller's, unless something else was noted.
    pub(crate) fn keep(&mut self, inode: u64, (uid, gid): (u32, u32), mode: Mode) {
        // A new owner clears these.
        let mode = mode.intersects(Mode::SUID | Mode::SGID).then_some(mode);
        self.owners.entry(inode).or_insert(Owner { uid, gid, mode });
    }
}

impl Tight {
    /// What a directory may have now; what it gets in the end is noted.
    pub(crate) fn note(&mut self, inode: u64, mode: Mode) -> Mode {
        match mode.contains(Mode::RWXU) {
            true => self.0.remove(&inode),
            false => self.0.insert(inode, mode),
        };
        mode | Mode::RWXU
    }

    /// What a directory gets in the end, if that is not what it has.
    pub(crate) fn of(&self, inode: u64) -> Option<Mode> {
        self.0.get(&inode).copied()
    }
}

impl Later {
    fn is_empty(&self) -> bool {
        let Owners { owners, capabilities } = &self.owners;
        owners.is_empty() && capabilities.is_empty() && self.tight.0.is_empty()
    }

    /// What one file gets; the next name of the same file gets nothing more.
    fn take(&mut self, path: &[u8], stat: &Stat) -> Option<Found> {
        let (inode, kind) = (stat.st_ino, FileType::from_raw_mode(stat.st_mode));
        let capability = self.owners.capabilities.remove(&inode);
        let capability = capability.filter(|_| kind == FileType::RegularFile);
        let owner = self.owners.owners.remove(&inode);
        let tight = self.tight.0.remove(&inode).filter(|_| kind == FileType::Directory);
        let nothing = owner.is_none() && capability.is_none() && tight.is_none();
        (!nothing).then(|| Found { path: path.to_vec(), kind, owner, capability, tight })
    }

    /// Gives everything below `root`, and at last itself, what was noted.
    /// `offset` is where the layer ends, for errors.
    pub(crate) fn hand_over(
        mut self,
        ids: &MappedIds,
        (root, offset): (BorrowedFd<'_>, u64),
    ) -> Result<(), Error> {
        let mut walk = Walk { ids, root, later: &mut self, batch: Vec::new() };
        walk.run().map_err(|(path, trouble)| Error::layer(Some(&path), offset, trouble))
    }
}

struct Walk<'a> {
    ids: &'a MappedIds,
    root: BorrowedFd<'a>,
    later: &'a mut Later,
    batch: Vec<Found>,
}

/// A directory and the names in it that have not been looked at.
struct Level {
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}

type Located = (Vec<u8>, Trouble);

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Located> {
        let mut levels = vec![self.level(Vec::new())?];
        while let Some(level) = levels.last_mut() {
            // The rest is as it should be.
            if self.later.is_empty() {
                break;
            }
            let Some(name) = level.names.next() else {
                let path = std::mem::take(&mut level.path);
                levels.pop();
                self.at(&path)?;
                continue;
            };
            let separator: &[u8] = if level.path.is_empty() { b"" } else { b"/" };
            let path = [level.path.as_slice(), separator, &name].concat();
            let level = match self.stat(&path) {
                Ok((_, FileType::Directory)) => self.level(path.clone()).map(Some),
                other => other.map(|_| None),
            };
            match level {
                Ok(Some(level)) => levels.push(level),
                Ok(None) => self.at(&path)?,
                // What the caller may not enter was not touched, and nothing in it either.
                Err((_, Trouble::System(_, Errno::ACCESS))) => {}
                Err(located) => return Err(located),
            }
        }
        self.flush()
    }

    fn level(&self, path: Vec<u8>) -> Result<Level, Located> {
        match open_beneath(self.root, &path, DIRECTORY).and_then(|dir| names(dir.as_fd())) {
            Ok(names) => Ok(Level { path, names: names.into_iter() }),
            Err(errno) => Err((path, Trouble::System("openat2", errno))),
        }
    }

    fn stat(&self, path: &[u8]) -> Result<(Stat, FileType), Located> {
        let found = match path {
            b"" => fs::fstat(self.root),
            path => fs::statat(self.root, path, AtFlags::SYMLINK_NOFOLLOW),
        };
        let stat = found.map_err(|errno| (path.to_vec(), Trouble::System("fstatat", errno)))?;
        Ok((stat, FileType::from_raw_mode(stat.st_mode)))
    }

    /// One file; a directory after what is in it.
    fn at(&mut self, path: &[u8]) -> Result<(), Located> {
        let (stat, _) = self.stat(path)?;
        self.batch.extend(self.later.take(path, &stat));
        if self.batch.len() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Has a process do what was found.
    fn flush(&mut self) -> Result<(), Located> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        run(self.ids, self.root, &batch)
    }
}

/// One process gives these files, each found from `root`, to their owners.
fn run(ids: &MappedIds, root: BorrowedFd<'_>, batch: &[Found]) -> Result<(), Located> {
    let mut draft = Draft::default();
    let root = root.try_clone_to_owned();
    let root = root.map_err(|error| (Vec::new(), Trouble::stream(&error)))?;
    let (root, opened) = (draft.inherit(root), draft.slots.take());
    // Which file the step of a position is about.
    let (mut steps, mut about) = (Vec::new(), Vec::new());
    for (index, found) in batch.iter().enumerate() {
        let new = found.steps(root, opened);
        let new = new.map_err(|trouble| (found.path.clone(), trouble))?;
        about.extend(std::iter::repeat_n(index, new.len()));
        steps.extend(new);
    }
    let run = process::run(ids, draft, steps);
    run.map(drop).map_err(|failed| {
        let file = failed.step.and_then(|step| batch.get(*about.get(step)?));
        let path = file.map_or_else(Vec::new, |found| found.path.clone());
        (path, Trouble::System(failed.operation, failed.errno))
    })
}

/// What one file of a tree becomes: owner and group as the namespace has them, and permissions, which a link has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) owner: (u32, u32),
    pub(crate) mode: Option<Mode>,
}

/// Gives files to their owners, by their paths from `root`; what failed is told with the path.
pub(crate) fn give(
    ids: &MappedIds,
    root: BorrowedFd<'_>,
    files: impl IntoIterator<Item = (Vec<u8>, Given)>,
) -> Result<(), (Vec<u8>, &'static str, Errno)> {
    let found = |(path, given): (Vec<u8>, Given)| {
        let (uid, gid) = given.owner;
        let kind = given.mode.map_or(FileType::Symlink, |_| FileType::RegularFile);
        let owner = Some(Owner { uid, gid, mode: given.mode });
        Found { path, kind, owner, capability: None, tight: None }
    };
    let found: Vec<Found> = files.into_iter().map(found).collect();
    found.chunks(BATCH).try_for_each(|batch| {
        run(ids, root, batch).map_err(|(path, trouble)| match trouble {
            Trouble::System(operation, errno) => (path, operation, errno),
            _ => (path, "openat2", Errno::IO),
        })
    })
}

impl Found {
    fn steps(&self, root: Fd, opened: Slot) -> Result<Vec<Step>, Trouble> {
        let path = if self.path.is_empty() { b".".as_slice() } else { &self.path };
        let path = CString::new(path).map_err(|_| Trouble::System("openat2", Errno::INVAL))?;
        let is_link = self.kind == FileType::Symlink;
        let access = if is_link { OFlags::PATH } else { OFlags::RDONLY | OFlags::NONBLOCK };
        let flags = u64::from((access | OFlags::NOFOLLOW).bits());
        let resolve = ResolveFlags::BENEATH;
        // A link may stand at the end, and nowhere else.
        let resolve = if is_link { resolve } else { resolve | ResolveFlags::NO_SYMLINKS };
        let mut steps = vec![file::open(root, &path, flags, resolve.bits(), opened)];
        if let Some(Owner { uid, gid, .. }) = self.owner {
            steps.push(match is_link {
                true => file::chown(opened.into(), c"", uid, gid),
                false => file::fchown(opened.into(), uid, gid),
            });
        }
        if let Some(mode) = self.tight.or(self.owner.and_then(|owner| owner.mode)) {
            steps.push(file::fchmod(opened.into(), mode.as_raw_mode()));
        }
        if let Some(value) = &self.capability {
            steps.push(file::fsetxattr(opened.into(), c"security.capability", value));
        }
        steps.push(file::close(opened));
        Ok(steps)
    }
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
