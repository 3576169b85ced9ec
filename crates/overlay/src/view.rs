//! What the container will see at a path, as far as that can be known when the plan is made.
//!
//! Kernel objects: `O_PATH` descriptors of the root and of bind sources. Invariant: a look never leaves the tree that
//! it starts in (`RESOLVE_IN_ROOT`, openat2(2)) and decides only *how* something is made: the steps resolve again.

use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::file_system::FileSystem;
use crate::identity::Seen;
use crate::mount::{CopyUp, Mount, MountKind};
use crate::root::{Base, Root};

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// Something else.
    File,
    /// A whiteout of overlayfs.
    Removed,
    /// It cannot be known, or not be looked at.
    Unknown(Option<Errno>),
}

/// The mount that a path lies in, literally: the last one whose target is a prefix, among the first `upto`.
pub(crate) fn covering(mounts: &[Mount], path: &Path, upto: usize) -> Option<usize> {
    // A comparison of components: `.` and empty ones do not count.
    let covers = |mount: &Mount| path.starts_with(&mount.target);
    mounts.iter().take(upto).rposition(covers)
}

/// A path without `.` and empty components.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

/// What the container sees at a path when the first `upto` mounts are there.
pub(crate) fn look(fs: &FileSystem, path: &Path, upto: usize) -> Found {
    let Some(index) = covering(&fs.mounts, path, upto) else {
        return look_in_root(&fs.base, &fs.root, path);
    };
    let mount = &fs.mounts[index];
    let path = normal(path);
    let rest = path.strip_prefix(&mount.target).unwrap_or(Path::new(""));
    match &mount.kind {
        MountKind::Bind { source, .. } => look_in(source, rest),
        MountKind::Proc { subset: Some(_), .. } if rest != Path::new("") => Found::Nothing,
        MountKind::Proc { .. } => look_in(Path::new("/proc"), rest),
        MountKind::Sysfs => look_in(Path::new("/sys"), rest),
        MountKind::Tmpfs { copy_up: CopyUp::Yes, .. } => look(fs, &path, index),
        MountKind::Tmpfs { .. } if rest != Path::new("") => Found::Nothing,
        MountKind::Overlay { .. } | MountKind::Dev | MountKind::Cgroup => Found::Unknown(None),
        _ => Found::Directory,
    }
}

fn look_in_root(base: &Base, root: &Root, path: &Path) -> Found {
    let base = match base {
        Base::Empty => return Found::Nothing,
        Base::Directory(base) => base.as_path(),
        Base::Keep => Path::new("/"),
    };
    let kept = match root {
        Root::Persistent(upper) => look_in(upper, path),
        _ => Found::Nothing,
    };
    match kept {
        // Not in the upper layer, or under a link into the lower one.
        Found::Nothing => look_in(base, path),
        // The directory that it was in is a whiteout now, or a file.
        Found::Removed | Found::Unknown(Some(Errno::NOTDIR)) => Found::Nothing,
        kept => kept,
    }
}

/// What is below a directory of the host.
fn look_in(dir: &Path, path: &Path) -> Found {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if let Some(found) = look_straight(dir, path) {
        return found;
    }
    let dir = match rustix::fs::openat(CWD, dir, flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(errno) => return kind(Err(errno)),
    };
    if path == Path::new("") {
        return kind(Seen::look(dir));
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    kind(rustix::fs::openat2(&dir, path, flags, Mode::empty(), resolve).and_then(Seen::look))
}

/// The same in one call, where no link and no `..` is on the way: nearly always.
fn look_straight(dir: &Path, path: &Path) -> Option<Found> {
    let leaves = |component| component == Component::ParentDir;
    let path = path.strip_prefix("/").unwrap_or(path);
    if path == Path::new("") || path.components().any(leaves) {
        return None;
    }
    let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_SYMLINKS);
    match rustix::fs::openat2(CWD, dir.join(path), flags, Mode::empty(), resolve) {
        Ok(found) => Some(kind(Seen::look(found))),
        Err(Errno::NOENT) => Some(Found::Nothing),
        Err(_) => None,
    }
}

fn kind(seen: Result<Seen, Errno>) -> Found {
    match seen.map(|seen| (seen.kind, seen.device)) {
        Ok((FileType::Directory, _)) => Found::Directory,
        Ok((FileType::CharacterDevice, (0, 0))) => Found::Removed,
        Ok(_) => Found::File,
        Err(Errno::NOENT) => Found::Nothing,
        Err(errno) => Found::Unknown(Some(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_mount_counts() {
        let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
        fs.mounts = vec![Mount::proc(), Mount::bind("/usr", "/usr"), Mount::tmpfs("/usr/tmp", 1)];
        assert_eq!(covering(&fs.mounts, Path::new("/usr//tmp/x"), 3), Some(2));
        assert_eq!(covering(&fs.mounts, Path::new("/usr/tmp/x"), 2), Some(1));
        assert_eq!(covering(&fs.mounts, Path::new("/usrx"), 3), None);
        assert_eq!(look(&fs, Path::new("/usr/bin"), 3), Found::Directory);
        assert_eq!(look(&fs, Path::new("/proc/version"), 3), Found::File);
        assert_eq!(look(&fs, Path::new("/proc/nothing"), 3), Found::Nothing);
        assert_eq!(look(&fs, Path::new("/usr/tmp/x"), 3), Found::Nothing);
    }
}
