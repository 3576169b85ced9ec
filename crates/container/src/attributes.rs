//! What a process of the container inherits besides limits and scheduling: the payload, and those that join it.
//!
//! Kernel objects: attributes of one process. Invariant: what is said for processes that join is never the payload's.

use ampoule_init::Step;
use ampoule_init::steps::process as p;
use ampoule_ns::prepared::attributes;
use ampoule_ns::{CpuSet, IoPriority, MemoryPolicy, Personality};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;

/// The processors of processes that join a container ([`Container::exec`](crate::Container::exec)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecCpuAffinity {
    /// Before the process is in the container's group.
    pub initial: Option<CpuSet>,
    /// From then on.
    pub last: Option<CpuSet>,
}

/// The attributes of a builder.
#[derive(Debug)]
pub(crate) struct Attributes {
    io_priority: Option<IoPriority>,
    cpu_affinity: Option<CpuSet>,
    personality: Option<Personality>,
    memory_policy: Option<MemoryPolicy>,
    exec_cpu_affinity: ExecCpuAffinity,
}

/// What one process that joins has in place of the container's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InPlace<'a> {
    pub(crate) io_priority: Option<&'a IoPriority>,
    pub(crate) cpus: &'a ExecCpuAffinity,
}

impl Builder {
    /// From which memory nodes the payload gets its pages (set_mempolicy(2)).
    #[must_use]
    pub fn memory_policy(mut self, policy: MemoryPolicy) -> Self {
        self.memory_policy = Some(policy);
        self
    }

    /// The processors of processes that join it, in place of [`Builder::cpu_affinity`].
    #[must_use]
    pub fn exec_cpu_affinity(mut self, affinity: ExecCpuAffinity) -> Self {
        self.exec_cpu_affinity = affinity;
        self
    }
}

impl Attributes {
    pub(crate) fn of(builder: &Builder) -> Self {
        Self {
            io_priority: builder.io_priority,
            cpu_affinity: builder.cpu_affinity.clone(),
            personality: builder.personality,
            memory_policy: builder.memory_policy.clone(),
            exec_cpu_affinity: builder.exec_cpu_affinity.clone(),
        }
    }

    /// The payload's, which in part take capabilities.
    pub(crate) fn of_payload(&self) -> impl Iterator<Item = Step> {
        self.with(self.cpu_affinity.as_ref(), self.io_priority.as_ref())
    }

    /// Those of a process that joins.
    pub(crate) fn of_exec<'a>(&'a self, own: InPlace<'a>) -> impl Iterator<Item = Step> + 'a {
        let usual = self.exec_cpu_affinity.last.as_ref().or(self.cpu_affinity.as_ref());
        let cpus = own.cpus.last.as_ref().or(usual);
        self.with(cpus, own.io_priority.or(self.io_priority.as_ref()))
    }

    /// What a process that joins has before it is in the group.
    pub(crate) fn before_exec(&self, own: InPlace<'_>) -> Option<Step> {
        let usual = self.exec_cpu_affinity.initial.as_ref();
        own.cpus.initial.as_ref().or(usual).map(attributes::cpu_affinity)
    }

    fn with<'a>(
        &'a self,
        cpus: Option<&'a CpuSet>,
        io_priority: Option<&'a IoPriority>,
    ) -> impl Iterator<Item = Step> + 'a {
        let io_priority = io_priority.into_iter().map(attributes::io_priority);
        let cpus = cpus.into_iter().map(attributes::cpu_affinity);
        let personality = self.personality.iter().map(attributes::personality);
        let memory = self.memory_policy.iter().map(attributes::memory_policy);
        let steps = io_priority.chain(cpus).chain(personality).chain(memory);
        steps.chain([p::new_session_keyring()])
    }
}
