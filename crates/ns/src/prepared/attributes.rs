//! The remaining attributes of a process as steps: limits, scheduling, session, names.
//!
//! Invariant: every value was validated; a step cannot fail for a reason that the plan could have known.

use std::ffi::CString;

use ampoule_init::steps::{file, process as p};
use ampoule_init::{Fd, Step};

use crate::cpu_set::CpuSet;
use crate::io_priority::IoPriority;
use crate::memory_policy::MemoryPolicy;
use crate::personality::Personality;
use crate::rlimit::ResourceLimit;
use crate::scheduler::Scheduler;
use crate::sysctl::Sysctl;

/// A resource limit (setrlimit(2)).
#[must_use]
pub fn rlimit(limit: &ResourceLimit) -> Step {
    let resource = limit.resource;
    p::setrlimit(resource.number(), resource.name(), limit.limit.soft, limit.limit.hard)
}

/// Scheduling policy and nice value (sched_setattr(2)).
#[must_use]
pub fn scheduler(scheduler: &Scheduler) -> Step {
    p::sched_setattr(scheduler.to_bytes(), &format!("{{{scheduler:?}}}"))
}

/// I/O priority (ioprio_set(2)).
#[must_use]
pub fn io_priority(priority: &IoPriority) -> Step {
    p::ioprio_set(u32::from(priority.number()), &format!("{priority:?}"))
}

/// CPU affinity (sched_setaffinity(2)).
#[must_use]
pub fn cpu_affinity(cpus: &CpuSet) -> Step {
    p::sched_setaffinity(&cpus.to_mask(), &cpus.to_string())
}

/// Execution domain (personality(2)).
#[must_use]
pub fn personality(personality: &Personality) -> Step {
    p::personality(personality.number(), &format!("{personality:?}"))
}

/// Memory nodes (set_mempolicy(2)).
#[must_use]
pub fn memory_policy(policy: &MemoryPolicy) -> Step {
    let mask = policy.nodes.as_ref().map(CpuSet::to_mask).unwrap_or_default();
    p::set_mempolicy(policy.number(), &mask, &format!("{policy:?}"))
}

/// How readily the kernel ends the process (proc_pid_oom_score_adj(5)); before the process becomes undumpable,
/// because its procfs files then belong to root.
#[must_use]
pub fn oom_score_adj(score: i32, proc: Fd) -> Step {
    file::write_existing(proc, c"self/oom_score_adj", score.to_string().as_bytes())
}

/// A sysctl of the new namespaces, through a procfs that is known to be one.
///
/// # Panics
/// Never: a validated name holds no NUL.
#[must_use]
pub fn sysctl(sysctl: &Sysctl, proc: Fd) -> Step {
    let path = CString::new(format!("sys/{}", sysctl.name)).unwrap_or_default();
    file::write_existing(proc, &path, sysctl.value.as_bytes())
}
