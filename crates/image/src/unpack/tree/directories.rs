//! The directories that are being written to, open.
//!
//! Kernel objects: descriptors of directories. Invariant: a directory is reached from the root's
//! descriptor by openat2(2) with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, so that no link in the
//! tree is ever followed. Its permissions and times are set when it is closed, because everything
//! that is made in it changes its times.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::metadata::chmod_path;
use super::owning::Owning;
use super::taking::Taking;
use crate::ids::MappedIds;
use crate::ids::hand_over::Tight;
use crate::unpack::name::split;
use crate::unpack::trouble::Trouble;

/// Directories open at once.
const OPEN_MAX: usize = 32;

/// What a directory gets when it is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Final {
    pub(crate) mode: Mode,
    pub(crate) atime: Timespec,
    pub(crate) mtime: Timespec,
}

struct Open {
    fd: OwnedFd,
    last: Final,
    used: u64,
}

/// The open directories of one tree.
pub(crate) struct Directories<'a> {
    root: BorrowedFd<'a>,
    owning: Owning,
    tight: Tight,
    /// For a tree whose files belong to the ids of a user namespace.
    taking: Option<Taking<'a>>,
    open: HashMap<Vec<u8>, Open>,
    clock: u64,
}

/// For a directory of which only the names below it matter.
pub(crate) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl<'a> Directories<'a> {
    pub(crate) fn new(
        root: BorrowedFd<'a>,
        (owning, ids): (Owning, Option<&'a MappedIds>),
    ) -> Self {
        let taking = ids.filter(|_| owning == Owning::Later).map(|ids| Taking::new(ids, root));
        Self { root, owning, tight: Tight::default(), taking, open: HashMap::new(), clock: 0 }
    }

    /// The directory `path`, which has to exist: ENOENT where it does not, ENOTDIR or ELOOP where
    /// it, or a part of its path, is something else.
    pub(crate) fn get(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Trouble> {
        if !self.open.contains_key(path) {
            let (fd, last) = self.open(path)?;
            self.insert(path.to_vec(), fd, last)?;
        }
        self.clock += 1;
        let found = self.open.get_mut(path).ok_or(Trouble::System("openat2", Errno::NOENT))?;
        found.used = self.clock;
        Ok(found.fd.as_fd())
    }

    /// Opens a directory; what it is now is what it gets again.
    fn open(&mut self, path: &[u8]) -> Result<(OwnedFd, Final), Trouble> {
        let opened = match (open_beneath(self.root, path, DIRECTORY), self.owning) {
            (Err(Errno::ACCESS), Owning::Single) => {
                let flags = DIRECTORY | OFlags::PATH;
                let fd = open_beneath(self.root, path, flags).map_err(Trouble::of("openat2"))?;
                let stat = fs::fstat(&fd).map_err(Trouble::of("fstat"))?;
                chmod_path(fd.as_fd(), Mode::RWXU)?;
                open_beneath(self.root, path, DIRECTORY).map(|fd| (fd, Final::of(&stat)))
            }
            (Err(Errno::ACCESS), Owning::Later) => return self.take(path),
            (Ok(fd), Owning::Later)
                if Taking::is_foreign(&fs::fstat(&fd).map_err(Trouble::of("fstat"))?) =>
            {
                return self.take(path);
            }
            (opened, _) => opened.and_then(|fd| {
                let stat = fs::fstat(&fd)?;
                let last = Final::of(&stat);
                let mode = self.tight.of(stat.st_ino).unwrap_or(last.mode);
                Ok((fd, Final { mode, ..last }))
            }),
        };
        let (fd, last) = opened.map_err(Trouble::of("openat2"))?;
        if self.owning != Owning::Real && !last.mode.contains(Mode::RWXU) {
            fs::fchmod(&fd, last.mode | Mode::RWXU).map_err(Trouble::of("fchmod"))?;
        }
        Ok((fd, last))
    }

    /// Opens a directory that another owns, or that lets nobody in: it is the caller's until the end.
    fn take(&mut self, path: &[u8]) -> Result<(OwnedFd, Final), Trouble> {
        let stat = if path.is_empty() {
            fs::fstat(self.root).map_err(Trouble::of("fstat"))?
        } else {
            // What leads there may be another's, too.
            self.get(split(path).0)?;
            let named = open_beneath(self.root, path, DIRECTORY | OFlags::PATH);
            fs::fstat(named.map_err(Trouble::of("openat2"))?).map_err(Trouble::of("fstat"))?
        };
        self.take_named(path, &stat)?;
        let fd = open_beneath(self.root, path, DIRECTORY).map_err(Trouble::of("openat2"))?;
        let inode = fs::fstat(&fd).map_err(Trouble::of("fstat"))?.st_ino;
        self.note(inode, &stat)?;
        let last = Final::of(&stat);
        let mode = self.tight.of(inode).unwrap_or(last.mode);
        Ok((fd, Final { mode, ..last }))
    }

    /// Makes a file the caller's; [`note`](Self::note) has to follow.
    fn take_named(&self, path: &[u8], stat: &Stat) -> Result<(), Trouble> {
        self.taking.as_ref().map_or(Ok(()), |taking| taking.take(path, stat))
    }

    fn note(&mut self, inode: u64, was: &Stat) -> Result<(), Trouble> {
        self.taking.as_mut().map_or(Ok(()), |taking| taking.note(inode, was))
    }

    /// Makes a file that is no directory the caller's until the end, if it is another's: nobody may make links to those
    /// (proc(5), `protected_hardlinks`).
    pub(crate) fn take_file(&mut self, path: &[u8], stat: &Stat) -> Result<(), Trouble> {
        if !self.takes() || !Taking::is_foreign(stat) {
            return Ok(());
        }
        self.take_named(path, stat)?;
        let (parent, last) = split(path);
        let now = fs::statat(self.get(parent)?, last, AtFlags::SYMLINK_NOFOLLOW);
        self.note(now.map_err(Trouble::of("fstatat"))?.st_ino, stat)
    }

    /// Whether what belongs to others can be taken.
    pub(crate) fn takes(&self) -> bool {
        self.taking.is_some()
    }

    /// An inode whose owner the layer says, or that is gone: it is not given back.
    pub(crate) fn described(&mut self, inode: u64) {
        if let Some(taking) = &mut self.taking {
            taking.forget(inode);
        }
    }

    /// What was taken.
    pub(crate) fn taken(self) -> Option<Taking<'a>> {
        self.taking
    }

    /// Adds a directory that was just made.
    pub(crate) fn insert(
        &mut self,
        path: Vec<u8>,
        fd: OwnedFd,
        last: Final,
    ) -> Result<(), Trouble> {
        while self.open.len() >= OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else {
                break;
            };
            if let Some(open) = self.open.remove(&path) {
                open.close(self.owning, &mut self.tight)?;
            }
        }
        self.clock += 1;
        self.open.insert(path, Open { fd, last, used: self.clock });
        Ok(())
    }

    /// Sets what the directory `path`, which was returned by the last [`get`](Self::get), gets when
    /// it is closed.
    pub(crate) fn set_final(&mut self, path: &[u8], last: Final) {
        if let Some(open) = self.open.get_mut(path) {
            open.last = last;
        }
    }

    /// Forgets `path` and everything below: it is about to be removed.
    pub(crate) fn forget(&mut self, path: &[u8]) {
        self.open.retain(|open, _| {
            let below = open.strip_prefix(path);
            !below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        });
    }

    /// Closes all; says what directories get in the end that they could not have now.
    pub(crate) fn close(&mut self) -> Result<Tight, Trouble> {
        let mut tight = std::mem::take(&mut self.tight);
        self.open.drain().try_for_each(|(_, open)| open.close(self.owning, &mut tight))?;
        Ok(tight)
    }
}

impl Open {
    fn close(self, owning: Owning, tight: &mut Tight) -> Result<(), Trouble> {
        let mode = match owning {
            Owning::Later => {
                let stat = fs::fstat(&self.fd).map_err(Trouble::of("fstat"))?;
                tight.note(stat.st_ino, self.last.mode)
            }
            Owning::Real | Owning::Single => self.last.mode,
        };
        fs::fchmod(&self.fd, mode).map_err(Trouble::of("fchmod"))?;
        let times = Timestamps { last_access: self.last.atime, last_modification: self.last.mtime };
        fs::futimens(&self.fd, &times).map_err(Trouble::of("futimens"))
    }
}

impl Final {
    /// As it is.
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            mode: Mode::from_raw_mode(stat.st_mode),
            atime: timespec(stat.st_atime, stat.st_atime_nsec),
            mtime: timespec(stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

fn timespec(sec: impl Into<i64>, nsec: impl TryInto<i64>) -> Timespec {
    Timespec { tv_sec: sec.into(), tv_nsec: nsec.try_into().unwrap_or(0) }
}

/// Opens `path` below `root`; the root itself where it is empty.
pub(crate) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    fs::openat2(root, path, flags, Mode::empty(), inside)
}
