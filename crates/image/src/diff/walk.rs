//! The tree, in the order of its names.
//!
//! Kernel objects: descriptors, one or two at a time. Invariant: every file is opened below the
//! root without following a link, and what is read is what was opened; a FIFO or device is never
//! opened for reading.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, Dir, FileType, OFlags, SeekFrom, Stat};
use rustix::io::{self, Errno};

use super::compress::{Content, Output};
use super::located::{Located, Tree};
use super::upper::{Attributes, is_whiteout, mtime};
use super::{Diff, Holes, OwnerRange, TreeRoot, writer};
use crate::error::Error;
use crate::ids::read::Reader;
use crate::unpack::format::member::{Kind, Member, Timestamp};
use crate::unpack::format::sparse::{SEGMENTS_MAX, Segment, SparseMap};
use crate::unpack::quotas::Quota;
use crate::unpack::tree::directories::DIRECTORY;
use crate::unpack::trouble::Trouble;
use crate::unpack::{Ownership, Whiteouts};

/// What was written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) attributes_dropped: u64,
    pub(crate) sockets_skipped: u64,
}

/// A walk through a tree.
pub(crate) struct Walk<'a, W: Write> {
    diff: &'a Diff,
    tree: Tree<'a>,
    output: Output<W>,
    /// The first name of every file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    pub(crate) counts: Counts,
    buffer: Vec<u8>,
}

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Opens without waiting and without making a terminal ours.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

impl<'a, W: Write> Walk<'a, W> {
    pub(crate) fn new(diff: &'a Diff, root: BorrowedFd<'a>, output: Output<W>) -> Self {
        let buffer = vec![0; BUFFER];
        let tree = Tree::new(root, diff.ids.as_ref().map(|ids| Reader::new(ids, root)));
        Self { diff, tree, output, links: HashMap::new(), counts: Counts::default(), buffer }
    }

    /// Writes everything below the root.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let root = self.tree.root().map_err(|trouble| self.error(b"", trouble))?;
        self.root(root.as_fd())?;
        self.directory(b"", root, 0)?;
        writer::end(&mut self.output)
    }

    /// Writes the root itself, if that is wanted.
    fn root(&mut self, fd: BorrowedFd<'_>) -> Result<(), Error> {
        if self.diff.root == TreeRoot::LeftOut {
            return Ok(());
        }
        let stat = fs::fstat(fd);
        let stat = stat.map_err(|errno| self.error(b"", Trouble::System("fstat", errno)))?;
        let own = Attributes::read(fd, self.diff);
        let mut own = own.map_err(|trouble| self.error(b"", trouble))?;
        let member = self.member(b".", Kind::Directory, &stat, &mut own)?;
        let usual = (member.mode, member.uid, member.gid) == (0o755, 0, 0);
        if self.diff.root == TreeRoot::Unusual && usual && member.attributes.is_empty() {
            return Ok(());
        }
        writer::begin(&mut self.output, &member).map(drop)
    }

    /// The contents of the blob and of the uncompressed layer.
    pub(crate) fn finish(self) -> Result<(Content, Content), Error> {
        self.output.finish()
    }

    fn error(&self, path: &[u8], trouble: Trouble) -> Error {
        Error::layer(Some(path), self.output.position(), trouble)
    }

    /// Everything in an open directory, which is closed before going deeper.
    fn directory(&mut self, path: &[u8], fd: OwnedFd, depth: usize) -> Result<(), Error> {
        let quotas = self.diff.quotas;
        if depth > quotas.depth {
            return Err(self.error(path, Trouble::Quota(Quota::Depth, quotas.depth as u64)));
        }
        let names = names(fd).map_err(|trouble| self.error(path, trouble))?;
        let mut paths = Vec::new();
        for name in names {
            let inside = if path.is_empty() { name } else { [path, b"/", &name].concat() };
            if inside.len() > quotas.name {
                return Err(self.error(path, Trouble::Quota(Quota::Name, quotas.name as u64)));
            }
            if self.is_selected(&inside) {
                paths.push(inside);
            }
        }
        for at in 0..paths.len() {
            let rest = paths.get(at..).unwrap_or_default();
            let path = rest.first().map(Vec::as_slice).unwrap_or_default();
            if let Some(fd) = self.file(path, rest)? {
                self.directory(path, fd, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Whether a path is wanted, or leads to one that is.
    fn is_selected(&self, path: &[u8]) -> bool {
        let Some(selected) = &self.diff.selected else { return true };
        let path = Path::new(OsStr::from_bytes(path));
        // What is below a path follows it.
        let from = (Bound::Included(path), Bound::Unbounded);
        selected.range::<Path, _>(from).next().is_some_and(|next| next.starts_with(path))
    }

    /// Writes the first of these files; returns it where it is a directory.
    fn file(&mut self, path: &[u8], rest: &[Vec<u8>]) -> Result<Option<OwnedFd>, Error> {
        let found = self.tree.find(rest);
        let (located, stat) = found.map_err(|trouble| self.error(path, trouble))?;
        if split(path).1.starts_with(b".wh.") {
            return Err(self.error(path, Trouble::Whiteout));
        }
        if is_whiteout(&stat) {
            return self.whiteout(path).map(|()| None);
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            self.counts.sockets_skipped += 1;
            return Ok(None);
        }
        if kind != FileType::Directory && self.linked(path, &stat)? {
            return Ok(None);
        }
        match kind {
            FileType::Directory | FileType::RegularFile => {
                let flags = if kind == FileType::Directory { DIRECTORY } else { FILE };
                let opened = self.tree.open(&located, rest, flags);
                self.opened(path, opened.map_err(|trouble| self.error(path, trouble))?, kind)
            }
            _ => self.special(path, &located, &stat).map(|()| None),
        }
    }

    /// Writes a file as a link to its first name, if it has one.
    fn linked(&mut self, path: &[u8], stat: &Stat) -> Result<bool, Error> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let target = self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_vec());
        if target == path {
            return Ok(false);
        }
        let kind = Kind::HardLink { target: target.clone() };
        let member = self.member(path, kind, stat, &mut Attributes::default())?;
        self.begin(&member)?;
        Ok(true)
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), Error> {
        if self.diff.whiteouts == Whiteouts::Applied {
            return Err(self.error(path, Trouble::WhiteoutDevice));
        }
        let (parent, last) = split(path);
        let separator: &[u8] = if parent.is_empty() { b"" } else { b"/" };
        self.mark([parent, separator, b".wh.", last].concat())
    }

    /// An empty file that stands for something removed. When that was done says nothing, so that
    /// the same removal is always the same member.
    fn mark(&mut self, name: Vec<u8>) -> Result<(), Error> {
        let kind = Kind::File { size: 0, sparse: None };
        let (attributes, mtime) = (Vec::new(), Timestamp::default());
        let member = Member { name, kind, mode: 0, uid: 0, gid: 0, mtime, atime: None, attributes };
        self.begin(&member).map(|_| ())
    }

    fn begin(&mut self, member: &Member) -> Result<u64, Error> {
        self.counts.entries += 1;
        if self.counts.entries > self.diff.quotas.entries {
            let trouble = Trouble::Quota(Quota::Entries, self.diff.quotas.entries);
            return Err(self.error(&member.name, trouble));
        }
        writer::begin(&mut self.output, member)
    }

    fn member(
        &mut self,
        path: &[u8],
        kind: Kind,
        stat: &Stat,
        own: &mut Attributes,
    ) -> Result<Member, Error> {
        self.counts.attributes_dropped += own.dropped;
        let mapped = |ranges: &[OwnerRange], id| {
            OwnerRange::find(ranges, id).ok_or_else(|| self.error(path, Trouble::Owner(id)))
        };
        let mut uid = mapped(&self.diff.uid_map, stat.st_uid)?;
        let mut gid = mapped(&self.diff.gid_map, stat.st_gid)?;
        let mut kind = kind;
        if self.diff.ownership == Ownership::Single {
            // The caller is who root is inside.
            uid = if uid == rustix::process::geteuid().as_raw() { 0 } else { uid };
            gid = if gid == rustix::process::getegid().as_raw() { 0 } else { gid };
            if let Some((kept_uid, kept_gid, device)) = own.owner.take() {
                (uid, gid) = (kept_uid, kept_gid);
                let stands_for_it = matches!(kind, Kind::File { size: 0, .. });
                kind = device.filter(|_| stands_for_it).unwrap_or(kind);
            }
        }
        Ok(Member {
            name: path.to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            mtime: mtime(stat, self.diff),
            atime: None,
            attributes: std::mem::take(&mut own.kept),
        })
    }

    /// A link, FIFO or device.
    fn special(&mut self, path: &[u8], located: &Located<'_>, stat: &Stat) -> Result<(), Error> {
        let (major, minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = located.target().map_err(|trouble| self.error(path, trouble))?;
                Kind::Symlink { target }
            }
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            _ => Kind::Fifo,
        };
        let member = self.member(path, kind, stat, &mut Attributes::default())?;
        self.begin(&member).map(|_| ())
    }

    /// A file or directory that is open; it is returned where it is a directory.
    fn opened(
        &mut self,
        path: &[u8],
        fd: OwnedFd,
        kind: FileType,
    ) -> Result<Option<OwnedFd>, Error> {
        let stat = fs::fstat(&fd);
        let stat = stat.map_err(|errno| self.error(path, Trouble::System("fstat", errno)))?;
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return Err(self.error(path, Trouble::Changed));
        }
        let attributes = Attributes::read(fd.as_fd(), self.diff);
        let mut attributes = attributes.map_err(|trouble| self.error(path, trouble))?;
        if kind == FileType::Directory {
            let opaque = attributes.opaque;
            let member = self.member(path, Kind::Directory, &stat, &mut attributes)?;
            self.begin(&member)?;
            if opaque {
                self.mark([path, b"/.wh..wh..opq"].concat())?;
            }
            return Ok(Some(fd));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let map = match self.diff.holes {
            Holes::Kept => holes(fd.as_fd(), size, &stat),
            Holes::Filled => Ok(None),
        };
        let sparse = map.map_err(|trouble| self.error(path, trouble))?;
        let whole = [Segment { offset: 0, len: size }];
        let member = self.member(path, Kind::File { size, sparse }, &stat, &mut attributes)?;
        let stored = self.begin(&member)?;
        let pieces = match &member.kind {
            Kind::File { sparse: Some(map), .. } => map.segments(),
            Kind::File { .. } => &whole,
            _ => &[],
        };
        pieces.iter().try_for_each(|piece| self.copy(path, fd.as_fd(), *piece))?;
        writer::pad(&mut self.output, stored)?;
        Ok(None)
    }

    fn copy(&mut self, path: &[u8], fd: BorrowedFd<'_>, piece: Segment) -> Result<(), Error> {
        let end = piece.offset + piece.len;
        let mut at = piece.offset;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = buffer.get_mut(..len).map_or(Ok(0), |buffer| io::pread(fd, buffer, at));
            let done = match read {
                Ok(0) => Err(self.error(path, Trouble::Changed)),
                Ok(len) => {
                    at += len as u64;
                    self.output.put(buffer.get(..len).unwrap_or_default())
                }
                Err(Errno::INTR) => Ok(()),
                Err(errno) => Err(self.error(path, Trouble::System("pread", errno))),
            };
            self.buffer = buffer;
            done?;
        }
        Ok(())
    }
}

/// The directory and the last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The names in a directory, sorted.
fn names(directory: OwnedFd) -> Result<Vec<Vec<u8>>, Trouble> {
    let mut names = Vec::new();
    for entry in Dir::new(directory).map_err(Trouble::of("getdents64"))? {
        let entry = entry.map_err(Trouble::of("getdents64"))?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Where a file has data, if it has holes; `None` too where there are too many.
fn holes(fd: BorrowedFd<'_>, size: u64, stat: &Stat) -> Result<Option<SparseMap>, Trouble> {
    if u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) >= size {
        return Ok(None);
    }
    let mut map = SparseMap::default();
    let mut at = 0;
    while at < size {
        let start = match fs::seek(fd, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            // The file system does not know.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            other => other.map_err(Trouble::of("lseek"))?.min(size),
        };
        let end = fs::seek(fd, SeekFrom::Hole(start)).map_err(Trouble::of("lseek"))?.min(size);
        if map.segments().len() + 2 > SEGMENTS_MAX {
            return Ok(None);
        }
        map.push(start, end - start)?;
        at = end;
    }
    let data: u64 = map.segments().iter().map(|segment| segment.len).sum();
    if data == size {
        return Ok(None);
    }
    if map.segments().last().is_none_or(|last| last.offset + last.len < size) {
        map.push(size, 0)?;
    }
    Ok(Some(map))
}
