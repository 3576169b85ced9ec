//! What comes from the host: opened by the plan, copied by the launcher or by the first process.
//!
//! Kernel objects: `O_PATH` descriptors, detached mount trees. Invariant: the copy is of the very file that the plan
//! looked at, by its descriptor or by comparing device and inode; a copy is cut off from the host's mount events.

use std::ffi::OsStr;
use std::path::Path;

use ampoule_init::steps::{file, mount};
use ampoule_init::{Fd, Slot, Step};

use super::{Assembly, NO_MAGICLINKS, O_PATH};
use crate::error::{ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::identity::Seen;
use crate::mount::{Depth, IdMapped};
use crate::node::NodeKind;
use crate::propagation::Propagation;
use crate::situation::Access;
use crate::target::{parts, text};

/// How a tree of the host is copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) depth: Depth,
    /// Flags of the whole copy.
    pub(super) flags: MountFlags,
    /// Flags that the whole copy does not take over.
    pub(super) clear: MountFlags,
    pub(super) propagation: Propagation,
    pub(super) idmapped: IdMapped,
    pub(super) hold: Hold,
}

/// What of a source is kept from the plan to the launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hold {
    /// A descriptor, where the launcher can use one.
    #[default]
    Descriptor,
    /// Its path, device and inode.
    Path,
}

impl Manner {
    /// A layer or a root: its owners are mapped where that is possible.
    pub(super) fn own(depth: Depth, flags: MountFlags) -> Self {
        let (propagation, idmapped) = (Propagation::Private, IdMapped::Container);
        let clear = MountFlags::empty();
        Self { depth, flags, clear, propagation, idmapped, hold: Hold::default() }
    }
}

impl Assembly<'_> {
    /// A detached copy of what is at a path of the host.
    pub(super) fn copy(&mut self, path: &Path, seen: Seen, how: Manner) -> Slot {
        self.check_submounts(path, how.depth);
        let depth = match how.depth {
            Depth::One => mount::Depth::One,
            Depth::Recursive => mount::Depth::Recursive,
        };
        let tree = self.draft.slots.take();
        let steps = self.copy_steps(path, seen, (depth, how.hold), tree);
        self.push_source(steps);
        let attributes = mount::Attributes {
            set: how.flags.bits(),
            clear: how.clear.clearing(how.flags),
            propagation: match how.propagation {
                Propagation::Shared => 0,
                other => other.bits(),
            },
        };
        let steps = self.attribute_steps(tree, (depth, attributes), how.idmapped);
        self.push_source(steps);
        tree
    }

    /// Attributes of a copy, and its owners.
    fn attribute_steps(
        &self,
        tree: Slot,
        (depth, attributes): (mount::Depth, mount::Attributes),
        owners: IdMapped,
    ) -> Vec<Step> {
        let all = |attributes| mount::set_attributes(tree.into(), c"", depth, attributes);
        let Some(userns) = self.situation.mapping(owners) else { return vec![all(attributes)] };
        if matches!(owners, IdMapped::Other { depth: Depth::One, .. }) {
            let nothing = mount::Attributes::default();
            let top = mount::id_map(tree.into(), mount::Depth::One, nothing, userns);
            return vec![top, all(attributes)];
        }
        let mut steps = vec![mount::id_map(tree.into(), depth, attributes, userns)];
        if attributes.clear != 0 {
            // Not told together with the map.
            steps.push(all(mount::Attributes { propagation: 0, ..attributes }));
        }
        steps
    }

    /// A detached copy of one of the host's device nodes.
    pub(super) fn copy_device(&mut self, path: &Path, kind: NodeKind) -> Slot {
        let tree = self.draft.slots.take();
        let Some(seen) = self.note(Seen::open(path)) else {
            return tree;
        };
        if !Self::is_node(&seen, kind) {
            self.problems.push(Problem::new(ErrorKind::DeviceUnusable, path));
        }
        let opened = self.opened;
        let how = (mount::Depth::One, Hold::Descriptor);
        let mut steps = self.copy_steps(path, seen, how, tree);
        if let (Access::InNamespace, NodeKind::Char { major, minor }) =
            (self.situation.access, kind)
        {
            steps.insert(1, file::verify_device(opened.into(), major, minor));
        }
        // Read-only: it can be written to, but not change its owner or mode on the host.
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
        let propagation = Propagation::Private.bits();
        let attributes = mount::Attributes { set: flags.bits(), clear: 0, propagation };
        steps.push(mount::set_attributes(tree.into(), c"", mount::Depth::One, attributes));
        self.push_source(steps);
        tree
    }

    /// Steps that open and copy.
    fn copy_steps(
        &mut self,
        path: &Path,
        seen: Seen,
        (depth, hold): (mount::Depth, Hold),
        tree: Slot,
    ) -> Vec<Step> {
        if self.situation.access == Access::Detached && hold == Hold::Descriptor {
            let fd = self.draft.inherit(seen.fd);
            return vec![mount::open_tree(fd, c"", depth, tree)];
        }
        let opened = self.opened;
        let mut steps = self.open_steps(path);
        steps.extend([
            file::verify(opened.into(), seen.identity),
            mount::open_tree(opened.into(), c"", depth, tree),
            file::close(opened),
        ]);
        steps
    }

    /// Steps that open a path in the slot for that: one, unless it is longer than the kernel takes at once.
    fn open_steps(&mut self, path: &Path) -> Vec<Step> {
        let parts = parts(path);
        let open = |from: Fd, part: &OsStr, to: Slot| {
            file::open(from, &text(part), O_PATH, NO_MAGICLINKS, to)
        };
        let [part] = parts[..] else { return self.relay_steps(&parts, open) };
        vec![open(Fd::Cwd, part, self.opened)]
    }

    /// Two slots in turn; the last part goes into the one for what was opened.
    fn relay_steps(
        &mut self,
        parts: &[&OsStr],
        open: impl Fn(Fd, &OsStr, Slot) -> Step,
    ) -> Vec<Step> {
        let relay = *self.relay.get_or_insert_with(|| self.draft.slots.take());
        let mut steps = Vec::with_capacity(2 * parts.len());
        let mut from: Option<Slot> = None;
        for (index, part) in parts.iter().enumerate() {
            let behind = parts.len() - 1 - index;
            let to = if behind.is_multiple_of(2) { self.opened } else { relay };
            steps.push(open(from.map_or(Fd::Cwd, Fd::from), part, to));
            steps.extend(from.map(file::close));
            from = Some(to);
        }
        steps
    }

    fn push_source(&mut self, steps: impl IntoIterator<Item = Step>) {
        match self.situation.access {
            Access::Detached => self.launcher.extend(steps),
            Access::InNamespace => self.open.extend(steps),
        }
    }

    /// The kernel does not copy a directory without the locked mounts below it.
    fn check_submounts(&mut self, path: &Path, depth: Depth) {
        if depth == Depth::Recursive || self.situation.access == Access::Detached {
            return;
        }
        let real = std::fs::canonicalize(path);
        if real.is_ok_and(|real| self.host.has_below(&real)) {
            self.problems.push(Problem::new(ErrorKind::SubmountsLocked, path));
        }
    }
}
