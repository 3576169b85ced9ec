//! Directories in layers, as overlayfs shows them together, without a mount.
//!
//! Kernel objects: a descriptor of each layer. Names are looked up below it by openat2(2), and whiteouts, opaque
//! directories and redirects count as in the kernel (document filesystems/overlayfs). Invariant: a lookup never leaves its
//! layer and never follows a link; links are data.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fgetxattr, fstat, openat2};
use rustix::io::Errno;

use crate::target::parts;

/// What opens a file that this process may not: below a directory, with these flags.
pub(crate) type Opener<'a> = dyn Fn(BorrowedFd<'_>, &OsStr, OFlags) -> Result<OwnedFd, Errno> + 'a;

/// The extended attributes in which an overlay keeps its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// `trusted.overlay.…`
    Trusted,
    /// `user.overlay.…` (option `userxattr`, Linux 5.11).
    User,
}

impl Notes {
    fn name(self, what: &str) -> String {
        let class = match self {
            Self::Trusted => "trusted",
            Self::User => "user",
        };
        format!("{class}.overlay.{what}")
    }

    /// Whether an attribute is one of these notes.
    pub(crate) fn has(self, attribute: &str) -> bool {
        attribute.starts_with(&self.name(""))
    }
}

/// Layers, the uppermost first.
pub(crate) struct Layers<'a> {
    pub(crate) roots: Vec<OwnedFd>,
    pub(crate) notes: Notes,
    pub(crate) opener: Option<&'a Opener<'a>>,
}

/// Where a directory or a part of one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position of the layer.
    pub(crate) layer: usize,
    /// Relative to the layer's root.
    pub(crate) path: PathBuf,
}

/// A directory: the parts of it, the uppermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) parts: Vec<Place>,
}

/// What is at a name.
#[derive(Debug)]
pub(crate) enum Node {
    Missing,
    Directory(Directory),
    /// Neither.
    Other {
        place: Place,
        fd: OwnedFd,
        stat: Stat,
    },
}

/// A call that failed, and where.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) errno: Errno,
    pub(crate) path: PathBuf,
}

/// What a directory says about those below it.
enum Below {
    Merged,
    Hidden,
    Moved(OsString),
}

const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const LIST: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const PEEK: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Layers<'_> {
    /// The root of all.
    pub(crate) fn root(&self) -> Directory {
        let part = |layer| Place { layer, path: PathBuf::new() };
        Directory { parts: (0..self.roots.len()).map(part).collect() }
    }

    /// What is at a name in a directory.
    pub(crate) fn look(&self, dir: &Directory, name: &OsStr) -> Result<Node, Failed> {
        let mut found: Vec<Place> = Vec::new();
        let mut places: Vec<Place> = dir.parts.iter().map(|part| part.child(name)).collect();
        let mut index = 0;
        while let Some(place) = places.get(index).cloned() {
            index += 1;
            let Some((fd, stat)) = self.at(&place)? else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {}
                _ if !found.is_empty() => break,
                _ if self.is_whiteout(&place, &stat) => return Ok(Node::Missing),
                _ => return Ok(Node::Other { place, fd, stat }),
            }
            found.push(place.clone());
            match self.below(&place)? {
                Below::Merged => {}
                Below::Hidden => places.truncate(index),
                Below::Moved(target) => self.redirect(&mut places, index, &target),
            }
        }
        if found.is_empty() {
            return Ok(Node::Missing);
        }
        Ok(Node::Directory(Directory { parts: found }))
    }

    /// The names in the parts of a directory, sorted; those that are hidden or removed are among them.
    pub(crate) fn names(&self, parts: &[Place]) -> Result<Vec<OsString>, Failed> {
        let mut names = Vec::new();
        for part in parts {
            let failed = |errno| Failed { errno, path: part.path.clone() };
            for entry in Dir::new(self.list(part)?).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(OsString::from_vec(name.to_vec()));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Opens a directory for reading.
    pub(crate) fn list(&self, place: &Place) -> Result<OwnedFd, Failed> {
        self.open(place, LIST).map_err(|errno| Failed { errno, path: place.path.clone() })
    }

    /// What is at a place, if anything.
    fn at(&self, place: &Place) -> Result<Option<(OwnedFd, Stat)>, Failed> {
        let failed = |errno| Failed { errno, path: place.path.clone() };
        match self.open(place, LOOK) {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(failed)?;
                Ok(Some((fd, stat)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn is_whiteout(&self, place: &Place, stat: &Stat) -> bool {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice => stat.st_rdev == 0,
            // What may not be read has no note that could be.
            FileType::RegularFile if stat.st_size == 0 => {
                self.open(place, PEEK).is_ok_and(|file| self.note(&file, "whiteout").is_some())
            }
            _ => false,
        }
    }

    fn below(&self, place: &Place) -> Result<Below, Failed> {
        let dir = self.list(place)?;
        if self.note(&dir, "opaque").is_some_and(|value| value == b"y") {
            return Ok(Below::Hidden);
        }
        Ok(match self.note(&dir, "redirect") {
            Some(target) if !target.is_empty() => Below::Moved(OsString::from_vec(target)),
            _ => Below::Merged,
        })
    }

    /// Goes on below at another place: a name beside this one, or a path from the root.
    fn redirect(&self, places: &mut Vec<Place>, index: usize, target: &OsStr) {
        let absolute = target.as_bytes().strip_prefix(b"/");
        if let Some(path) = absolute {
            let from = places.get(index - 1).map_or(0, |place| place.layer + 1);
            places.truncate(index);
            let path = Path::new(OsStr::from_bytes(path));
            let below = |layer| Place { layer, path: path.to_owned() };
            places.extend((from..self.roots.len()).map(below));
        } else {
            for place in places.iter_mut().skip(index) {
                place.path.set_file_name(target);
            }
        }
    }

    /// A note of overlayfs; one that cannot be read counts as absent.
    fn note(&self, file: &OwnedFd, what: &str) -> Option<Vec<u8>> {
        let mut value = vec![0; 4096];
        let read = fgetxattr(file, self.notes.name(what), &mut value[..]).ok()?;
        value.truncate(read);
        Some(value)
    }

    /// Opens a place; a path may be longer than the kernel takes at once.
    fn open(&self, place: &Place, flags: OFlags) -> Result<OwnedFd, Errno> {
        let root = self.roots.get(place.layer).ok_or(Errno::NOENT)?;
        let all = parts(&place.path);
        let Some((last, before)) = all.split_last() else {
            return self.open_below(root.as_fd(), OsStr::new("."), flags);
        };
        let mut reached: Option<OwnedFd> = None;
        for part in before {
            let from = reached.as_ref().map_or(root.as_fd(), AsFd::as_fd);
            reached = Some(self.open_below(from, part, LOOK | OFlags::DIRECTORY)?);
        }
        let from = reached.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        self.open_below(from, last, flags)
    }

    fn open_below(
        &self,
        from: BorrowedFd<'_>,
        path: &OsStr,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        match (openat2(from, path, flags, Mode::empty(), INSIDE), self.opener) {
            (Err(Errno::ACCESS | Errno::PERM), Some(opener)) => opener(from, path, flags),
            // On the way to it is something else than a directory.
            (Err(Errno::NOTDIR | Errno::LOOP), _) if flags == LOOK => Err(Errno::NOENT),
            (opened, _) => opened,
        }
    }
}

/// How a path is looked up in a layer.
pub(crate) const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Place {
    fn child(&self, name: &OsStr) -> Self {
        Self { layer: self.layer, path: self.path.join(name) }
    }
}

impl Directory {
    /// Its parts in the uppermost layer of all, which is one or none, and in those below.
    pub(crate) fn split(&self) -> (&[Place], &[Place]) {
        let upper = self.parts.first().filter(|part| part.layer == 0);
        self.parts.split_at(usize::from(upper.is_some()))
    }
}
