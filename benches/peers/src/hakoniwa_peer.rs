//! hakoniwa as a contender. Touches what it touches: two forks, a mount per top directory of the root.
//!
//! Invariant: everything unshared that it can unshare, one id mapped, as its `Container::new` does.

use std::path::Path;

use ampoule_benches::contender::{Contender, Sample, Stopwatch};
use ampoule_benches::failure::Failure;
use hakoniwa::{Container, Namespace};

/// A container that is prepared once and started again and again.
pub(crate) struct Hakoniwa {
    container: Container,
}

impl Hakoniwa {
    /// Sets the container up like the floor's, as far as hakoniwa goes.
    pub(crate) fn new(rootfs: &Path) -> Result<Self, Failure> {
        let mut container = Container::new();
        container.rootfs(rootfs).map_err(Failure::reported)?;
        container.devfsmount("/dev").tmpfsmount("/dev/shm").hostname("ampoule");
        for namespace in [Namespace::Cgroup, Namespace::Ipc, Namespace::Network, Namespace::Uts] {
            container.unshare(namespace);
        }
        Ok(Self { container })
    }
}

impl Contender for Hakoniwa {
    fn spawn(&self) -> Result<Sample, Failure> {
        let watch = Stopwatch::new();
        let status = self.container.command("/bin/true").status().map_err(Failure::reported)?;
        let sample = watch.cleaned();
        if status.success() { Ok(sample) } else { Err(Failure::reported(status.reason)) }
    }
}
