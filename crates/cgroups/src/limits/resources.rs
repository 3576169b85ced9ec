//! Memory, CPU time, CPU sets and the network settings of v1.
//!
//! Kernel objects: none. Documents: admin-guide/cgroup-v2, admin-guide/cgroup-v1. Invariant: [`check`] functions name
//! every contradiction, and look at nothing but the data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::unit::{Bytes, Cpus, Max, Micros, NumberList, Percent, Weight};

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Written as 1.
    On,
    /// Written as 0.
    Off,
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::On { "1" } else { "0" })
    }
}

/// Limits of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// Above it the group is reclaimed, then killed (`memory.max`; v1 `memory.limit_in_bytes`).
    pub max: Option<Max<Bytes>>,
    /// Above it the group is slowed down and reclaimed (`memory.high`; v2 only).
    pub high: Option<Max<Bytes>>,
    /// Below it the group is reclaimed only when nothing else can be (`memory.low`; v1
    /// `memory.soft_limit_in_bytes`).
    pub low: Option<Max<Bytes>>,
    /// Below it the group is never reclaimed (`memory.min`; v2 only).
    pub min: Option<Max<Bytes>>,
    /// Swap, without memory (`memory.swap.max`). On v1 it needs [`max`](Self::max), and the sum of both is written
    /// to `memory.memsw.limit_in_bytes`.
    pub swap_max: Option<Max<Bytes>>,
    /// Memory and swap together, as OCI's `swap` (v1 `memory.memsw.limit_in_bytes`; on v2 the difference to
    /// [`max`](Self::max) is written to `memory.swap.max`).
    pub memory_and_swap_max: Option<Max<Bytes>>,
    /// Above it the group is slowed down when it swaps (`memory.swap.high`; v2 only, since Linux 5.8).
    pub swap_high: Option<Max<Bytes>>,
    /// Compressed swap in memory (`memory.zswap.max`; v2, since Linux 5.19).
    pub zswap_max: Option<Max<Bytes>>,
    /// Whether the whole group is killed when memory is out (`memory.oom.group`; v2, since Linux 4.19).
    pub oom_group: Option<Switch>,
    /// 0 to 100 (`memory.swappiness`; v1 only).
    pub swappiness: Option<u64>,
    /// Whether processes wait instead of being killed (`memory.oom_control`; v1 only).
    pub disable_oom_killer: Option<Switch>,
    /// Kernel memory (`memory.kmem.limit_in_bytes`; v1). Refused since Linux 5.16, which takes it without effect.
    pub kernel_max: Option<Max<Bytes>>,
    /// Buffers of TCP (`memory.kmem.tcp.limit_in_bytes`; v1 only).
    pub kernel_tcp_max: Option<Max<Bytes>>,
    /// Whether a group counts what the groups below it use (v1 `memory.use_hierarchy`). Always on in v2, and on v1 since
    /// Linux 5.11: off is refused there.
    pub use_hierarchy: Option<Switch>,
    /// Whether an update refuses a [`max`](Self::max) below what the group uses, instead of reclaiming and killing. It
    /// is no limit: nothing is written for it.
    pub check_before_update: Option<Switch>,
}

impl MemoryLimits {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let mut order = |low: (&'static str, Option<Max<Bytes>>),
                         high: (&str, Option<Max<Bytes>>)| {
            if let (Some(less), Some(more)) = (low.1, high.1)
                && more.is_below(&less)
            {
                problems.push(Problem::new(low.0, format!("{less} is above {} = {more}", high.0)));
            }
        };
        let (max, high) = (("memory.max", self.max), ("memory.high", self.high));
        order(("memory.low", self.low), max);
        order(("memory.min", self.min), max);
        order(("memory.low", self.low), high);
        order(("memory.swap.high", self.swap_high), ("memory.swap.max", self.swap_max));
        order(high, max);
        order(max, ("memory and swap", self.memory_and_swap_max));
        if self.swap_max.is_some() && self.memory_and_swap_max.is_some() {
            let reason = "swap is limited alone and together with memory";
            problems.push(Problem::new("memory.swap.max", reason));
        }
        let total_alone = self.memory_and_swap_max.is_some_and(|total| total != Max::Max);
        if total_alone && self.max.is_none() {
            problems.push(Problem::new("memory and swap", "needs memory.max"));
        }
        if self.max == Some(Max::Limit(Bytes::new(0))) {
            problems.push(Problem::new("memory.max", "nothing runs without memory"));
        }
        if self.swappiness.is_some_and(|swappiness| swappiness > 100) {
            problems.push(Problem::new("memory.swappiness", "is not between 0 and 100"));
        }
    }
}

/// CPU time per period (`cpu.max`; v1 `cpu.cfs_quota_us` and `cpu.cfs_period_us`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CpuMax {
    /// CPU time that all processes together may use in each period, 1 ms at least.
    pub quota: Max<Micros>,
    /// 1 ms to 1 s; 100 ms by default.
    pub period: Micros,
}

impl From<Cpus> for CpuMax {
    fn from(cpus: Cpus) -> Self {
        let (quota, period) = cpus.quota_and_period();
        Self { quota: quota.into(), period }
    }
}

/// Limits of CPU time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CpuLimits {
    /// CPU time per period.
    pub max: Option<CpuMax>,
    /// Share among siblings (`cpu.weight`; v1 `cpu.shares`).
    pub weight: Option<Weight>,
    /// Whether the group runs only when nobody else wants to (`cpu.idle`; since Linux 5.15).
    pub idle: Option<Switch>,
    /// Unused quota that may be saved up (`cpu.max.burst`; v1 `cpu.cfs_burst_us`; since Linux 5.14).
    pub burst: Option<Micros>,
    /// Least utilization that the scheduler assumes (`cpu.uclamp.min`).
    pub uclamp_min: Option<Percent>,
    /// Greatest utilization that the scheduler assumes (`cpu.uclamp.max`).
    pub uclamp_max: Option<Percent>,
    /// Real-time period (`cpu.rt_period_us`; v1 only).
    pub rt_period: Option<Micros>,
    /// Real-time budget per period (`cpu.rt_runtime_us`; v1 only).
    pub rt_runtime: Option<Micros>,
}

impl CpuLimits {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let mut problem = |limit, reason: &str| problems.push(Problem::new(limit, reason));
        if let Some(CpuMax { quota, period }) = self.max {
            if !(1_000..=1_000_000).contains(&period.get()) {
                problem("cpu.max", "the period is not between 1 ms and 1 s");
            }
            if quota.limit().is_some_and(|quota| quota.get() < 1_000) {
                problem("cpu.max", "the quota is below 1 ms: ask for 0.01 CPUs at least");
            }
            let burst = self.burst.unwrap_or_default();
            if quota.limit().is_some_and(|quota| burst > quota) {
                problem("cpu.max.burst", "is above the quota");
            }
        }
        let above = |low: Option<Percent>, high: Option<Percent>| {
            low.is_some() && high.is_some() && low > high
        };
        if above(self.uclamp_min, self.uclamp_max) {
            problem("cpu.uclamp.min", "is above cpu.uclamp.max");
        }
        let period = self.rt_period.unwrap_or(Micros::new(u64::MAX));
        if self.rt_runtime.is_some_and(|runtime| runtime > period) {
            problem("cpu.rt_runtime_us", "is above the period");
        }
    }
}

/// Which CPUs and memory nodes (cpuset(7)).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CpusetLimits {
    /// CPUs (`cpuset.cpus`).
    pub cpus: Option<NumberList>,
    /// Memory nodes (`cpuset.mems`).
    pub mems: Option<NumberList>,
    /// `member`, `root` or `isolated` (`cpuset.cpus.partition`; v2 only). Refused where the kernel says that the group
    /// cannot be that.
    pub partition: Option<String>,
}

/// Network class and priorities (v1 only; Documentation/admin-guide/cgroup-v1/net_cls.rst and net_prio.rst).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NetworkLimits {
    /// Class of outgoing packets (`net_cls.classid`).
    pub class_id: Option<u32>,
    /// Priority by interface (`net_prio.ifpriomap`).
    pub priorities: BTreeMap<String, u32>,
}
