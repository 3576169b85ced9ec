//! Files and links of the settings.
//!
//! Kernel objects: files in the root or in a tmpfs, else bind mounts from the staging directory. Invariant: bytes are
//! written only to file systems that these steps made, before anything else is mounted in them.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

use ampoule_init::steps::{file, mount};
use ampoule_init::{Slot, Step};

use super::mounts::Shape;
use super::{Assembly, IN_ROOT, S_IFDIR};
use crate::error::{ErrorKind, Problem};
use crate::file::File;
use crate::flags::MountFlags;
use crate::mount::MountKind;
use crate::propagation::Propagation;
use crate::root::Base;
use crate::target::{Target, text};
use crate::view::{self, Found};

/// `O_WRONLY | O_NOFOLLOW`.
const WRITE: u64 = rustix::fs::OFlags::WRONLY.union(rustix::fs::OFlags::NOFOLLOW).bits() as u64;

/// Where a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// Into the root.
    Root,
    /// Into the tmpfs of this position.
    Tmpfs(usize),
    /// Over what is there, as a bind mount.
    Bound,
}

impl Assembly<'_> {
    fn ground(&self, path: &Path) -> Ground {
        let mounts = &self.fs.mounts;
        match view::covering(mounts, path, mounts.len()) {
            None if self.root_is_disposable() => Ground::Root,
            None => Ground::Bound,
            Some(index) => {
                let itself = Target::new(path).ok().map(|target| target.path().to_owned());
                let exactly = itself == Target::new(&mounts[index].target).ok().map(to_path);
                match mounts[index].kind {
                    MountKind::Tmpfs { .. } if !exactly => Ground::Tmpfs(index),
                    _ => Ground::Bound,
                }
            }
        }
    }

    /// The files that count: the last one of each path.
    fn files(&self, wanted: Ground) -> Vec<File> {
        let files = &self.fs.files;
        let counts = |(index, file): &(usize, &File)| {
            let again = files[index + 1..].iter().any(|later| later.path == file.path);
            !again && self.ground(&file.path) == wanted
        };
        files.iter().enumerate().filter(counts).map(|(_, file)| file.clone()).collect()
    }

    pub(super) fn has_bound_files(&self) -> bool {
        self.fs.files.iter().any(|file| self.ground(&file.path) == Ground::Bound)
    }

    /// Writes what belongs into the root itself.
    pub(super) fn write_root_files(&mut self) {
        let fs = self.fs;
        for link in &fs.links {
            // A link is never bound: where the root is not disposable it is made in it.
            if view::covering(&fs.mounts, &link.path, fs.mounts.len()).is_none() {
                self.make_link(self.root, &link.path, &link.target);
            }
        }
        for file in self.files(Ground::Root) {
            self.write_file(self.root, &file.path, &file);
            self.keep_open(self.root, &file.path, &file.path);
        }
    }

    /// Writes what belongs into a tmpfs, which is attached and empty.
    pub(super) fn write_mount_files(&mut self, index: usize, made: Slot) {
        let fs = self.fs;
        let target = &fs.mounts[index].target;
        for file in self.files(Ground::Tmpfs(index)) {
            let path = inside(target, &file.path);
            self.write_file(made, &path, &file);
            self.keep_open(made, &path, &file.path);
        }
        for link in &fs.links {
            if self.ground(&link.path) == Ground::Tmpfs(index) {
                self.make_link(made, &inside(target, &link.path), &link.target);
            }
        }
    }

    fn write_file(&mut self, top: Slot, path: &Path, file: &File) {
        self.replace(top, path, |parent, name| {
            file::write_new(parent.into(), name, file.mode & 0o7777, &file.bytes)
        });
    }

    fn make_link(&mut self, top: Slot, path: &Path, says: &Path) {
        self.replace(top, path, |parent, name| file::symlink(&text(says), parent.into(), name));
    }

    /// Makes the directories of a path, removes what is there, and makes something new.
    fn replace(&mut self, top: Slot, path: &Path, make: impl Fn(Slot, &CStr) -> Step) {
        let Ok(target) = Target::new(path) else {
            return;
        };
        let parent = target.parent().map(|parent| {
            let slot = self.take();
            self.build.push(mount::target(top.into(), &text(parent), S_IFDIR | 0o755, slot));
            slot
        });
        let (dir, name) = (parent.unwrap_or(top), text(target.name()));
        self.build.push(file::unlink(dir.into(), &name));
        self.build.push(make(dir, &name));
        if let Some(parent) = parent {
            self.close(parent);
        }
    }

    /// Makes the directories of the settings; links in their paths lead nowhere but inside the root.
    pub(super) fn make_directories(&mut self) {
        for path in &self.fs.directories {
            let Ok(target) = Target::new(path) else { continue };
            let made = self.take();
            let step = mount::target(self.root.into(), &text(target.path()), S_IFDIR | 0o755, made);
            self.build.push(step);
            self.close(made);
        }
    }

    /// Binds, read-only, what cannot be written where it belongs.
    pub(super) fn bind_files(&mut self) {
        for file in self.files(Ground::Bound) {
            self.check_bound(&file.path);
            let (tree, name) = self.staged_file(&file.bytes, file.mode & 0o7777);
            if self.stays_open(&file.path) {
                self.open_for_writing(self.staging(), &name);
            }
            self.cover(tree, &file.path);
            self.close(tree);
        }
        self.refuse_links_on_mounts();
    }

    /// Attaches a file over whatever is at a path. A link there is not followed: the mount lies on the link itself.
    fn cover(&mut self, tree: Slot, path: &Path) {
        let (slot, mode) = (self.take(), Shape::File.mode());
        let covered = mount::target_unfollowed(self.root.into(), &text(path), mode, slot);
        self.build.extend([covered, mount::attach(tree.into(), slot.into())]);
        self.close(slot);
    }

    fn stays_open(&self, path: &Path) -> bool {
        self.fs.open_file.as_deref() == Some(path)
    }

    /// Keeps a file open that is written to later, if it is that one: through a mount of its own, because one with such
    /// a file cannot become read-only (`EBUSY`).
    fn keep_open(&mut self, top: Slot, path: &Path, named: &Path) {
        if self.stays_open(named) {
            let copy = self.take();
            self.build.push(mount::open_tree(top.into(), c"", mount::Depth::One, copy));
            self.open_for_writing(copy, &text(path));
            self.close(copy);
        }
    }

    fn open_for_writing(&mut self, top: Slot, path: &CStr) {
        let kept = self.draft.slots.take();
        self.build.push(file::open(top.into(), path, WRITE, IN_ROOT, kept));
        self.open_file = Some(kept);
    }

    /// A detached read-only mount of a file in the staging directory, and the file's name there.
    pub(super) fn staged_file(&mut self, bytes: &[u8], mode: u32) -> (Slot, CString) {
        let name = self.staging_name("f");
        let staging = self.staging();
        self.build.push(file::write_new(staging.into(), &name, mode, bytes));
        let tree = self.take();
        self.build.push(mount::open_tree(staging.into(), &name, mount::Depth::One, tree));
        let set = MountFlags::LOCKED_DOWN.bits();
        let propagation = Propagation::Private.bits();
        self.change(tree, mount::Attributes { set, clear: 0, propagation });
        (tree, name)
    }

    /// A file over a read-only mount needs something to stand on.
    fn check_bound(&mut self, path: &Path) {
        let mounts = &self.fs.mounts;
        let read_only = match view::covering(mounts, path, mounts.len()) {
            None => self.fs.base == Base::Keep,
            Some(index) => mounts[index].all_flags().contains(MountFlags::RDONLY),
        };
        if read_only && self.view.look_unfollowed(path, mounts.len()) == Found::Nothing {
            self.problems.push(Problem::new(ErrorKind::TargetMissing, path));
        }
    }

    /// A link cannot be made in a mount that is not ours.
    fn refuse_links_on_mounts(&mut self) {
        for link in &self.fs.links {
            let covered = view::covering(&self.fs.mounts, &link.path, self.fs.mounts.len());
            let ours = covered.is_none() && self.fs.base != Base::Keep;
            if !ours && self.ground(&link.path) == Ground::Bound {
                self.problems.push(Problem::new(ErrorKind::LinkOnMount, &link.path));
            }
        }
    }
}

/// A path as seen from a mount on the way to it.
fn inside(target: &Path, path: &Path) -> PathBuf {
    let target: PathBuf = target.components().collect();
    let path: PathBuf = path.components().collect();
    Path::new("/").join(path.strip_prefix(&target).unwrap_or(&path))
}

fn to_path(target: Target) -> PathBuf {
    target.path().to_owned()
}
