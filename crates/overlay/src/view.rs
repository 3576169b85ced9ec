//! What the container will see at a path, as far as that can be known when the plan is made.
//!
//! Kernel objects: `O_PATH` descriptors of the root and of bind sources. Invariant: a look never leaves the tree that
//! it starts in (`RESOLVE_IN_ROOT`, openat2(2); in layers, component by component) and decides only *how* something is made: the steps resolve again.

use std::cell::OnceCell;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::file_system::FileSystem;
use crate::identity::{Seen, open_path};
use crate::merged::{Layers, Node, Notes};
use crate::mount::{CopyUp, Mount, MountKind};
use crate::root::{Base, Root};
use crate::situation::UserNamespace;
use crate::walk::walk;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// Something else.
    File,
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

/// What the container sees, as far as it is known.
pub(crate) struct View<'a> {
    fs: &'a FileSystem,
    notes: Notes,
    /// The root's layers, opened when they are first asked for.
    layers: OnceCell<Result<Layers<'static>, Errno>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(fs: &'a FileSystem, user_namespace: UserNamespace) -> Self {
        let notes = match user_namespace {
            UserNamespace::New => Notes::User,
            UserNamespace::Host => Notes::Trusted,
        };
        Self { fs, notes, layers: OnceCell::new() }
    }

    /// What the container sees at a path when the first `upto` mounts are there.
    pub(crate) fn look(&self, path: &Path, upto: usize) -> Found {
        let Some(index) = covering(&self.fs.mounts, path, upto) else {
            return self.look_in_root(path);
        };
        let mount = &self.fs.mounts[index];
        let path = normal(path);
        let rest = path.strip_prefix(&mount.target).unwrap_or(Path::new(""));
        match &mount.kind {
            MountKind::Bind { source, .. } => look_in(source, rest),
            MountKind::Proc { subset: Some(_), .. } if rest != Path::new("") => Found::Nothing,
            MountKind::Proc { .. } => look_in(Path::new("/proc"), rest),
            MountKind::Sysfs => look_in(Path::new("/sys"), rest),
            MountKind::Tmpfs { copy_up: CopyUp::Yes, .. } => self.look(&path, index),
            MountKind::Tmpfs { .. } if rest != Path::new("") => Found::Nothing,
            MountKind::Overlay { .. }
            | MountKind::Dev
            | MountKind::Cgroup
            | MountKind::FileSystem { .. } => Found::Unknown(None),
            _ => Found::Directory,
        }
    }

    /// As [`Self::look`], but a link is there although it leads nowhere.
    pub(crate) fn look_unfollowed(&self, path: &Path, upto: usize) -> Found {
        let found = self.look(path, upto);
        let nowhere = matches!(found, Found::Nothing | Found::Unknown(Some(Errno::LOOP)));
        let dir = match covering(&self.fs.mounts, path, upto).map(|at| &self.fs.mounts[at]) {
            None if self.fs.base == Base::Keep => Some((Path::new("/"), path)),
            None => None,
            Some(Mount { kind: MountKind::Bind { source, .. }, target, .. }) => {
                path.strip_prefix(target).ok().map(|rest| (source.as_path(), rest))
            }
            Some(_) => None,
        };
        match dir {
            Some((dir, rest)) if nowhere && has_link(dir, rest) => Found::File,
            _ => found,
        }
    }

    fn look_in_root(&self, path: &Path) -> Found {
        match (&self.fs.base, &self.fs.root) {
            (Base::Empty, _) => Found::Nothing,
            (Base::Keep, _) => look_in(Path::new("/"), path),
            (base, Root::Persistent(_)) if !base.layers().is_empty() => self.look_in_layers(path),
            (base, _) => match base.layers() {
                [] => Found::Nothing,
                [only] => look_in(only, path),
                _ => self.look_in_layers(path),
            },
        }
    }

    fn look_in_layers(&self, path: &Path) -> Found {
        let layers = match self.layers.get_or_init(|| self.open_layers()) {
            Ok(layers) => layers,
            Err(errno) => return Found::Unknown(Some(*errno)),
        };
        match walk(layers, path) {
            Ok(Node::Missing) => Found::Nothing,
            Ok(Node::Directory(_)) => Found::Directory,
            Ok(Node::Other { .. }) => Found::File,
            Err(failed) => Found::Unknown(Some(failed.errno)),
        }
    }

    /// The upper layer is not there before the first launch.
    fn open_layers(&self) -> Result<Layers<'static>, Errno> {
        let upper = match &self.fs.root {
            Root::Persistent(upper) => match open_path(upper) {
                Err(Errno::NOENT) => None,
                opened => Some(opened),
            },
            _ => None,
        };
        let lower = self.fs.base.layers().iter().map(|layer| open_path(layer));
        let roots = upper.into_iter().chain(lower).collect::<Result<_, _>>()?;
        Ok(Layers { roots, notes: self.notes, opener: None })
    }
}

/// What is below a directory of the host.
fn look_in(dir: &Path, path: &Path) -> Found {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if let Some(found) = look_straight(dir, path) {
        return found;
    }
    let dir = match open_path(dir) {
        Ok(dir) => dir,
        Err(errno) => return kind(Err(errno)),
    };
    if path == Path::new("") {
        return kind(Seen::look(dir));
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    kind(rustix::fs::openat2(&dir, path, flags, Mode::empty(), resolve).and_then(Seen::look))
}

/// Whether a link is at a path below a directory of the host.
fn has_link(dir: &Path, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = open_path(dir)
        .and_then(|dir| rustix::fs::openat2(&dir, path, flags, Mode::empty(), resolve));
    opened.and_then(Seen::look).is_ok_and(|seen| seen.kind == FileType::Symlink)
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
        // A whiteout of overlayfs.
        Ok((FileType::CharacterDevice, (0, 0))) => Found::Nothing,
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
        let view = View::new(&fs, UserNamespace::Host);
        assert_eq!(view.look(Path::new("/usr/bin"), 3), Found::Directory);
        assert_eq!(view.look(Path::new("/proc/version"), 3), Found::File);
        assert_eq!(view.look(Path::new("/proc/nothing"), 3), Found::Nothing);
        assert_eq!(view.look(Path::new("/usr/tmp/x"), 3), Found::Nothing);
    }
}
