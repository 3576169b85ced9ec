//! One layer, member by member, into a directory.
//!
//! Kernel objects: files, directories, links, FIFOs and devices below the root. Invariant: later
//! members win; a directory meets a directory, everything else replaces what is there.

use std::hash::RandomState;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::directories::{DIRECTORY, Directories, Final};
use super::file;
use super::metadata::{Metadata, final_of};
use super::owning::Owning;
use super::remove::remove;
use super::whiteout::{Touched, is_whiteout};
use crate::error::Error;
use crate::ids::hand_over::{Later, Tight};
use crate::unpack::Unpack;
use crate::unpack::format::member::{Kind, Member, Timestamp};
use crate::unpack::format::members::Members;
use crate::unpack::format::sparse::SparseMap;
use crate::unpack::name::{Meaning, Name};
use crate::unpack::options::{Devices, Whiteouts};
use crate::unpack::quotas::Quota;
use crate::unpack::trouble::{NameTrouble, Trouble};

/// What was made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) implied: u64,
    pub(crate) bytes: u64,
    pub(crate) whiteouts: u64,
    pub(crate) devices_skipped: u64,
    pub(crate) root_opaque: bool,
}

/// A layer that is being written.
pub(crate) struct Layer<'a> {
    pub(super) options: &'a Unpack,
    pub(super) directories: Directories<'a>,
    pub(super) metadata: Metadata,
    pub(super) touched: Touched<RandomState>,
    pub(crate) counts: Counts,
    tight: Tight,
}

impl<'a> Layer<'a> {
    pub(crate) fn new(options: &'a Unpack, root: BorrowedFd<'a>) -> Self {
        Self {
            options,
            directories: Directories::new(root, (Owning::of(options), options.ids.as_ref())),
            metadata: Metadata::new(options),
            touched: Touched::default(),
            counts: Counts::default(),
            tight: Tight::default(),
        }
    }

    /// Writes every member.
    pub(crate) fn write<R: BufRead>(&mut self, members: &mut Members<R>) -> Result<(), Error> {
        loop {
            match members.next() {
                Ok(Some(member)) => {
                    let written = self.member(&member, members);
                    let place = (Some(member.name.as_slice()), members.position());
                    written.map_err(|trouble| Error::layer(place.0, place.1, trouble))?;
                }
                Ok(None) => break,
                Err(trouble) => return Err(Error::layer(None, members.position(), trouble)),
            }
        }
        let closed = self.directories.close();
        let closed = closed.map_err(|trouble| Error::layer(None, members.position(), trouble));
        self.tight = closed?;
        Ok(())
    }

    /// What the files get now that all are there.
    pub(crate) fn later(self) -> Later {
        let mut owners = self.metadata.owners;
        if let Some(taken) = self.directories.taken() {
            taken.give_back(&mut owners);
        }
        Later { owners, tight: self.tight }
    }

    /// Attributes that were not taken over.
    pub(crate) fn attributes_dropped(&self) -> u64 {
        self.metadata.dropped
    }

    fn member<R: BufRead>(
        &mut self,
        member: &Member,
        members: &mut Members<R>,
    ) -> Result<(), Trouble> {
        self.counts.entries += 1;
        let meaning = Name::meaning(&member.name, &self.options.quotas)?;
        let plain = matches!(member.kind, Kind::File { .. } | Kind::HardLink { .. });
        match meaning {
            Meaning::Root if member.kind == Kind::Directory => self.root(member),
            Meaning::Root => Err(Trouble::RootNotDirectory),
            Meaning::Whiteout(_) | Meaning::Opaque(_) if !plain => Err(Trouble::Whiteout),
            Meaning::Whiteout(name) => self.whiteout(&name),
            Meaning::Opaque(directory) => self.opaque(directory.as_bytes()),
            Meaning::Member(name) => {
                self.touch(name.as_bytes());
                self.make(&name, member, members)
            }
        }
    }

    fn make<R: BufRead>(
        &mut self,
        name: &Name,
        member: &Member,
        members: &mut Members<R>,
    ) -> Result<(), Trouble> {
        match &member.kind {
            Kind::Directory => self.directory(name, member),
            Kind::File { size, sparse } => {
                self.file(name, member, (*size, sparse.as_ref()), members)
            }
            Kind::HardLink { target } => self.hard_link(name, target),
            Kind::Symlink { target } => self.symlink(name, member, target),
            Kind::Fifo => self.node(name, member, FileType::Fifo, 0),
            Kind::CharDevice { major: 0, minor: 0 } => Err(Trouble::WhiteoutDevice),
            Kind::CharDevice { major, minor } => {
                self.device(name, member, FileType::CharacterDevice, fs::makedev(*major, *minor))
            }
            Kind::BlockDevice { major, minor } => {
                self.device(name, member, FileType::BlockDevice, fs::makedev(*major, *minor))
            }
        }
    }

    fn root(&mut self, member: &Member) -> Result<(), Trouble> {
        self.described(b"", member)
    }

    /// A directory that is there gets what the member says.
    fn described(&mut self, path: &[u8], member: &Member) -> Result<(), Trouble> {
        let fd = self.directories.get(path)?;
        self.metadata.clear(fd)?;
        self.metadata.inode(fd, member)?;
        let inode = fs::fstat(fd).map_err(Trouble::of("fstat"))?.st_ino;
        self.directories.described(inode);
        self.directories.set_final(path, final_of(member));
        Ok(())
    }

    fn directory(&mut self, name: &Name, member: &Member) -> Result<(), Trouble> {
        let (parent, last) = name.split();
        self.ensure(parent)?;
        let at = self.directories.get(parent)?;
        let replaced = match fs::mkdirat(at, last, Mode::RWXU) {
            Err(Errno::EXIST) if file_type(at, last)? == FileType::Directory => {
                return self.described(name.as_bytes(), member);
            }
            Err(Errno::EXIST) => {
                remove(at, last)?;
                fs::mkdirat(at, last, Mode::RWXU).map_err(Trouble::of("mkdirat"))?;
                true
            }
            other => other.map(|()| false).map_err(Trouble::of("mkdirat"))?,
        };
        let fd = fs::openat(at, last, DIRECTORY, Mode::empty()).map_err(Trouble::of("openat"))?;
        self.metadata.inode(fd.as_fd(), member)?;
        if replaced {
            self.mark_opaque(fd.as_fd())?;
        }
        self.directories.insert(name.as_bytes().to_vec(), fd, final_of(member))
    }

    fn file<R: BufRead>(
        &mut self,
        name: &Name,
        member: &Member,
        (size, sparse): (u64, Option<&SparseMap>),
        members: &mut Members<R>,
    ) -> Result<(), Trouble> {
        let quota = self.options.quotas.bytes;
        self.counts.bytes = self.counts.bytes.saturating_add(size);
        if self.counts.bytes > quota {
            return Err(Trouble::Quota(Quota::Bytes, quota));
        }
        let fd = self.new_file(name)?;
        match sparse {
            None => file::write_all(fd.as_fd(), members, size)?,
            Some(map) => file::write_pieces(fd.as_fd(), members, map, size)?,
        }
        self.metadata.inode(fd.as_fd(), member)?;
        Metadata::finish(fd.as_fd(), member)
    }

    fn new_file(&mut self, name: &Name) -> Result<OwnedFd, Trouble> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.place(name, "openat", |at, last| fs::openat(at, last, flags, Mode::RUSR | Mode::WUSR))
    }

    fn symlink(&mut self, name: &Name, member: &Member, target: &[u8]) -> Result<(), Trouble> {
        let max = self.options.quotas.name;
        if target.len() > max {
            return Err(Trouble::Quota(Quota::Name, max as u64));
        }
        if target.is_empty() {
            return Err(Trouble::Target(NameTrouble::Empty));
        }
        self.place(name, "symlinkat", |at, last| fs::symlinkat(target, at, last))?;
        self.special(name, member)
    }

    fn node(
        &mut self,
        name: &Name,
        member: &Member,
        kind: FileType,
        device: u64,
    ) -> Result<(), Trouble> {
        let mode = Mode::RUSR | Mode::WUSR;
        self.place(name, "mknodat", |at, last| fs::mknodat(at, last, kind, mode, device))?;
        self.special(name, member)
    }

    fn device(
        &mut self,
        name: &Name,
        member: &Member,
        kind: FileType,
        device: u64,
    ) -> Result<(), Trouble> {
        use crate::unpack::options::Ownership;
        match (self.options.devices, self.options.ownership) {
            (Devices::Refuse, _) => Err(Trouble::Device),
            (Devices::Skip, _) => {
                self.counts.devices_skipped += 1;
                self.ensure(name.split().0)?;
                self.remove(name.as_bytes())
            }
            (Devices::Make, Ownership::Real) => self.node(name, member, kind, device),
            (Devices::Make, Ownership::Single) => {
                let fd = self.new_file(name)?;
                self.metadata.inode(fd.as_fd(), member)?;
                Metadata::finish(fd.as_fd(), member)
            }
        }
    }

    fn special(&mut self, name: &Name, member: &Member) -> Result<(), Trouble> {
        let (parent, last) = name.split();
        self.metadata.special(self.directories.get(parent)?, last, member)
    }

    fn hard_link(&mut self, name: &Name, target: &[u8]) -> Result<(), Trouble> {
        let target = Name::parse(target, &self.options.quotas);
        let target = target.map_err(|error| error.of(Trouble::Target))?;
        let (from, old) = target.split();
        let from = match self.directories.get(from) {
            Ok(fd) => fd.try_clone_to_owned().map_err(|error| Trouble::stream(&error))?,
            Err(trouble) if is_absent(&trouble) => return Err(Trouble::NoTarget),
            Err(trouble) => return Err(trouble),
        };
        let stat = match fs::statat(&from, old, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(Trouble::NoTarget),
            other => other.map_err(Trouble::of("fstatat"))?,
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_directory || is_whiteout(&stat) {
            return Err(Trouble::NoTarget);
        }
        if target == *name {
            return Ok(());
        }
        self.directories.take_file(target.as_bytes(), &stat)?;
        let linked = self
            .place(name, "linkat", |at, last| fs::linkat(&from, old, at, last, AtFlags::empty()));
        match linked {
            Err(Trouble::System("linkat", Errno::NOENT)) => Err(Trouble::NoTarget),
            other => other,
        }
    }

    /// Makes what `name` stands for, after removing what is there.
    fn place<T>(
        &mut self,
        name: &Name,
        operation: &'static str,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Trouble> {
        let (parent, last) = name.split();
        self.ensure(parent)?;
        let made = make(self.directories.get(parent)?, last);
        if !matches!(made, Err(Errno::EXIST)) {
            return made.map_err(Trouble::of(operation));
        }
        self.remove(name.as_bytes())?;
        make(self.directories.get(parent)?, last).map_err(Trouble::of(operation))
    }

    /// Makes the directory `path` and those above it, where they do not exist.
    pub(super) fn ensure(&mut self, path: &[u8]) -> Result<(), Trouble> {
        match self.directories.get(path) {
            Ok(_) => return Ok(()),
            Err(trouble) if is_absent(&trouble) => {}
            Err(trouble) => return Err(trouble),
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(at, _)| at).chain([path.len()]);
        let mut above: &[u8] = b"";
        for end in ends {
            let (this, _) = path.split_at(end);
            self.ensure_one(above, this)?;
            above = this;
        }
        Ok(())
    }

    fn ensure_one(&mut self, above: &[u8], path: &[u8]) -> Result<(), Trouble> {
        let start = if above.is_empty() { 0 } else { above.len() + 1 };
        let last = path.get(start..).unwrap_or_default();
        let at = self.directories.get(above)?;
        let hidden = match fs::mkdirat(at, last, Mode::RWXU) {
            Ok(()) => false,
            Err(Errno::EXIST) => {
                let stat = fs::statat(at, last, AtFlags::SYMLINK_NOFOLLOW);
                let stat = stat.map_err(Trouble::of("fstatat"))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    return Ok(());
                }
                if self.options.whiteouts == Whiteouts::Applied || !is_whiteout(&stat) {
                    return Err(Trouble::ParentNotDirectory);
                }
                remove(at, last)?;
                fs::mkdirat(at, last, Mode::RWXU).map_err(Trouble::of("mkdirat"))?;
                true
            }
            Err(errno) => return Err(Trouble::System("mkdirat", errno)),
        };
        let fd = fs::openat(at, last, DIRECTORY, Mode::empty()).map_err(Trouble::of("openat"))?;
        self.implied(path, fd, hidden)
    }

    /// A directory that no member describes: root's, for everybody to enter.
    fn implied(&mut self, path: &[u8], fd: OwnedFd, hidden: bool) -> Result<(), Trouble> {
        self.counts.implied += 1;
        if self.counts.implied > self.options.quotas.entries {
            return Err(Trouble::Quota(Quota::Entries, self.options.quotas.entries));
        }
        let stat = fs::fstat(&fd).map_err(Trouble::of("fstat"))?;
        let member = Member {
            name: path.to_vec(),
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            atime: None,
            attributes: Vec::new(),
        };
        self.metadata.inode(fd.as_fd(), &member)?;
        if hidden {
            self.mark_opaque(fd.as_fd())?;
        }
        let last = Final { mode: Mode::from_raw_mode(member.mode), ..Final::of(&stat) };
        self.directories.insert(path.to_vec(), fd, last)
    }
}

/// Whether a directory is not there, or something else is.
pub(super) fn is_absent(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::System("openat2", Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

pub(super) fn file_type(at: BorrowedFd<'_>, name: &[u8]) -> Result<FileType, Trouble> {
    let stat = fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Trouble::of("fstatat"))?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}
