//! What a container uses: what its control group counts, its network, its age.
//!
//! Kernel objects: the files of the group, `/proc/PID/net/dev` of the first process. Invariant: the first process is
//! not reaped while it is asked for, so that its id is its own.

use std::ops::Deref;
use std::time::Duration;

use ampoule_ns::{Interfaces, Namespace, Setting};
use serde::{Deserialize, Serialize};

use crate::container::Container;
use crate::error::{Error, Stage};

/// One sample of a container; two of them make an [`ampoule_cgroups::stat::Usage`].
///
/// It is a [`Deref`] to [`ampoule_cgroups::Stats`]: `stats.memory.current`, `stats.cpu.usage`, `stats.pids`, `stats.io`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// What the control group counts.
    #[serde(flatten)]
    pub group: ampoule_cgroups::Stats,
    /// What the network interfaces received and sent; empty where the network is the host's.
    pub network: Interfaces,
    /// Time since the start of the launch.
    pub age: Duration,
}

impl Stats {
    /// CPU time as a percentage of the container's age: the column `AVG CPU %` of `podman stats`.
    #[must_use]
    pub fn average_cpu_percent(&self) -> Option<f64> {
        self.group.average_cpu_percent(self.age)
    }
}

impl Deref for Stats {
    type Target = ampoule_cgroups::Stats;

    fn deref(&self) -> &Self::Target {
        &self.group
    }
}

impl Container {
    /// What the container uses now.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`](crate::ErrorKind::Limits) without a group (see [`OwnGroup`](crate::OwnGroup)), or when it has ended.
    pub fn stats(&self) -> Result<Stats, Error> {
        let stats = self.grouped()?.stat();
        Ok(Stats {
            group: stats.map_err(|error| Error::from_cgroups(Stage::Running, error))?,
            network: self.network(),
            age: self.begun.elapsed(),
        })
    }

    /// The interfaces of its own network; none once the first process has ended.
    fn network(&self) -> Interfaces {
        let shared = *self.plan.settings.namespaces.get(Namespace::Net) == Setting::Host;
        if shared || self.reaped {
            return Interfaces::default();
        }
        // The group may still be asked when the process has just ended.
        Interfaces::of(self.pid).unwrap_or_default()
    }
}
