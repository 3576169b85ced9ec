//! What a layer removes from those below it.
//!
//! Kernel objects: devices 0:0 and the opaque attribute, or the removed files themselves. See
//! Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories", and the layer
//! chapter of the OCI image specification. Invariant: a whiteout never touches what its own layer
//! brings, in whatever order they come.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, Stat, XattrFlags};
use rustix::io::Errno;

use super::layer::{Layer, file_type, is_absent};
use crate::unpack::name::Name;
use crate::unpack::options::Whiteouts;
use crate::unpack::trouble::Trouble;

/// The paths that a layer brings, as hashes: eight bytes each, however long they are. The key is
/// random, so that nobody can choose paths that collide.
#[derive(Default)]
pub(super) struct Touched<S> {
    hashes: HashSet<u64>,
    key: S,
}

impl<S: BuildHasher> Touched<S> {
    fn contains(&self, path: &[u8]) -> bool {
        self.hashes.contains(&self.key.hash_one(path))
    }

    /// Adds a path and every directory above it.
    fn insert(&mut self, mut path: &[u8]) {
        while !path.is_empty() && self.hashes.insert(self.key.hash_one(path)) {
            let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            (path, _) = path.split_at(slash);
        }
    }
}

/// Whether a file is how an overlay writes a whiteout.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

impl Layer<'_> {
    /// Notes that the layer brings `path`; only a layer that is applied needs to know.
    pub(super) fn touch(&mut self, path: &[u8]) {
        if self.options.whiteouts == Whiteouts::Applied {
            self.touched.insert(path);
        }
    }

    /// Whatever lower layers call `name` is gone.
    pub(super) fn whiteout(&mut self, name: &Name) -> Result<(), Trouble> {
        self.counts.whiteouts += 1;
        if self.options.whiteouts == Whiteouts::Applied {
            return self.apply_whiteout(name);
        }
        let (parent, last) = name.split();
        self.ensure(parent)?;
        let at = self.directories.get(parent)?;
        match fs::mknodat(at, last, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            // What the layer brings hides files by itself; a directory would be merged.
            Err(Errno::EXIST) if file_type(at, last)? == FileType::Directory => {
                let path = name.as_bytes().to_vec();
                self.directories.get(&path)?;
                self.opaque_xattr(&path)
            }
            Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Trouble::System("mknodat", errno)),
        }
    }

    fn apply_whiteout(&mut self, name: &Name) -> Result<(), Trouble> {
        let (parent, last) = name.split();
        let at = match self.directories.get(parent) {
            Ok(at) => at,
            Err(Trouble::System("openat2", Errno::NOENT)) => return Ok(()),
            Err(trouble) if is_absent(&trouble) => return Err(Trouble::ParentNotDirectory),
            Err(trouble) => return Err(trouble),
        };
        if !self.touched.contains(name.as_bytes()) {
            return self.remove(name.as_bytes());
        }
        match fs::statat(at, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                self.purge(name.as_bytes())
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Trouble::System("fstatat", errno)),
        }
    }

    /// Whatever lower layers have in the directory `path` is gone.
    pub(super) fn opaque(&mut self, path: &[u8]) -> Result<(), Trouble> {
        self.counts.whiteouts += 1;
        self.counts.root_opaque |= path.is_empty();
        self.ensure(path)?;
        if self.options.whiteouts == Whiteouts::Applied {
            self.touch(path);
            return self.purge(path);
        }
        // Overlays do not look at the root's attribute; whoever stacks the layers has to.
        if path.is_empty() { Ok(()) } else { self.opaque_xattr(path) }
    }

    fn opaque_xattr(&mut self, path: &[u8]) -> Result<(), Trouble> {
        let whiteouts = self.options.whiteouts;
        set_opaque(self.directories.get(path)?, whiteouts)
    }

    /// For a directory in the place of something else: what lower layers have there stays hidden.
    pub(super) fn mark_opaque(&self, directory: BorrowedFd<'_>) -> Result<(), Trouble> {
        set_opaque(directory, self.options.whiteouts)
    }

    /// Removes what the layer did not bring; goes no deeper than names may.
    fn purge(&mut self, path: &[u8]) -> Result<(), Trouble> {
        let directory = self.directories.get(path)?;
        let mut entries = Dir::read_from(directory).map_err(Trouble::of("getdents64"))?;
        while let Some(entry) = entries.read() {
            let entry = entry.map_err(Trouble::of("getdents64"))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let inside = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
            let at = self.directories.get(path)?;
            if !self.touched.contains(&inside) {
                self.remove(&inside)?;
            } else if file_type(at, name)? == FileType::Directory {
                self.purge(&inside)?;
            }
        }
        Ok(())
    }
}

fn set_opaque(directory: BorrowedFd<'_>, whiteouts: Whiteouts) -> Result<(), Trouble> {
    let names: &[&str] = match whiteouts {
        Whiteouts::Trusted => &["trusted.overlay.opaque"],
        Whiteouts::User => &["user.overlay.opaque"],
        // An overlay looks at one of them and not at the other, and would show what the layer hides.
        Whiteouts::Both => &["trusted.overlay.opaque", "user.overlay.opaque"],
        Whiteouts::Applied => &[],
    };
    for name in names {
        let set = fs::fsetxattr(directory, *name, b"y", XattrFlags::empty());
        set.map_err(Trouble::of("fsetxattr"))?;
    }
    Ok(())
}
