//! To whom belongs what COPY and ADD put into a tree.
//!
//! Kernel objects: files of the tree. Invariant: whatever is made is the caller's first; where the tree belongs to ids of a
//! user namespace, so is the directory that it is made in until everything is there, and [`Owning::settle`] gives each its
//! owner.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::trouble::{Trouble, call};
use super::{Build, others};
use crate::ids::MappedIds;
use crate::ids::hand_over::{self, Given};
use crate::unpack::Ownership;
use crate::unpack::tree::metadata::OVERRIDE;

/// How files get their owner.
pub(super) enum Owning<'a> {
    /// At once, by the caller.
    Real,
    /// In an attribute; the caller stays the owner.
    Single,
    /// In the end, by a process with other ids.
    Later(Later<'a>),
}

/// A tree with files of a user namespace's ids.
pub(super) struct Later<'a> {
    ids: &'a MappedIds,
    root: BorrowedFd<'a>,
    /// By path from the root.
    files: RefCell<BTreeMap<Vec<u8>, Given>>,
}

/// Owner and permissions; a link has no permissions.
type Wanted = ((u32, u32), Option<Mode>);

impl<'a> Owning<'a> {
    /// As the layers of a build are.
    pub(super) fn new(build: &'a Build<'_>, root: BorrowedFd<'a>) -> Self {
        match (&build.diff.ids, build.diff.ownership) {
            (Some(ids), _) => Self::Later(Later { ids, root, files: RefCell::default() }),
            (None, Ownership::Single) => Self::Single,
            (None, Ownership::Real) => Self::Real,
        }
    }

    /// Gives a new file its owner; its permissions are set afterwards.
    pub(super) fn own(
        &self,
        parent: BorrowedFd<'_>,
        (name, place): (&Path, &Path),
        (owner, mode): Wanted,
    ) -> Result<(), Trouble> {
        let failed = |errno| call("fchownat", place)(errno);
        match self {
            Self::Single => single(parent, (name, place), (owner, mode)),
            // Who is not root makes files that belong to the tree's root anyway.
            Self::Real if owner == (0, 0) && !geteuid().is_root() => Ok(()),
            Self::Real => {
                let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
                chown(parent, name, (Some(uid), Some(gid))).map_err(failed)
            }
            Self::Later(later) => {
                // Some directories hand their group on.
                chown(parent, name, (None, Some(getegid()))).map_err(failed)?;
                later.note(parent, (name, place), (owner, mode))
            }
        }
    }

    /// Makes a directory one that the caller may write to; it gets back what it had.
    pub(super) fn take(&self, directory: BorrowedFd<'_>, place: &Path) -> Result<(), Trouble> {
        match self {
            Self::Later(later) => later.take(directory, place),
            _ => Ok(()),
        }
    }

    /// Opens what the caller may not.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match self {
            Self::Later(later) => others::open(later.ids, later.root, path, flags),
            _ => Err(Errno::ACCESS),
        }
    }

    /// Gives everything that was made so far to its owner.
    pub(super) fn settle(&self) -> Result<(), Trouble> {
        let Self::Later(Later { ids, root, files }) = self else { return Ok(()) };
        hand_over::give(ids, *root, files.take())
            .map_err(|(path, operation, errno)| refused(&path, operation, errno))
    }
}

fn refused(path: &[u8], operation: &'static str, errno: Errno) -> Trouble {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    call(operation, path)(errno)
}

fn chown(
    parent: BorrowedFd<'_>,
    name: &Path,
    (uid, gid): (Option<Uid>, Option<Gid>),
) -> rustix::io::Result<()> {
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Notes an owner in a file's attribute; a link has none.
fn single(
    parent: BorrowedFd<'_>,
    (name, place): (&Path, &Path),
    ((uid, gid), mode): Wanted,
) -> Result<(), Trouble> {
    let Some(mode) = mode.filter(|_| (uid, gid) != (0, 0)) else { return Ok(()) };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty());
    let file = file.map_err(call("openat", place))?;
    let stat = rustix::fs::fstat(&file).map_err(call("fstat", place))?;
    let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => "dir",
        _ => "file",
    };
    let value = format!("{uid}:{gid}:0{:o}:{kind}", mode.as_raw_mode());
    rustix::fs::fsetxattr(&file, OVERRIDE, value.as_bytes(), XattrFlags::empty())
        .map_err(call("fsetxattr", place))
}

impl Later<'_> {
    fn note(
        &self,
        parent: BorrowedFd<'_>,
        (name, place): (&Path, &Path),
        (owner, mode): Wanted,
    ) -> Result<(), Trouble> {
        let mut path = path_of(parent).map_err(call("readlink", place))?;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_os_str().as_bytes());
        let unmapped = |(kind, id, ranges)| Trouble::NotMapped { kind, id, ranges };
        self.ids.check(owner.0, owner.1).map_err(unmapped)?;
        self.files.borrow_mut().insert(path, Given { owner, mode });
        Ok(())
    }

    fn take(&self, directory: BorrowedFd<'_>, place: &Path) -> Result<(), Trouble> {
        let stat = rustix::fs::fstat(directory).map_err(call("fstat", place))?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        if stat.st_uid == geteuid().as_raw() && mode.contains(Mode::RWXU) {
            return Ok(());
        }
        let path = path_of(directory).map_err(call("readlink", place))?;
        let owner = self.ids.inside(stat.st_uid, stat.st_gid).unwrap_or_default();
        let before = Given { owner, mode: Some(mode) };
        self.files.borrow_mut().entry(path.clone()).or_insert(before);
        let open = Given { owner: (0, 0), mode: Some(mode | Mode::RWXU) };
        hand_over::give(self.ids, self.root, [(path, open)])
            .map_err(|(path, operation, errno)| refused(&path, operation, errno))
    }
}

/// Where a directory is in its tree, which is mounted nowhere.
pub(super) fn path_of(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new())?;
    Ok(path.to_bytes().strip_prefix(b"/").unwrap_or_default().to_vec())
}
