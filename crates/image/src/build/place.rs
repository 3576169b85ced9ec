//! Files into a mounted tree, as COPY and ADD put them there.
//!
//! Kernel objects: directories and files of the tree, by descriptor. Invariant: nothing outside of the tree is written;
//! links on the way to a destination are followed within it, the last one is replaced.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::gather::{Entry, Found, Origin};
use super::owning::Owning;
use super::trouble::{Trouble, call};

/// Mode of a directory that is made on the way.
const DIRECTORY_MODE: u32 = 0o755;

/// How files are put into a tree.
pub(super) struct Placement<'a> {
    pub(super) root: BorrowedFd<'a>,
    /// The owner of everything that is made.
    pub(super) owner: (u32, u32),
    /// The mode of everything that is made; otherwise each one's own.
    pub(super) mode: Option<u32>,
    /// How they get their owner.
    pub(super) owning: &'a Owning<'a>,
}

impl Placement<'_> {
    /// Copies what a source named: a directory's content, or a file, into a directory or to a name.
    pub(super) fn copy(
        &self,
        origin: &Origin<'_>,
        found: &Found,
        destination: &Path,
        into_directory: bool,
    ) -> Result<(), Trouble> {
        let base = match into_directory && !found.is_directory {
            true => destination.join(&found.name),
            false => destination.to_owned(),
        };
        let mut made = Vec::new();
        for entry in &found.entries {
            let place = if entry.below.as_os_str().is_empty() {
                base.clone()
            } else {
                base.join(&entry.below)
            };
            if self.one(origin, entry, &place)? {
                made.push((place, entry.stat));
            }
        }
        // From below: what is made in a directory changes its time.
        made.iter().rev().try_for_each(|(place, stat)| {
            let dir = self.open(place, OFlags::RDONLY | OFlags::DIRECTORY);
            dir.and_then(|dir| rustix::fs::futimens(dir, &times(stat)))
                .map_err(call("futimens", place))
        })
    }

    /// Copies one entry; true for a directory that was made.
    fn one(&self, origin: &Origin<'_>, entry: &Entry, place: &Path) -> Result<bool, Trouble> {
        if entry.kind == FileType::Directory {
            return self.directory(place, entry.stat.st_mode & 0o7777);
        }
        let (parent, name) = self.parent(place)?;
        clear(parent.as_fd(), &name, place)?;
        match entry.kind {
            FileType::RegularFile => {
                let from = origin.open(&entry.path, OFlags::RDONLY);
                let mut from = File::from(from.map_err(call("openat2", &entry.path))?);
                let mut to = self.create(parent.as_fd(), (&name, place), &entry.stat)?;
                std::io::copy(&mut from, &mut to)
                    .map_err(|error| crate::error::Error::io("copy_file_range", place, &error))?;
                rustix::fs::futimens(&to, &times(&entry.stat)).map_err(call("futimens", place))?;
            }
            FileType::Symlink => {
                let target = origin.link(&entry.path)?;
                rustix::fs::symlinkat(target, &parent, &name).map_err(call("symlinkat", place))?;
                self.own(parent.as_fd(), (&name, place), None)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(&parent, &name, &times(&entry.stat), flags)
                    .map_err(call("utimensat", place))?;
            }
            _ => return Err(Trouble::Unsupported("to copy a socket, a FIFO or a device")),
        }
        Ok(false)
    }

    /// A file from what a stream gives, with this mode and time where nothing else is said.
    pub(super) fn stream(
        &self,
        content: &mut dyn Read,
        (mode, modified): (u32, Option<SystemTime>),
        place: &Path,
    ) -> Result<(), Trouble> {
        let (parent, name) = self.parent(place)?;
        clear(parent.as_fd(), &name, place)?;
        let mode = self.mode.unwrap_or(mode);
        let mut file = self.create_with(parent.as_fd(), (&name, place), mode)?;
        let failed =
            |operation| move |error| crate::error::Error::io(operation, place, &error).into();
        std::io::copy(content, &mut file).map_err(failed("write"))?;
        modified.map_or(Ok(()), |time| file.set_modified(time)).map_err(failed("futimens"))
    }

    fn create(
        &self,
        parent: BorrowedFd<'_>,
        place: (&Path, &Path),
        stat: &Stat,
    ) -> Result<File, Trouble> {
        self.create_with(parent, place, self.mode.unwrap_or(stat.st_mode & 0o7777))
    }

    fn create_with(
        &self,
        parent: BorrowedFd<'_>,
        (name, place): (&Path, &Path),
        mode: u32,
    ) -> Result<File, Trouble> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600));
        let file = file.map_err(call("openat", place))?;
        self.own(parent, (name, place), Some(Mode::from_raw_mode(mode)))?;
        // After the owner: a change of owner clears set-user-id.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(call("fchmod", place))?;
        Ok(file.into())
    }

    /// A directory, unless it is there; true if it was made.
    pub(super) fn directory(&self, place: &Path, mode: u32) -> Result<bool, Trouble> {
        match self.open(place, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => return Ok(false),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(call("openat2", place)(errno)),
        }
        let (parent, name) = self.parent(place)?;
        let mode = Mode::from_raw_mode(self.mode.unwrap_or(mode));
        match rustix::fs::mkdirat(&parent, &name, Mode::RWXU) {
            Ok(()) => {}
            // A link to what is not there.
            Err(errno) => return Err(call("mkdirat", place)(errno)),
        }
        self.own(parent.as_fd(), (&name, place), Some(mode))?;
        let made = self.open(place, OFlags::RDONLY | OFlags::DIRECTORY);
        made.and_then(|made| rustix::fs::fchmod(made, mode)).map_err(call("fchmod", place))?;
        Ok(true)
    }

    /// The directory that a place is in, made if it is missing, and the place's name in it.
    fn parent(&self, place: &Path) -> Result<(OwnedFd, PathBuf), Trouble> {
        let name = place.file_name().ok_or_else(|| call("openat2", place)(Errno::ISDIR))?;
        let parent = place.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = match self.open(parent, flags) {
            Err(Errno::NOENT) if parent.file_name().is_some() => {
                let plain = Placement { mode: None, ..*self };
                plain.directory(parent, DIRECTORY_MODE)?;
                self.open(parent, flags)
            }
            opened => opened,
        };
        let opened = opened.map_err(call("openat2", parent))?;
        self.owning.take(opened.as_fd(), parent)?;
        Ok((opened, name.into()))
    }

    /// Opens below the tree's root.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(self.root, path, flags, Mode::empty(), resolve) {
            Err(Errno::ACCESS) => self.owning.open(path, flags),
            opened => opened,
        }
    }

    /// Gives a file to its owner.
    fn own(
        &self,
        parent: BorrowedFd<'_>,
        file: (&Path, &Path),
        mode: Option<Mode>,
    ) -> Result<(), Trouble> {
        self.owning.own(parent, file, (self.owner, mode))
    }
}

/// Makes room for a file; a directory is not replaced.
fn clear(parent: BorrowedFd<'_>, name: &Path, place: &Path) -> Result<(), Trouble> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(call("unlinkat", place)(errno)),
    }
}

/// The time of the last change of content, for both times.
fn times(stat: &Stat) -> Timestamps {
    let time =
        Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) };
    Timestamps { last_access: time, last_modification: time }
}
