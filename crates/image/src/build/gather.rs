//! What COPY and ADD take: the files that the sources name, and what they hold.
//!
//! Kernel objects: directories and files by descriptor. Invariant: nothing outside of the origin's directory is seen; links
//! in it are followed within it only (`RESOLVE_IN_ROOT`, openat2(2)).

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::others;
use super::trouble::{Trouble, call};
use crate::containerfile::{Ignore, Pattern, ProblemKind, Separator};
use crate::digest::{Algorithm, Digest, Digester};
use crate::ids::MappedIds;
use crate::source::each_chunk;

/// How deep a tree may be.
const DEPTH_MAX: usize = 1000;

/// A tree that is copied from.
pub(super) struct Origin<'a> {
    pub(super) root: BorrowedFd<'a>,
    /// What is not part of it.
    pub(super) ignore: &'a Ignore,
    /// Patterns of this instruction's own, relative to the source.
    pub(super) exclude: Vec<Pattern>,
    /// Who reads what the caller may not.
    pub(super) ids: Option<&'a MappedIds>,
}

/// One file, link or directory of a source.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where it is, from the origin's root.
    pub(super) path: PathBuf,
    /// Where it goes, below the source's destination; empty for the source itself.
    pub(super) below: PathBuf,
    /// What it is.
    pub(super) kind: FileType,
    pub(super) stat: Stat,
}

/// One thing that a source named.
#[derive(Debug)]
pub(super) struct Found {
    /// Its last component.
    pub(super) name: PathBuf,
    /// Whether it is a directory, of which the content is copied.
    pub(super) is_directory: bool,
    /// Itself, and what is below it; parents come first.
    pub(super) entries: Vec<Entry>,
}

impl Origin<'_> {
    /// What a source names: a path, or a pattern that can match several.
    pub(super) fn find(&self, source: &str) -> Result<Vec<Found>, Trouble> {
        let parts = clean(source);
        let mut paths = BTreeSet::from([PathBuf::new()]);
        for part in &parts {
            let mut next = BTreeSet::new();
            for path in &paths {
                self.step(path, part, &mut next)?;
            }
            paths = next;
        }
        let mut found = Vec::new();
        for path in paths {
            let text = path.to_string_lossy();
            if text.is_empty() || !self.ignore.excludes(&text) || self.ignore.has_exceptions() {
                found.extend(self.look(&path)?);
            }
        }
        match found.is_empty() {
            true => Err(Trouble::NoSource(source.to_owned())),
            false => Ok(found),
        }
    }

    /// One component further.
    fn step(&self, path: &Path, part: &str, next: &mut BTreeSet<PathBuf>) -> Result<(), Trouble> {
        let pattern = Pattern::new(part, Separator::Slash);
        let pattern = pattern.map_err(|_| ProblemKind::Pattern(part.to_owned()))?;
        if let Some(literal) = pattern.literal() {
            next.insert(path.join(literal));
            return Ok(());
        }
        let Ok(dir) = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(()) };
        for name in names(dir.as_fd(), path)? {
            if pattern.matches(&name.to_string_lossy()) {
                next.insert(path.join(name));
            }
        }
        Ok(())
    }

    /// A named source; a link leads on to what it points to.
    pub(super) fn look(&self, path: &Path) -> Result<Option<Found>, Trouble> {
        let Ok(opened) = self.open(path, OFlags::PATH) else { return Ok(None) };
        let stat = rustix::fs::fstat(&opened).map_err(call("fstat", path))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_directory = kind == FileType::Directory;
        let name = path.file_name().unwrap_or_default().into();
        let mut found = Found { name, is_directory, entries: Vec::new() };
        let (path, below) = (path.to_owned(), PathBuf::new());
        if is_directory {
            let dir = self.open(&path, OFlags::RDONLY | OFlags::DIRECTORY);
            let dir = dir.map_err(call("openat2", &path))?;
            self.walk(dir, &path, &below, &mut found.entries)?;
            found.entries.insert(0, Entry { path, below, kind, stat });
        } else if !self.left_out(&path, &below) {
            found.entries.push(Entry { path, below, kind, stat });
        } else {
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn walk(
        &self,
        dir: OwnedFd,
        path: &Path,
        below: &Path,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Trouble> {
        if below.components().count() > DEPTH_MAX {
            return Err(call("openat", path)(rustix::io::Errno::NAMETOOLONG));
        }
        for name in names(dir.as_fd(), path)? {
            let (path, below) = (path.join(&name), below.join(&name));
            let stat = match rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::ACCESS) => self.open(&path, others::NAME).and_then(rustix::fs::fstat),
                stat => stat,
            };
            let stat = stat.map_err(call("fstatat", &path))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let left_out = self.left_out(&path, &below);
            let at = entries.len();
            if !left_out {
                entries.push(Entry { path: path.clone(), below: below.clone(), kind, stat });
            }
            if kind == FileType::Directory && (!left_out || self.ignore.has_exceptions()) {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = match rustix::fs::openat(&dir, &name, flags, Mode::empty()) {
                    Err(Errno::ACCESS) => self.open(&path, flags),
                    inner => inner,
                };
                self.walk(inner.map_err(call("openat", &path))?, &path, &below, entries)?;
                if left_out && entries.len() > at {
                    // Something in it is kept, and needs its directory.
                    entries.insert(at, Entry { path, below, kind, stat });
                }
            }
        }
        Ok(())
    }

    fn left_out(&self, path: &Path, below: &Path) -> bool {
        let below = below.to_string_lossy();
        self.ignore.excludes(&path.to_string_lossy())
            || (!below.is_empty() && self.exclude.iter().any(|pattern| pattern.matches(&below)))
    }

    /// Opens below the root; links lead nowhere else.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
        // O_PATH takes no other flag along.
        let flags = if flags.contains(OFlags::PATH) { flags - OFlags::NONBLOCK } else { flags };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match (rustix::fs::openat2(self.root, path, flags, Mode::empty(), resolve), self.ids) {
            (Err(Errno::ACCESS), Some(ids)) => others::open(ids, self.root, path, flags),
            (opened, _) => opened,
        }
    }

    /// What a link says.
    pub(super) fn link(&self, path: &Path) -> Result<std::ffi::CString, Trouble> {
        let link = self.open(path, others::NAME).map_err(call("openat2", path))?;
        rustix::fs::readlinkat(link, c"", Vec::new()).map_err(call("readlinkat", path))
    }

    /// A digest of everything that is copied: names, kinds, modes and content; not of times.
    pub(super) fn digest(&self, found: &[Found]) -> Result<Digest, Trouble> {
        let mut digester = Digester::new(Algorithm::Sha256);
        for one in found {
            digester.update(one.name.as_os_str().as_bytes());
            for entry in &one.entries {
                self.add(entry, &mut digester)?;
            }
        }
        Ok(digester.finish())
    }

    fn add(&self, entry: &Entry, digester: &mut Digester) -> Result<(), Trouble> {
        digester.update(format!("\0{:o}\0", entry.stat.st_mode).as_bytes());
        digester.update(entry.below.as_os_str().as_bytes());
        digester.update(&[0]);
        match entry.kind {
            FileType::RegularFile => digester.update(&self.content_digest(&entry.path)?),
            FileType::Symlink => digester.update(self.link(&entry.path)?.to_bytes_with_nul()),
            _ => {}
        }
        Ok(())
    }

    fn content_digest(&self, path: &Path) -> Result<Vec<u8>, Trouble> {
        let opened = self.open(path, OFlags::RDONLY).map_err(call("openat2", path))?;
        let mut digester = Digester::new(Algorithm::Sha256);
        each_chunk(&mut File::from(opened), |bytes| {
            digester.update(bytes);
            Ok(())
        })?;
        Ok(digester.finish().as_bytes().to_vec())
    }
}

/// The names in a directory, in order.
fn names(dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let mut names = Vec::new();
    // Not opened again: who may read a directory may perhaps not enter it.
    let copy = rustix::io::fcntl_dupfd_cloexec(dir, 3).map_err(call("fcntl", path))?;
    for entry in Dir::new(copy).map_err(call("getdents64", path))? {
        let entry = entry.map_err(call("getdents64", path))?;
        let name: &CStr = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(PathBuf::from(OsStr::from_bytes(name.to_bytes())));
        }
    }
    names.sort();
    Ok(names)
}

/// A source's components; one that leads out of the origin leads to its root.
pub(super) fn clean(source: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}
