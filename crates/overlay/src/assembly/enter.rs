//! The change of roots.
//!
//! Kernel objects: the root mount of the mount namespace. Invariant: afterwards nothing of the old root can be named,
//! and the working directory is the new root.

use ampoule_init::steps::{mount, process};

use super::Assembly;
use crate::flags::MountFlags;
use crate::propagation::Propagation;
use crate::root::Base;

impl Assembly<'_> {
    /// Makes the steps of `enter` and the last ones of `seal`.
    pub(super) fn enter(&mut self) {
        match self.fs.base {
            Base::Keep => self.drop_staging(),
            _ => self.pivot(),
        }
        if self.fs.base != Base::Keep {
            self.share();
        }
        self.seal.push(process::restore_umask(self.umask));
    }

    /// The new root takes the old one's place; the old one is then stacked on it, and goes with the staging tmpfs in
    /// it by one call: each waits for a grace period of the kernel.
    fn pivot(&mut self) {
        self.enter.push(process::fchdir(self.root.into()));
        self.enter.push(mount::pivot_root());
        self.enter.push(mount::detach_old_root());
    }

    /// Without a new root the staging tmpfs must go by itself.
    fn drop_staging(&mut self) {
        if let Some(staging) = self.staging {
            self.enter.push(process::fchdir(staging.into()));
            let step = mount::detach_old_root().named("umount2", "staging, MNT_DETACH");
            self.enter.push(step);
        }
        self.enter.push(process::fchdir(self.root.into()));
    }

    /// Inside, mounts spread as the settings say; the host is out of reach already.
    fn share(&mut self) {
        let propagation = match self.fs.propagation {
            Propagation::Private | Propagation::Slave => return,
            other => other.bits(),
        };
        let attributes =
            mount::Attributes { set: MountFlags::empty().bits(), clear: 0, propagation };
        let one = mount::Depth::One;
        self.seal.push(mount::set_attributes(self.root.into(), c"", one, attributes));
    }
}
