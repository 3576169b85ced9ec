//! The controllers of both versions, by the names of v2.
//!
//! Kernel objects: none. Invariant: a controller has one name on each version, or none.

use std::fmt;

bitflags::bitflags! {
    /// A set of controllers (cgroups(7)).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Controllers: u32 {
        /// CPU time: quota, weight.
        const CPU = 1;
        /// CPU time used; part of `CPU` on v2.
        const CPUACCT = 1 << 1;
        /// Which CPUs and memory nodes.
        const CPUSET = 1 << 2;
        /// Memory.
        const MEMORY = 1 << 3;
        /// The number of processes and threads.
        const PIDS = 1 << 4;
        /// Block devices: `io`, on v1 `blkio`.
        const IO = 1 << 5;
        /// Huge pages.
        const HUGETLB = 1 << 6;
        /// RDMA resources.
        const RDMA = 1 << 7;
        /// Scalar resources.
        const MISC = 1 << 8;
        /// Device nodes; on v2 a BPF program.
        const DEVICES = 1 << 9;
        /// Freezing; part of every v2 group.
        const FREEZER = 1 << 10;
        /// Network class; v1 only.
        const NET_CLS = 1 << 11;
        /// Network priorities; v1 only.
        const NET_PRIO = 1 << 12;
    }
}

/// One controller, as something to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Controller {
    /// The group itself: its v2 directory.
    Core,
    /// CPU time.
    Cpu,
    /// CPU time used, on v1.
    CpuAcct,
    /// Which CPUs and memory nodes.
    CpuSet,
    /// Memory.
    Memory,
    /// Processes.
    Pids,
    /// Block devices.
    Io,
    /// Huge pages.
    HugeTlb,
    /// RDMA resources.
    Rdma,
    /// Scalar resources.
    Misc,
    /// Freezing, on v1.
    Freezer,
}

impl Controller {
    /// The set of this one; empty for the group itself.
    pub(crate) fn set(self) -> Controllers {
        match self {
            Self::Core => Controllers::empty(),
            Self::Cpu => Controllers::CPU,
            Self::CpuAcct => Controllers::CPUACCT,
            Self::CpuSet => Controllers::CPUSET,
            Self::Memory => Controllers::MEMORY,
            Self::Pids => Controllers::PIDS,
            Self::Io => Controllers::IO,
            Self::HugeTlb => Controllers::HUGETLB,
            Self::Rdma => Controllers::RDMA,
            Self::Misc => Controllers::MISC,
            Self::Freezer => Controllers::FREEZER,
        }
    }
}

/// Names on v1 and on v2.
const NAMES: [(Controllers, &str, &str); 13] = [
    (Controllers::CPU, "cpu", "cpu"),
    (Controllers::CPUACCT, "cpuacct", ""),
    (Controllers::CPUSET, "cpuset", "cpuset"),
    (Controllers::MEMORY, "memory", "memory"),
    (Controllers::PIDS, "pids", "pids"),
    (Controllers::IO, "blkio", "io"),
    (Controllers::HUGETLB, "hugetlb", "hugetlb"),
    (Controllers::RDMA, "rdma", "rdma"),
    (Controllers::MISC, "misc", "misc"),
    (Controllers::DEVICES, "devices", ""),
    (Controllers::FREEZER, "freezer", ""),
    (Controllers::NET_CLS, "net_cls", ""),
    (Controllers::NET_PRIO, "net_prio", ""),
];

impl Controllers {
    /// The controller with this name on v1; empty for another name.
    pub(crate) fn of_v1(name: &str) -> Self {
        NAMES.iter().find(|(_, v1, _)| *v1 == name).map_or(Self::empty(), |(one, ..)| *one)
    }

    /// The controllers of a line such as `cgroup.controllers` has.
    pub(crate) fn of_v2(line: &str) -> Self {
        let of = |name: &str| NAMES.iter().find(|(_, _, v2)| *v2 == name).map(|(one, ..)| *one);
        line.split_whitespace().filter_map(of).collect()
    }

    /// `+cpu +memory …`, what `cgroup.subtree_control` takes.
    pub(crate) fn to_enable(self) -> String {
        let names = NAMES.iter().filter(|(one, _, v2)| self.contains(*one) && !v2.is_empty());
        names.map(|(_, _, v2)| format!("+{v2}")).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Controllers {
    /// Writes the names of v1, which every controller has, but `io`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(_, v1, v2): &(Self, &'static str, &'static str)| {
            if v2.is_empty() { *v1 } else { *v2 }
        };
        let names: Vec<_> =
            NAMES.iter().filter(|(one, ..)| self.contains(*one)).map(shown).collect();
        f.write_str(&names.join(" "))
    }
}
