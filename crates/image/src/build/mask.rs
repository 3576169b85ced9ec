//! What a build ignores, hidden in a bind mount of its directory.
//!
//! Kernel objects: directories with whiteouts, in the store's `pending/`, for an overlay (kernel document
//! filesystems/overlayfs). Invariant: the build's directory is not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, Stat, Uid};

use super::gather::{Found, Origin};
use super::trouble::{Trouble, call};
use crate::containerfile::Ignore;
use crate::error::Error;

/// A layer that hides files.
#[derive(Debug, Default)]
pub(super) struct Mask {
    hidden: Vec<PathBuf>,
    /// Mode and owner of each directory on the way, parents first.
    ways: BTreeMap<PathBuf, (u32, u32, u32)>,
}

impl Mask {
    /// What of a directory is not among what was found in it.
    pub(super) fn of(origin: &Origin<'_>, path: &Path, found: &Found) -> Result<Self, Trouble> {
        let nothing = Ignore::default();
        let whole = Origin { ignore: &nothing, exclude: Vec::new(), ..*origin };
        let Some(all) = whole.look(path)?.filter(|all| all.is_directory) else {
            return Ok(Self::default());
        };
        let kept: BTreeSet<&Path> = found.entries.iter().map(|entry| &*entry.below).collect();
        let is_top = |path: &Path| path.parent().is_some_and(|parent| kept.contains(parent));
        let hidden = all.entries.iter().map(|entry| &entry.below);
        let hidden: Vec<PathBuf> =
            hidden.filter(|path| !kept.contains(&***path) && is_top(path)).cloned().collect();
        let is_way = |path: &Path| hidden.iter().any(|hidden| hidden.starts_with(path));
        let nature = |stat: &Stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
        let ways = found.entries.iter().filter(|entry| entry.kind == FileType::Directory);
        let ways = ways.filter(|entry| is_way(&entry.below));
        let ways = ways.map(|entry| (entry.below.clone(), nature(&entry.stat))).collect();
        Ok(Self { hidden, ways })
    }

    /// Whether nothing is hidden.
    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Makes it as a directory.
    pub(super) fn make(&self, directory: &Path) -> Result<(), Trouble> {
        for way in self.ways.keys() {
            let path = directory.join(way);
            std::fs::create_dir(&path).map_err(|error| Error::io("mkdir", &path, &error))?;
        }
        for hidden in &self.hidden {
            let path = directory.join(hidden);
            rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(call("mknodat", &path))?;
        }
        let is_root = rustix::process::geteuid().is_root();
        for (way, &(mode, uid, gid)) in self.ways.iter().rev() {
            let path = directory.join(way);
            if is_root {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                rustix::fs::chown(&path, Some(uid), Some(gid)).map_err(call("chown", &path))?;
            }
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode)).map_err(call("chmod", &path))?;
        }
        Ok(())
    }
}
