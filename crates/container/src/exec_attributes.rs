//! What one process that joins has in place of what the container's payload has.
//!
//! Kernel objects: attributes of one process. Invariant: what is not said is as for the payload, and no_new_privs can only
//! be added.

use ampoule_init::Step;
use ampoule_init::steps::process as p;
use ampoule_ns::prepared::attributes;
use ampoule_ns::{IoPriority, ResourceLimit, Scheduler};
use ampoule_selinux::Context;

use crate::apparmor;
use crate::attributes::{ExecCpuAffinity, InPlace};
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::exec::Exec;
use crate::origin::NewPrivileges;
use crate::settings::Settings;

/// What a process that joins is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Whatever the caller wants; the container's processes are there and may be hostile.
    #[default]
    Program,
    /// A hook of the container's root, before any program of the container has run.
    #[cfg(feature = "oci")]
    Hook,
    /// One whose program is the host's, in the host's root: it is as little confined as who made the container, but for
    /// the container's namespaces.
    #[cfg(feature = "oci")]
    HostHook,
}

impl Purpose {
    pub(crate) fn is_hook(self) -> bool {
        self != Self::Program
    }

    /// Whether it has the host's root and not the container's filter, profile and label.
    pub(crate) fn is_of_host(self) -> bool {
        #[cfg(feature = "oci")]
        return self == Self::HostHook;
        #[cfg(not(feature = "oci"))]
        false
    }
}

/// What was said for one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) purpose: Purpose,
    pub(crate) rlimits: Vec<ResourceLimit>,
    pub(crate) umask: Option<u32>,
    pub(crate) new_privileges: Option<NewPrivileges>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) selinux_label: Option<Context>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    pub(crate) cpu_affinity: ExecCpuAffinity,
}

impl Exec<'_> {
    /// Another resource limit than the payload's; limits of other resources stay the payload's.
    ///
    /// One above the hard limit of this process takes `CAP_SYS_RESOURCE` (setrlimit(2)).
    #[must_use]
    pub fn rlimit(mut self, limit: ResourceLimit) -> Self {
        self.own.rlimits.push(limit);
        self
    }

    /// Another file mode creation mask than the payload's, 0 to 0777 (umask(2)).
    #[must_use]
    pub fn umask(mut self, mask: u32) -> Self {
        self.own.umask = Some(mask);
        self
    }

    /// Whether it can gain privileges by an exec. Nothing joins with more than the payload may have: where the container
    /// forbids it, [`NewPrivileges::Allowed`] is refused ([`ErrorKind::InvalidSettings`]).
    #[must_use]
    pub fn new_privileges(mut self, setting: NewPrivileges) -> Self {
        self.own.new_privileges = Some(setting);
        self
    }

    /// Another AppArmor profile than the payload's; else as [`Builder::apparmor_profile`](crate::Builder::apparmor_profile).
    ///
    /// The start fails with [`ErrorKind::AppArmor`] where it cannot be had.
    #[must_use]
    pub fn apparmor_profile(mut self, name: impl Into<String>) -> Self {
        self.own.apparmor_profile = Some(name.into());
        self
    }

    /// Another SELinux label than the payload's.
    ///
    /// The start fails with [`ErrorKind::Unsupported`] where SELinux is off, and with [`ErrorKind::Selinux`] where the
    /// policy does not have the label, or does not let this process give it.
    #[must_use]
    pub fn selinux_label(mut self, label: Context) -> Self {
        self.own.selinux_label = Some(label);
        self
    }

    /// How readily the kernel ends it when memory runs out, -1000 to 1000 (proc_pid_oom_score_adj(5)).
    #[must_use]
    pub fn oom_score_adj(mut self, score: i32) -> Self {
        self.own.oom_score_adj = Some(score);
        self
    }

    /// Another scheduling policy and nice value than the payload's (sched(7)).
    #[must_use]
    pub fn scheduler(mut self, scheduler: Scheduler) -> Self {
        self.own.scheduler = Some(scheduler);
        self
    }

    /// Another I/O scheduling class and priority than the payload's (ioprio_set(2)).
    #[must_use]
    pub fn io_priority(mut self, priority: IoPriority) -> Self {
        self.own.io_priority = Some(priority);
        self
    }

    /// Its processors; what is not said in it is as [`Builder::exec_cpu_affinity`](crate::Builder::exec_cpu_affinity) has it.
    #[must_use]
    pub fn cpu_affinity(mut self, affinity: ExecCpuAffinity) -> Self {
        self.own.cpu_affinity = affinity;
        self
    }
}

impl Own {
    /// Tells everything that cannot be in a container with these settings.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), Error> {
        let mut problems = Vec::new();
        let mut keep = |setting: &'static str, result: Result<(), ampoule_ns::Error>| {
            problems.extend(result.err().map(|error| Problem::new(setting, error.to_string())));
        };
        self.rlimits.iter().for_each(|limit| keep("rlimit", limit.limit.validate()));
        self.scheduler.iter().for_each(|scheduler| keep("scheduler", scheduler.validate()));
        self.io_priority.iter().for_each(|priority| keep("io_priority", priority.validate()));
        if self.umask.is_some_and(|mask| mask > 0o777) {
            problems.push(Problem::new("umask", "it has bits beyond 0777"));
        }
        if self.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
            problems.push(Problem::new("oom_score_adj", "it goes from -1000 to 1000"));
        }
        let gains = self.new_privileges == Some(NewPrivileges::Allowed);
        if gains && settings.new_privileges == NewPrivileges::Forbidden {
            let reason = "the container forbids them, and nothing joins with more than its payload";
            problems.push(Problem::new("new_privileges", reason));
        }
        problems.extend(self.apparmor_profile.as_deref().and_then(apparmor::problem));
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems)) }
    }

    /// The profile of a process that joins.
    pub(crate) fn apparmor(&self, settings: &Settings) -> Result<Option<apparmor::Profile>, Error> {
        match &self.apparmor_profile {
            _ if self.purpose.is_of_host() => Ok(None),
            Some(name) => apparmor::named(name).map(Some).map_err(|(reason, hint)| {
                Error::new(ErrorKind::AppArmor, Stage::Launch).about(reason).with_hint(hint)
            }),
            None => Ok(settings.apparmor.clone()),
        }
    }

    pub(crate) fn new_privileges(&self, settings: &Settings) -> NewPrivileges {
        self.new_privileges.unwrap_or(settings.new_privileges)
    }

    pub(crate) fn umask(&self, settings: &Settings) -> Step {
        p::umask(self.umask.unwrap_or(settings.umask))
    }

    pub(crate) fn oom_score_adj(&self, settings: &Settings) -> Option<i32> {
        self.oom_score_adj.or(settings.oom_score_adj)
    }

    pub(crate) fn scheduler(&self, settings: &Settings) -> Option<Scheduler> {
        self.scheduler.or(settings.scheduler)
    }

    /// The limits, each resource once.
    pub(crate) fn rlimits(&self, settings: &Settings) -> Vec<ResourceLimit> {
        let own = |resource| self.rlimits.iter().any(|limit| limit.resource == resource);
        let of_payload = settings.rlimits.iter().filter(|limit| !own(limit.resource));
        of_payload.chain(&self.rlimits).copied().collect()
    }

    /// In place of the container's.
    pub(crate) fn in_place(&self) -> InPlace<'_> {
        InPlace { io_priority: self.io_priority.as_ref(), cpus: &self.cpu_affinity }
    }

    /// The limits as steps.
    pub(crate) fn limits(&self, settings: &Settings) -> Vec<Step> {
        self.rlimits(settings).iter().map(attributes::rlimit).collect()
    }
}
