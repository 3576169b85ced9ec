//! `process`: who the payload is, and how it runs.

use std::ffi::OsString;
use std::time::Duration;

use ampoule_ns::{
    Capabilities, Capability, CapabilitySet, IdOrName, IoClass, IoPriority, Resource,
    ResourceLimit, Rlimit, Scheduler, SchedulerFlags, SchedulerPolicy, User,
};
use ampoule_spec::JsonPath;
use ampoule_spec::oci::{
    self, IOPriorityClass, LinuxCapabilities, LinuxIOPriority, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, PosixRlimit, Process,
};

use super::reading::Reading;
use crate::attributes::ExecCpuAffinity;
use crate::builder::Builder;
use crate::origin::NewPrivileges;
use crate::pty::WindowSize;
use crate::selinux::Selinux;

/// Everything but arguments, environment, directory and terminal.
pub(super) fn user(process: &Process, builder: &mut Builder, at: &JsonPath, reading: &mut Reading) {
    let user = process.user();
    let groups = user.additional_gids().iter().flatten();
    let ids = User::ids(user.uid(), user.gid());
    builder.user = Some(groups.fold(ids, |user, group| user.supplementary(IdOrName::Id(*group))));
    builder.umask = user.umask().unwrap_or(builder.umask);
    let sets = process.capabilities().as_ref();
    builder.capabilities = Some(sets.map_or(Capabilities::drop_all(), |sets| {
        capabilities(sets, &at.key("capabilities"), reading)
    }));
    let limits = process.rlimits().iter().flatten().enumerate();
    builder.rlimits = limits
        .filter_map(|(index, limit)| rlimit(limit, &at.key("rlimits").index(index), reading))
        .collect();
    builder.new_privileges = match process.no_new_privileges() {
        Some(true) => NewPrivileges::Forbidden,
        _ => NewPrivileges::Allowed,
    };
    builder.oom_score_adj = process.oom_score_adj();
    let profile = process.apparmor_profile().clone();
    builder.apparmor_profile = profile.filter(|name| !name.is_empty());
    if let Some(label) = process.selinux_label().as_deref().filter(|label| !label.is_empty()) {
        let context = reading.keep(&at.key("selinuxLabel"), label.parse());
        builder.selinux.label =
            context.map_or(Selinux::Disabled, |context| Selinux::Label(Box::new(context)));
    }
    if let Some(chosen) = process.exec_cpu_affinity() {
        let at = at.key("execCPUAffinity");
        let mut cpus = |key: &str, list: &Option<String>| {
            let list = list.as_deref().filter(|list| !list.is_empty())?;
            reading.keep(&at.key(key), list.parse())
        };
        let initial = cpus("initial", chosen.initial());
        let last = cpus("final", chosen.cpu_affinity_final());
        builder.exec_cpu_affinity = ExecCpuAffinity { initial, last };
    }
    let chosen = process.scheduler().as_ref();
    builder.scheduler = chosen.map(|chosen| scheduler(chosen, &at.key("scheduler"), reading));
    let chosen = process.io_priority().as_ref();
    builder.io_priority =
        chosen.and_then(|chosen| io_priority(chosen, &at.key("ioPriority"), reading));
}

/// The environment; what is no `NAME=value` has been refused.
pub(super) fn env(process: &Process) -> Vec<(OsString, OsString)> {
    let variables = process.env().iter().flatten();
    variables
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The terminal; one of no size has the usual one.
pub(super) fn terminal(process: &Process) -> Option<WindowSize> {
    process.terminal().filter(|wanted| *wanted)?;
    let side = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
    let size = process.console_size();
    Some(size.map_or(WindowSize::default(), |size| WindowSize {
        rows: side(size.height()),
        columns: side(size.width()),
    }))
}

/// The sets. The effective one is not kept: execve(2) makes it anew from the others. So is the part of the ambient set
/// that is not inheritable, which no process can have (capabilities(7)).
fn capabilities(sets: &LinuxCapabilities, at: &JsonPath, reading: &mut Reading) -> Capabilities {
    let mut set = |key: &str, names: &Option<oci::Capabilities>| -> CapabilitySet {
        let mut names: Vec<_> = names.iter().flatten().map(ToString::to_string).collect();
        names.sort_unstable();
        let one = |name: String| reading.keep(&at.key(key), name.parse::<Capability>());
        names.into_iter().filter_map(one).collect()
    };
    let (bounding, permitted) =
        (set("bounding", sets.bounding()), set("permitted", sets.permitted()));
    let inheritable = set("inheritable", sets.inheritable());
    let ambient = set("ambient", sets.ambient());
    let ambient = ambient.intersection(permitted).intersection(inheritable);
    let _remade = set("effective", sets.effective());
    Capabilities { bounding, permitted, inheritable, ambient }
}

fn rlimit(limit: &PosixRlimit, at: &JsonPath, reading: &mut Reading) -> Option<ResourceLimit> {
    let resource: Resource = reading.named(&at.key("type"), limit.typ())?;
    Some(ResourceLimit { resource, limit: Rlimit::new(limit.soft(), limit.hard()) })
}

fn scheduler(chosen: &oci::Scheduler, at: &JsonPath, reading: &mut Reading) -> Scheduler {
    let priority = chosen.priority().unwrap_or(0);
    let priority = reading.number(&at.key("priority"), priority).unwrap_or(0);
    let nanos = |nanos: &Option<u64>| Duration::from_nanos(nanos.unwrap_or(0));
    let policy = match chosen.policy() {
        LinuxSchedulerPolicy::SchedOther => SchedulerPolicy::Other,
        LinuxSchedulerPolicy::SchedBatch => SchedulerPolicy::Batch,
        LinuxSchedulerPolicy::SchedIdle => SchedulerPolicy::Idle,
        LinuxSchedulerPolicy::SchedFifo => SchedulerPolicy::Fifo(priority),
        LinuxSchedulerPolicy::SchedRr => SchedulerPolicy::RoundRobin(priority),
        LinuxSchedulerPolicy::SchedDeadline => SchedulerPolicy::Deadline {
            runtime: nanos(chosen.runtime()),
            deadline: nanos(chosen.deadline()),
            period: nanos(chosen.period()),
        },
        LinuxSchedulerPolicy::SchedIso => {
            reading.refuse(&at.key("policy"), "SCHED_ISO is a policy that no kernel has");
            SchedulerPolicy::Other
        }
    };
    let mut flags = SchedulerFlags::empty();
    for (index, flag) in chosen.flags().iter().flatten().enumerate() {
        flags |= match flag {
            LinuxSchedulerFlag::SchedResetOnFork => SchedulerFlags::RESET_ON_FORK,
            LinuxSchedulerFlag::SchedFlagReclaim => SchedulerFlags::RECLAIM,
            LinuxSchedulerFlag::SchedFlagDLOverrun => SchedulerFlags::DL_OVERRUN,
            _ => {
                let reason = "is not honoured: what it keeps or clamps cannot be said";
                reading.refuse(&at.key("flags").index(index), reason);
                SchedulerFlags::empty()
            }
        };
    }
    Scheduler { policy, nice: chosen.nice().unwrap_or(0), flags }
}

fn io_priority(
    chosen: &LinuxIOPriority,
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<IoPriority> {
    let class = match chosen.class() {
        IOPriorityClass::IoprioClassRt => IoClass::RealTime,
        IOPriorityClass::IoprioClassBe => IoClass::BestEffort,
        IOPriorityClass::IoprioClassIdle => IoClass::Idle,
    };
    let level = reading.number(&at.key("priority"), chosen.priority())?;
    Some(IoPriority::new(class, level))
}
