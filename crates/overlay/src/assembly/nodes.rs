//! Device nodes of the settings.
//!
//! Kernel objects: device nodes, FIFOs, bind mounts of them. Invariant: a node is made in a tmpfs that these steps made,
//! or mounted over its path; nothing is made in a directory of the host but an empty file under it.

use std::path::Path;

use ampoule_init::Slot;
use ampoule_init::steps::{file, mount};

use super::mounts::Shape;
use super::{Assembly, S_IFDIR};
use crate::error::{ErrorKind, Problem};
use crate::file_system::Console;
use crate::flags::MountFlags;
use crate::mount::MountKind;
use crate::node::{Node, NodeKind};
use crate::propagation::Propagation;
use crate::target::{Target, text};
use crate::view::{self, Found};

const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

impl Assembly<'_> {
    /// Makes the nodes, each where nothing but an older node of that name can be.
    pub(super) fn make_nodes(&mut self) {
        let fs = self.fs;
        for node in &fs.nodes {
            let Ok(target) = Target::new(&node.path) else { continue };
            match view::covering(&fs.mounts, &node.path, fs.mounts.len())
                .map(|at| &fs.mounts[at].kind)
            {
                Some(MountKind::Bind { .. }) => {
                    self.problems.push(Problem::new(ErrorKind::NodeOnMount, &node.path));
                }
                _ if !self.makes(node.kind) => self.bind_node(node),
                Some(MountKind::Tmpfs { .. } | MountKind::Dev) => self.make_node(node, &target),
                _ => self.mount_node(node),
            }
        }
    }

    /// What a terminal is mounted on; nothing is made in a directory of the host.
    pub(super) fn make_console(&mut self) {
        let path = Path::new("/dev/console");
        let count = self.fs.mounts.len();
        let covering = view::covering(&self.fs.mounts, path, count);
        let is_hosts =
            covering.is_some_and(|at| matches!(self.fs.mounts[at].kind, MountKind::Bind { .. }));
        let missing = is_hosts && self.view.look(path, count) == Found::Nothing;
        if self.fs.console == Console::Absent || missing {
            return;
        }
        // Not one of the slots that are used again: it is used after the root is sealed.
        let slot = self.draft.slots.take();
        self.build.push(mount::target(self.root.into(), &text(path), Shape::File.mode(), slot));
        self.console = Some(slot);
    }

    /// Whether one of the nodes takes the staging tmpfs.
    pub(super) fn has_mounted_nodes(&self) -> bool {
        let fs = self.fs;
        let elsewhere = |node: &&Node| {
            let covering = view::covering(&fs.mounts, &node.path, fs.mounts.len());
            let kind = covering.map(|at| &fs.mounts[at].kind);
            !matches!(kind, Some(MountKind::Tmpfs { .. } | MountKind::Dev | MountKind::Bind { .. }))
        };
        fs.nodes.iter().filter(elsewhere).any(|node| self.makes(node.kind))
    }

    /// Whether the first process can make it so that it can be opened.
    fn makes(&self, kind: NodeKind) -> bool {
        kind == NodeKind::Fifo || self.situation.is_privileged()
    }

    /// In a tmpfs of the container.
    fn make_node(&mut self, node: &Node, target: &Target) {
        let parent = target.parent().map(|parent| {
            let slot = self.take();
            let step = mount::target(self.root.into(), &text(parent), S_IFDIR | 0o755, slot);
            self.build.push(step);
            slot
        });
        let (dir, name) = (parent.unwrap_or(self.root), text(target.name()));
        self.build.push(file::unlink(dir.into(), &name));
        self.node_in(dir, &name, node);
        if let Some(parent) = parent {
            self.close(parent);
        }
    }

    /// In the staging directory, mounted over its path.
    fn mount_node(&mut self, node: &Node) {
        let name = self.staging_name("n");
        let staging = self.staging();
        self.node_in(staging, &name, node);
        let tree = self.take();
        self.build.push(mount::open_tree(staging.into(), &name, mount::Depth::One, tree));
        let (set, clear) = (MountFlags::NOSUID.bits(), MountFlags::NODEV.bits());
        let propagation = Propagation::Private.bits();
        self.change(tree, mount::Attributes { set, clear, propagation });
        self.attach_in_root(tree, &node.path, Shape::File);
        self.close(tree);
    }

    /// The host's, where the kernel lets nobody else make one.
    fn bind_node(&mut self, node: &Node) {
        let tree = self.copy_device(&node.path, node.kind);
        self.attach_in_root(tree, &node.path, Shape::File);
        self.close(tree);
    }

    fn node_in(&mut self, dir: Slot, name: &std::ffi::CStr, node: &Node) {
        let (kind, number) = match node.kind {
            NodeKind::Char { major, minor } => (S_IFCHR, (major, minor)),
            NodeKind::Block { major, minor } => (S_IFBLK, (major, minor)),
            NodeKind::Fifo => (S_IFIFO, (0, 0)),
        };
        let mode = kind | (node.mode & 0o7777);
        self.build.push(file::make_node(dir.into(), name, mode, number));
        if (node.uid, node.gid) != (0, 0) {
            self.build.push(file::chown(dir.into(), name, node.uid, node.gid));
        }
    }

    /// Whether a node of the host stands for one of the container's.
    pub(super) fn is_node(seen: &crate::identity::Seen, kind: NodeKind) -> bool {
        let found = match kind {
            NodeKind::Char { .. } => rustix::fs::FileType::CharacterDevice,
            NodeKind::Block { .. } => rustix::fs::FileType::BlockDevice,
            NodeKind::Fifo => rustix::fs::FileType::Fifo,
        };
        seen.kind == found && kind.number().is_none_or(|number| seen.device == number)
    }
}
