//! cgroups-rs as a contender of `bench-cgroups`.
//!
//! Touches what it touches: the directories of the controllers that it is told. Invariant: mountinfo is read once,
//! before the first group.

use ampoule_benches::cgroups::contender::{Contender, Group, Usage};
use ampoule_benches::cgroups::hierarchy::{CONTROLLERS_V2, Hierarchies, Version};
use ampoule_benches::cgroups::limits;
use ampoule_benches::cgroups::worker::Assignment;
use ampoule_benches::failure::Failure;
use cgroups_rs::CgroupPid;
use cgroups_rs::fs::blkio::BlkIoController;
use cgroups_rs::fs::cgroup_builder::CgroupBuilder;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuacct::CpuAcctController;
use cgroups_rs::fs::hierarchies::{V1, V2, is_cgroup2_unified_mode};
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Cgroup, Hierarchy, MaxValue};

/// Makes groups with `CgroupBuilder`.
pub(crate) struct CgroupsRs {
    machine: Machine,
    controllers: Vec<String>,
    /// The directory of the run, with a slash.
    place: String,
}

/// The hierarchy type that fits the machine.
enum Machine {
    V1(V1),
    V2(V2),
}

impl CgroupsRs {
    /// Uses the controllers of the directories that ours has; on v2 those that limits and statistics are about.
    pub(crate) fn new(hierarchies: &Hierarchies, assignment: &Assignment) -> Self {
        let directories = &assignment.work.directories;
        let used = hierarchies.iter().filter(|used| directories.contains(&used.name));
        let wanted = |version, name: &str| version == Version::V1 || CONTROLLERS_V2.contains(&name);
        let all = used.flat_map(|used| used.controllers.iter().map(|name| (used.version, name)));
        let controllers = all.filter(|(version, name)| wanted(*version, name));
        let controllers = controllers.map(|(_, name)| name.clone()).collect();
        let machine =
            if is_cgroup2_unified_mode() { Machine::V2(V2::new()) } else { Machine::V1(V1::new()) };
        Self { machine, controllers, place: format!("{}/", assignment.place) }
    }

    fn hierarchy(&self) -> Box<dyn Hierarchy> {
        match &self.machine {
            Machine::V1(v1) => Box::new(v1.clone()),
            Machine::V2(v2) => Box::new(v2.clone()),
        }
    }
}

/// The limits as this crate has them; it has one number for a share of the processor, in the machine's unit.
fn numbers(machine: &Machine) -> Result<[i64; 4], Failure> {
    let swap = match machine {
        Machine::V1(_) => limits::MEMORY_AND_SWAP_MAX,
        Machine::V2(_) => limits::MEMORY_AND_SWAP_MAX - limits::MEMORY_MAX,
    };
    let all = [limits::MEMORY_MAX, swap, limits::CPU_QUOTA, limits::PIDS_MAX];
    let mut numbers = [0; 4];
    for (number, limit) in numbers.iter_mut().zip(all) {
        *number = i64::try_from(limit).map_err(Failure::reported)?;
    }
    Ok(numbers)
}

impl Contender for CgroupsRs {
    fn create(&self, name: &str) -> Result<Box<dyn Group>, Failure> {
        let [memory, swap, quota, pids] = numbers(&self.machine)?;
        let shares = match self.machine {
            Machine::V1(_) => limits::CPU_SHARES,
            Machine::V2(_) => limits::CPU_WEIGHT,
        };
        let group = CgroupBuilder::new(&format!("{}{name}", self.place))
            .memory()
            .memory_hard_limit(memory)
            .memory_swap_limit(swap)
            .done()
            .cpu()
            .period(limits::CPU_PERIOD)
            .quota(quota)
            .shares(shares)
            .done()
            .pid()
            .maximum_number_of_processes(MaxValue::Value(pids))
            .done()
            .set_specified_controllers(self.controllers.clone())
            .build(self.hierarchy());
        Ok(Box::new(CgroupsRsGroup(group.map_err(Failure::reported)?)))
    }
}

/// A group of it.
struct CgroupsRsGroup(Cgroup);

impl Group for CgroupsRsGroup {
    fn stat(&self) -> Result<Usage, Failure> {
        let mut usage = Usage::default();
        if let Some(memory) = self.0.controller_of::<MemController>() {
            usage.memory = memory.memory_stat().usage_in_bytes;
            std::hint::black_box(memory.memswap());
        }
        if let Some(pids) = self.0.controller_of::<PidController>() {
            usage.processes = pids.get_pid_current().map_err(Failure::reported)?;
            std::hint::black_box(pids.get_pid_max().map_err(Failure::reported)?);
        }
        if let Some(cpu) = self.0.controller_of::<CpuController>() {
            std::hint::black_box(cpu.cpu());
        }
        if let Some(cpuacct) = self.0.controller_of::<CpuAcctController>() {
            std::hint::black_box(cpuacct.cpuacct());
        }
        if let Some(blkio) = self.0.controller_of::<BlkIoController>() {
            std::hint::black_box(blkio.blkio());
        }
        Ok(usage)
    }

    fn add(&self, process: u32) -> Result<(), Failure> {
        let process = CgroupPid::from(u64::from(process));
        self.0.add_task_by_tgid(process).map_err(Failure::reported)
    }

    fn remove(self: Box<Self>) -> Result<(), Failure> {
        self.0.delete().map_err(Failure::reported)
    }
}
