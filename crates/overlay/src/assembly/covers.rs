//! Masked and read-only paths.
//!
//! Kernel objects: bind mounts of our `/dev/null`, of one empty tmpfs, and of paths on themselves. Invariant: a path
//! that the plan saw is covered, or the launch fails; one that it did not see is left out.

use std::path::{Path, PathBuf};

use ampoule_init::Slot;
use ampoule_init::steps::mount;

use super::{Assembly, set_one};
use crate::error::{ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::propagation::Propagation;
use crate::view::Found;

impl Assembly<'_> {
    /// Makes paths read-only, with all below them.
    pub(super) fn protect(&mut self) {
        for path in self.there(&self.fs.read_only) {
            let found = self.open_inside(self.root, &path.0);
            let tree = self.take();
            let everything = mount::Depth::Recursive;
            self.build.push(mount::open_tree(found.into(), c"", everything, tree));
            let attributes = cover(MountFlags::RDONLY);
            self.build.push(mount::set_attributes(tree.into(), c"", everything, attributes));
            self.build.push(mount::attach(tree.into(), found.into()));
            self.close(tree);
            self.close(found);
        }
    }

    /// Hides the content of paths.
    pub(super) fn mask(&mut self) {
        let (files, directories): (Vec<_>, Vec<_>) =
            self.there(&self.fs.masked).into_iter().partition(|(_, found)| *found == Found::File);
        self.mask_files(&files);
        self.mask_directories(&directories);
    }

    fn mask_files(&mut self, files: &[(PathBuf, Found)]) {
        for (path, _) in files {
            let found = self.open_inside(self.root, path);
            let tree = match self.dev_null {
                Some(null) => self.clone_of(null, cover(MountFlags::RDONLY)),
                None => self.staged_file(b"", 0o444).0,
            };
            self.build.push(mount::attach(tree.into(), found.into()));
            self.close(tree);
            self.close(found);
        }
    }

    fn mask_directories(&mut self, directories: &[(PathBuf, Found)]) {
        let mut empty: Option<Slot> = None;
        for (path, _) in directories {
            let found = self.open_inside(self.root, path);
            match empty {
                // One file system for all; a copy needs the first one attached (before Linux 6.15).
                Some(first) => {
                    let tree = self.clone_of(first, cover(MountFlags::RDONLY));
                    self.build.push(mount::attach(tree.into(), found.into()));
                    self.close(tree);
                }
                None => {
                    let flags = MountFlags::DATA | MountFlags::RDONLY;
                    let first = self.tmpfs(4096, 0o555, flags.bits());
                    self.build.push(mount::attach(first.into(), found.into()));
                    empty = Some(first);
                }
            }
            self.close(found);
        }
        if let Some(first) = empty {
            self.close(first);
        }
    }

    fn clone_of(&mut self, made: Slot, attributes: mount::Attributes) -> Slot {
        let tree = self.take();
        self.build.push(mount::open_tree(made.into(), c"", mount::Depth::One, tree));
        self.build.push(set_one(tree, attributes));
        tree
    }

    /// The paths that are there, each once; one that cannot be looked at is a problem.
    fn there(&mut self, paths: &[PathBuf]) -> Vec<(PathBuf, Found)> {
        let upto = self.fs.mounts.len();
        let mut there: Vec<(PathBuf, Found)> = Vec::with_capacity(paths.len());
        for path in paths {
            let found = self.view.look(path, upto);
            let known = there.iter().any(|(other, _)| other == path);
            match found {
                Found::Nothing => {}
                Found::Unknown(errno) => self.unknown(path, errno),
                _ if known => {}
                _ => there.push((path.clone(), found)),
            }
        }
        there
    }

    fn unknown(&mut self, path: &Path, errno: Option<rustix::io::Errno>) {
        let problem = Problem::new(ErrorKind::TargetUnusable, path);
        self.problems.push(errno.map_or(problem.clone(), |errno| problem.with(errno)));
    }
}

/// Attributes of a cover: private, so that nothing else can be mounted over it elsewhere.
fn cover(flags: MountFlags) -> mount::Attributes {
    let propagation = Propagation::Private.bits();
    mount::Attributes { set: flags.bits(), clear: 0, propagation }
}
