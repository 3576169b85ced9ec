//! Owners of single mounts, mapped by maps of their own.
//!
//! Kernel objects: a user namespace for each different map, kept by the plan. Invariant: equal maps have one number, and
//! a number stands for the map at its place.

use ampoule_init::{Draft, Fd};
use ampoule_ns::IdMap;
use ampoule_ns::prepared::id_maps::Writer;
use ampoule_overlay::{Depth, IdMapped, Mount, MountFlags, MountKind};

use crate::builder::Builder;
use crate::error::Error;
use crate::host::Privilege;
use crate::root::user_namespace_of;

impl Builder {
    /// Shows a file or directory of the host, with all below it, its owners mapped by this map instead of the
    /// container's: what `inside` owns on the host belongs to `outside` in the mount, an id of this process's user
    /// namespace even if the container has one of its own. Writable, without set-user-id and devices. It takes privilege
    /// and a file system that can be mapped (mount_setattr(2), Linux 5.12; tmpfs: 6.3).
    #[must_use]
    pub fn bind_mapped(
        mut self,
        source: impl Into<std::path::PathBuf>,
        target: impl Into<std::path::PathBuf>,
        map: IdMap,
    ) -> Self {
        let depth = Depth::Recursive;
        let idmapped = owners(&mut self.mount_maps, map, depth);
        let kind = MountKind::Bind { source: source.into(), depth, idmapped };
        let recursive = MountFlags::NOSUID | MountFlags::NODEV;
        let mount = Mount::new(target, kind, MountFlags::empty());
        self.mount(Mount { recursive, ..mount })
    }
}

/// The mapping by this map, which gets a number if it has none.
pub(crate) fn owners(maps: &mut Vec<IdMap>, map: IdMap, depth: Depth) -> IdMapped {
    let known = maps.iter().position(|known| *known == map);
    let index = known.unwrap_or_else(|| {
        maps.push(map);
        maps.len() - 1
    });
    // More maps than numbers: one that no namespace has, which the plan refuses.
    IdMapped::Other { number: u16::try_from(index).unwrap_or(u16::MAX), depth }
}

/// A user namespace for each map.
pub(crate) fn namespaces(
    builder: &Builder,
    privilege: Privilege,
    draft: &mut Draft,
) -> Result<Vec<Fd>, Error> {
    if privilege == Privilege::None {
        // The plan tells which mounts cannot be.
        return Ok(Vec::new());
    }
    let maps = builder.mount_maps.iter().take(usize::from(u16::MAX));
    maps.map(|map| Ok(draft.inherit(user_namespace_of(map, Writer::Privileged)?))).collect()
}
