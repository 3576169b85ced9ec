//! The root itself, attached on top of the old one.
//!
//! Kernel objects: a tmpfs, a bind mount or an overlay. Invariant: device nodes of a root directory cannot be opened;
//! a read-only root directory is changed by nothing, and lies under an overlay where it lacks what must be in it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ampoule_init::steps::{file, mount, process};

use super::source::Manner;
use super::staging::SMALL;
use super::{Assembly, O_PATH};
use crate::error::{ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::identity::Seen;
use crate::mount::{Depth, IdMapped};
use crate::mountinfo::HostRoot;
use crate::propagation::Propagation;
use crate::root::{Base, Root};
use crate::view::{self, Found};

impl Assembly<'_> {
    /// Puts a copy of the old root over itself where pivot_root(2) cannot move it.
    ///
    /// The rootfs of an initramfs has no parent; a recursive copy of it, entered by chroot(2), has one. What is under
    /// it stays, out of reach.
    pub(super) fn make_root_movable(&mut self) {
        match self.host.host_root() {
            // Its mount events cannot be cut off from the host's: only a mount's root takes a propagation.
            HostRoot::NoMount => self.problems.push(Problem::new(ErrorKind::RootNotMount, "/")),
            HostRoot::Fixed if self.fs.base != Base::Keep => self.cover_old_root(),
            HostRoot::Fixed | HostRoot::Movable => {}
        }
    }

    fn cover_old_root(&mut self) {
        let copy = self.take();
        let everything = mount::Depth::Recursive;
        self.build.push(mount::open_tree(ampoule_init::Fd::Cwd, c"/", everything, copy));
        self.build.push(mount::attach_at(copy.into(), c"/"));
        self.build.push(process::fchdir(copy.into()));
        self.build.push(process::chroot_here());
        self.close(copy);
    }

    /// Makes the root.
    pub(super) fn make_root(&mut self) {
        match &self.fs.base {
            Base::Keep => {
                let root = self.root;
                self.build.push(file::open(ampoule_init::Fd::Cwd, c"/", O_PATH, 0, root));
                return;
            }
            Base::Empty => self.empty_root(),
            base if self.root_is_overlay() => self.layered_root(base.layers()),
            base => base.layers().iter().for_each(|path| self.bound_root(path)),
        }
        self.build.push(mount::attach_at(self.root.into(), c"/"));
    }

    fn empty_root(&mut self) {
        let size = match self.fs.root {
            Root::Ephemeral { size } => size,
            _ => SMALL.saturating_add(self.file_bytes()),
        };
        let options = [(c"size", Some(size.to_string())), (c"mode", Some("0755".to_owned()))];
        let attributes = (MountFlags::NOSUID | MountFlags::NODEV).bits();
        self.root = self.new_file_system(c"tmpfs", &options, attributes);
        if self.fs.root == Root::ReadOnly {
            self.seal_read_only(self.root);
        }
    }

    fn layered_root(&mut self, layers: &[PathBuf]) {
        let unusable = layers.iter().filter(|layer| self.check_root(layer).is_none()).count();
        let Some(uppermost) = layers.first().filter(|_| unusable == 0) else {
            return;
        };
        let lower = self.lower_trees(layers);
        let upper = self.root_upper(Self::mode_of(uppermost));
        self.root = self.overlay(lower, &upper, MountFlags::NODEV);
        if self.fs.root == Root::ReadOnly {
            self.seal_read_only(self.root);
        }
    }

    fn bound_root(&mut self, base: &Path) {
        let Some(seen) = self.check_root(base) else {
            return;
        };
        let read_only = match self.fs.root {
            Root::ReadOnly => MountFlags::RDONLY,
            _ => MountFlags::empty(),
        };
        let own = Manner::own(Depth::Recursive, MountFlags::NODEV | read_only);
        let (propagation, idmapped) = (self.propagation(), self.mapping_of(base));
        self.root = self.copy(base, seen, Manner { propagation, idmapped, ..own });
    }

    /// A directory that belongs to the container's user 0 on disk would be nobody's if it were mapped again.
    fn mapping_of(&self, base: &Path) -> IdMapped {
        let owner = std::fs::metadata(base).map(|seen| (seen.uid(), seen.gid()));
        match self.situation.root_ids {
            Some(ids) if owner.is_ok_and(|owner| owner == ids) => IdMapped::No,
            _ => IdMapped::Container,
        }
    }

    fn check_root(&mut self, base: &Path) -> Option<Seen> {
        match Seen::directory(base) {
            Err(problem) if problem.kind() == ErrorKind::SourceNotDirectory => {
                self.problems.push(Problem::new(ErrorKind::RootNotDirectory, base));
                None
            }
            other => self.note(other),
        }
    }

    /// Whether these steps may write to the root as they like.
    pub(super) fn root_is_disposable(&self) -> bool {
        match (&self.fs.base, &self.fs.root) {
            (Base::Keep, _) => false,
            (Base::Empty, _) | (_, Root::Ephemeral { .. }) => true,
            // Without an upper layer nothing can be made in it, and everything is there.
            (_, Root::ReadOnly) => self.root_lacks_something(),
            _ => false,
        }
    }

    /// Whether something must be made in the root directory itself.
    pub(super) fn root_lacks_something(&self) -> bool {
        let mounts = &self.fs.mounts;
        let lacks = |path: &Path, upto: usize| {
            let in_root = view::covering(mounts, path, upto).is_none();
            in_root && self.view.look(path, upto) == Found::Nothing
        };
        let all = mounts.len();
        mounts.iter().enumerate().any(|(index, mount)| lacks(&mount.target, index))
            || self.fs.files.iter().any(|file| lacks(&file.path, all))
            || self.fs.nodes.iter().any(|node| lacks(&node.path, all))
            || self.fs.links.iter().any(|link| view::covering(mounts, &link.path, all).is_none())
    }

    /// How mounts of the container spread, where a mount itself does not say.
    pub(super) fn propagation(&self) -> Propagation {
        match self.fs.propagation {
            // A copy must not be in the host's peer group only because the root is shared inside.
            Propagation::Shared => Propagation::Slave,
            other => other,
        }
    }
}
