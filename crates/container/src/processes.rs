//! All processes of a container: listed and signalled from outside.
//!
//! Kernel objects: `cgroup.procs` of its group, or `/proc/PID/ns/pid` of every process. Invariant: a signal goes to a
//! process that is in the list again after its descriptor was opened, and so never to a later one with its id.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ampoule_cgroups::Depth;
use ampoule_init::process;
use ampoule_ns::{Namespace, Setting};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::container::Container;
use crate::error::{Error, Problem, Stage};

impl Container {
    /// The ids of its processes in this pid namespace: of its group, or without one those in its pid namespace and, where
    /// that is not its own, the first process alone.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`](crate::ErrorKind::Limits), when the group cannot be read.
    pub fn processes(&self) -> Result<BTreeSet<u32>, Error> {
        if let Some(group) = self.group() {
            let procs = group.procs(Depth::Recursive);
            return procs.map_err(|error| Error::from_cgroups(Stage::Running, error));
        }
        if *self.plan.settings.namespaces.get(Namespace::Pid) == Setting::New {
            return Ok(self.in_its_namespace());
        }
        Ok(self.alive().is_ok().then_some(self.pid).into_iter().collect())
    }

    /// Whoever stands in the pid namespace of the first process.
    fn in_its_namespace(&self) -> BTreeSet<u32> {
        let namespace = |pid: u32| std::fs::read_link(PathBuf::from(format!("/proc/{pid}/ns/pid")));
        let Ok(own) = namespace(self.pid) else { return BTreeSet::new() };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|pid| namespace(*pid).is_ok_and(|other| other == own)).collect()
    }

    /// Sends every process a signal, in no order; those that have ended are no error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSettings`](crate::ErrorKind::InvalidSettings) for a number that is none,
    /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied), those of [`Container::processes`].
    pub fn kill_each(&self, signal: i32) -> Result<(), Error> {
        let named = Signal::from_named_raw(signal).ok_or_else(|| {
            Error::invalid(vec![Problem::new("kill", format!("there is no signal {signal}"))])
        })?;
        for pid in self.processes()? {
            let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let Some(Ok(pidfd)) = id.map(|id| pidfd_open(id, PidfdFlags::empty())) else {
                continue;
            };
            if self.processes()?.contains(&pid) {
                process::signal(&pidfd, named)
                    .map_err(|error| Error::io(Stage::Running, "pidfd_send_signal", &error))?;
            }
        }
        Ok(())
    }
}
