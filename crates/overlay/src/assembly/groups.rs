//! The container's control groups: the second version alone, or each hierarchy of the first one in a directory.
//!
//! Kernel objects: cgroup and cgroup2 file systems, a tmpfs. Invariant: what the new cgroup namespace shows is the
//! container's own group; without one, so is what is bound of hierarchies of the first version. The host's mount is used
//! only where the namespace is shared and there is no other hierarchy than the second version's.

use std::path::Path;

use ampoule_init::Slot;
use ampoule_init::steps::{file, mount};

use super::mounts::Shape;
use super::{Assembly, O_PATH, S_IFDIR};
use crate::flags::MountFlags;
use crate::mount::Mount;
use crate::mountinfo::Hierarchy;
use crate::propagation::Propagation;
use crate::situation::Namespace;
use crate::target::text;

/// Where the host's are.
const HOST: &str = "/sys/fs/cgroup";

impl Assembly<'_> {
    pub(super) fn cgroup(&mut self, mount: &Mount) -> Option<(Slot, Shape)> {
        const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
        let unified =
            rustix::fs::statfs(HOST).is_ok_and(|found| found.f_type == CGROUP2_SUPER_MAGIC);
        let flags = mount.all_flags();
        if unified && self.situation.owns(self.situation.cgroup_namespace) {
            let made = self.new_file_system_with(c"cgroup2", &[], &mount.data, flags.bits());
            return Some((made, Shape::Directory));
        }
        // A hierarchy of the first version shows the whole of the namespace that it was mounted in.
        let own = self.has_cgroup_namespace() || self.situation.own_groups.is_some();
        self.hierarchies = if own { self.host.hierarchies(Path::new(HOST)) } else { Vec::new() };
        if unified || self.hierarchies.is_empty() {
            return self.substitute(mount, HOST);
        }
        Some((self.tmpfs(0, 0o755, (flags & !MountFlags::RDONLY).bits()), Shape::Directory))
    }

    fn has_cgroup_namespace(&self) -> bool {
        self.situation.cgroup_namespace == Namespace::New
    }

    /// Mounts the hierarchies in the attached tmpfs.
    pub(super) fn fill_cgroup(&mut self, made: Slot, mount: &Mount) {
        for hierarchy in std::mem::take(&mut self.hierarchies) {
            self.hierarchy(made, &hierarchy, mount.all_flags());
        }
        let set = (mount.all_flags() & MountFlags::RDONLY).bits();
        self.change(made, mount::Attributes { set, ..Default::default() });
    }

    fn hierarchy(&mut self, tmpfs: Slot, hierarchy: &Hierarchy, flags: MountFlags) {
        let name = text(Path::new(&hierarchy.name));
        let kind = if hierarchy.options.is_empty() { c"cgroup2" } else { c"cgroup" };
        let shown = match self.situation.own_groups.filter(|_| !self.has_cgroup_namespace()) {
            Some(first) => self.own_group(first, hierarchy, flags),
            None => self.new_file_system_with(kind, &[], &hierarchy.options, flags.bits()),
        };
        let target = self.take();
        self.build.push(mount::target(tmpfs.into(), &name, S_IFDIR | 0o755, target));
        self.build.push(mount::attach(shown.into(), target.into()));
        self.close(target);
        self.close(shown);
        // A controller is also found by its own name.
        for controller in hierarchy.links() {
            self.build.push(file::symlink(&name, tmpfs.into(), &text(Path::new(controller))));
        }
    }

    /// A copy of the host's mount from the container's own group on.
    fn own_group(&mut self, first: u16, hierarchy: &Hierarchy, flags: MountFlags) -> Slot {
        let position = u16::try_from(self.own_groups.len()).unwrap_or(u16::MAX);
        self.own_groups.push(Path::new(HOST).join(&hierarchy.name));
        let (opened, shown) = (self.take(), self.take());
        let position = first.saturating_add(position);
        self.build.push(file::open_parameter(position, "group", O_PATH, opened));
        self.build.push(mount::open_tree(opened.into(), c"", mount::Depth::One, shown));
        self.close(opened);
        let (set, propagation) = (flags.bits(), Propagation::Private.bits());
        self.change(shown, mount::Attributes { set, clear: 0, propagation });
        shown
    }
}
