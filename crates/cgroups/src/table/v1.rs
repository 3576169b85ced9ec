//! The files of version 1 (Documentation/admin-guide/cgroup-v1/).
//!
//! Invariant: the order is the order of the writes: memory before memory with swap, periods before budgets.

use std::borrow::Cow;

use super::{Cell, Lines, Row, lines, text};
use crate::controller::Controllers as C;
use crate::error::{Error, Problem, Result};
use crate::limits::devices::{DeviceAction, DeviceRule};
use crate::limits::{IoDevice, Limits};
use crate::unit::{Bytes, Max};

const fn one(
    limit: &'static str,
    controller: C,
    file: &'static str,
    text: fn(&Limits) -> Option<String>,
) -> Row {
    Row { limit, controller, cell: Cell::One(file, text) }
}

const fn many(limit: &'static str, controller: C, texts: fn(&Limits) -> Lines) -> Row {
    Row { limit, controller, cell: Cell::Many(texts) }
}

const fn absent(limit: &'static str, controller: C, asked: fn(&Limits) -> bool) -> Row {
    Row { limit, controller, cell: Cell::Absent(asked) }
}

pub(super) const TABLE: [Row; 45] = [
    one("memory.max", C::MEMORY, LIMIT, |l| l.memory.max.map(bytes)),
    one("memory.swap.max", C::MEMORY, LIMIT_WITH_SWAP, with_swap),
    one("memory.low", C::MEMORY, "memory.soft_limit_in_bytes", |l| l.memory.low.map(bytes)),
    absent("memory.high", C::MEMORY, |l| l.memory.high.is_some()),
    absent("memory.min", C::MEMORY, |l| l.memory.min.is_some()),
    absent("memory.swap.high", C::MEMORY, |l| l.memory.swap_high.is_some()),
    absent("memory.zswap.max", C::MEMORY, |l| l.memory.zswap_max.is_some()),
    absent("memory.oom.group", C::MEMORY, |l| l.memory.oom_group.is_some()),
    one("memory.swappiness", C::MEMORY, "memory.swappiness", |l| text(l.memory.swappiness)),
    one("memory.oom_control", C::MEMORY, "memory.oom_control", |l| {
        text(l.memory.disable_oom_killer)
    }),
    // Since Linux 5.11 the kernel takes only 1.
    one("memory.use_hierarchy", C::MEMORY, "memory.use_hierarchy", |l| {
        text(l.memory.use_hierarchy)
    }),
    // Since Linux 5.16 the kernel takes it and does nothing, which `ignored.rs` finds out.
    one("memory.kmem.limit_in_bytes", C::MEMORY, "memory.kmem.limit_in_bytes", |l| {
        l.memory.kernel_max.map(bytes)
    }),
    one("memory.kmem.tcp.limit_in_bytes", C::MEMORY, "memory.kmem.tcp.limit_in_bytes", |l| {
        l.memory.kernel_tcp_max.map(bytes)
    }),
    one("cpu.max", C::CPU, "cpu.cfs_period_us", |l| text(l.cpu.max.map(|max| max.period.get()))),
    one("cpu.max", C::CPU, "cpu.cfs_quota_us", |l| {
        l.cpu.max.map(|max| max.quota.limit().map_or("-1".into(), |quota| quota.get().to_string()))
    }),
    one("cpu.max.burst", C::CPU, "cpu.cfs_burst_us", |l| text(l.cpu.burst.map(|time| time.get()))),
    one("cpu.weight", C::CPU, "cpu.shares", |l| {
        text(l.cpu.weight.map(|weight| weight.to_shares()))
    }),
    one("cpu.idle", C::CPU, "cpu.idle", |l| text(l.cpu.idle)),
    one("cpu.uclamp.max", C::CPU, "cpu.uclamp.max", |l| text(l.cpu.uclamp_max)),
    one("cpu.uclamp.min", C::CPU, "cpu.uclamp.min", |l| text(l.cpu.uclamp_min)),
    one("cpu.rt_period_us", C::CPU, "cpu.rt_period_us", |l| text(l.cpu.rt_period.map(|t| t.get()))),
    one("cpu.rt_runtime_us", C::CPU, "cpu.rt_runtime_us", |l| {
        text(l.cpu.rt_runtime.map(|t| t.get()))
    }),
    one("cpuset.cpus", C::CPUSET, "cpuset.cpus", |l| text(l.cpuset.cpus.as_ref())),
    one("cpuset.mems", C::CPUSET, "cpuset.mems", |l| text(l.cpuset.mems.as_ref())),
    absent("cpuset.cpus.partition", C::CPUSET, |l| l.cpuset.partition.is_some()),
    one("pids.max", C::PIDS, "pids.max", |l| text(l.pids_max)),
    one("io.weight", C::IO, "blkio.bfq.weight", |l| text(l.io.weight.map(|w| w.get().min(1000)))),
    many("io.weight", C::IO, |l| {
        lines(l, "blkio.bfq.weight_device", |d| text(d.weight.map(|weight| weight.get().min(1000))))
    }),
    // Gone from the kernel with CFQ in Linux 5.0: refused where the file is not there.
    one("io.leaf_weight", C::IO, "blkio.leaf_weight", |l| text(l.io.leaf_weight)),
    many("io.leaf_weight", C::IO, |l| {
        lines(l, "blkio.leaf_weight_device", |d| text(d.leaf_weight))
    }),
    many("io.max", C::IO, |l| lines(l, "blkio.throttle.read_bps_device", |d| d.read_bps.map(rate))),
    many("io.max", C::IO, |l| {
        lines(l, "blkio.throttle.write_bps_device", |d| d.write_bps.map(rate))
    }),
    many("io.max", C::IO, |l| {
        lines(l, "blkio.throttle.read_iops_device", |d| d.read_iops.map(times))
    }),
    many("io.max", C::IO, |l| {
        lines(l, "blkio.throttle.write_iops_device", |d| d.write_iops.map(times))
    }),
    absent("io.latency", C::IO, |l| l.io.devices.iter().any(latency)),
    many("hugetlb", C::HUGETLB, |l| {
        let file = |size: &str| Cow::Owned(format!("hugetlb.{size}.limit_in_bytes"));
        l.hugetlb.iter().map(|(size, max)| (file(size), bytes(*max))).collect()
    }),
    many("hugetlb.rsvd", C::HUGETLB, |l| {
        let file = |size: &str| Cow::Owned(format!("hugetlb.{size}.rsvd.limit_in_bytes"));
        l.hugetlb_reserved.iter().map(|(size, max)| (file(size), bytes(*max))).collect()
    }),
    many("rdma.max", C::RDMA, |l| {
        l.rdma
            .iter()
            .map(|(device, text)| ("rdma.max".into(), format!("{device} {text}")))
            .collect()
    }),
    many("misc.max", C::MISC, |l| {
        l.misc.iter().map(|(name, max)| ("misc.max".into(), format!("{name} {max}"))).collect()
    }),
    one("net_cls.classid", C::NET_CLS, "net_cls.classid", |l| text(l.network.class_id)),
    many("net_prio.ifpriomap", C::NET_PRIO, |l| {
        let line = |(name, priority): (&String, &u32)| format!("{name} {priority}");
        l.network.priorities.iter().map(|one| ("net_prio.ifpriomap".into(), line(one))).collect()
    }),
    many("devices", C::DEVICES, devices),
    absent("cgroup.max.depth", C::empty(), |l| l.max_depth.is_some()),
    absent("cgroup.max.descendants", C::empty(), |l| l.max_descendants.is_some()),
    absent("unified", C::empty(), |l| !l.unified.is_empty()),
];

pub(crate) const LIMIT: &str = "memory.limit_in_bytes";
pub(crate) const LIMIT_WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

/// Refuses what the files of v1 cannot say, so that nothing is weaker than it was asked for.
pub(super) fn check(limits: &Limits, is_v1: &dyn Fn(C) -> bool) -> Result<()> {
    let mut problems = Vec::new();
    let memory = &limits.memory;
    if is_v1(C::MEMORY) && memory.max.is_none() && matches!(memory.swap_max, Some(Max::Limit(_))) {
        problems.push(Problem::new("memory.swap.max", "needs memory.max on version 1"));
    }
    let of_device = |device: &IoDevice| [device.weight, device.leaf_weight];
    let weights = limits.io.devices.iter().flat_map(of_device);
    let weights = weights.chain([limits.io.weight, limits.io.leaf_weight]);
    if is_v1(C::IO) && weights.flatten().any(|weight| weight.get() > 1000) {
        problems.push(Problem::new("io.weight", "is above 1000, the most on version 1"));
    }
    let rules: &[DeviceRule] = if is_v1(C::DEVICES) { &limits.devices } else { &[] };
    for (index, rule) in rules.iter().enumerate() {
        // An exception is taken away only as it was made; all devices are no exception.
        let widened = |earlier: &DeviceRule| {
            earlier.action() != rule.action() && !earlier.is_all() && earlier.overlaps(rule)
        };
        if !rule.is_all() && rules[..index].iter().any(widened) {
            let reason =
                format!("{rule} changes a part of an earlier rule, which version 1 cannot");
            problems.push(Problem::new("devices", reason));
        }
    }
    Error::of_problems(problems)
}

/// Bytes as a number; -1 for no limit.
fn bytes(limit: Max<Bytes>) -> String {
    limit.limit().map_or("-1".to_owned(), |bytes| bytes.get().to_string())
}

/// Memory and swap together.
fn with_swap(limits: &Limits) -> Option<String> {
    let memory = &limits.memory;
    let sum = || match (memory.swap_max?, memory.max) {
        (Max::Limit(swap), Some(Max::Limit(max))) => {
            Some(Bytes::new(max.get().saturating_add(swap.get())).into())
        }
        _ => Some(Max::Max),
    };
    memory.memory_and_swap_max.or_else(sum).map(bytes)
}

/// 0 removes a rate's limit.
fn rate(limit: Max<Bytes>) -> String {
    limit.limit().map_or("0".to_owned(), |bytes| bytes.get().to_string())
}

fn times(limit: Max<u64>) -> String {
    limit.limit().map_or("0".to_owned(), |times| times.to_string())
}

fn latency(device: &IoDevice) -> bool {
    device.latency.is_some()
}

/// Everything is denied first: that is what the rules start from.
fn devices(limits: &Limits) -> Lines {
    let deny_all = (!limits.devices.is_empty()).then(|| ("devices.deny".into(), "a".to_owned()));
    let rules = limits.devices.iter().map(|rule| {
        let file = match rule.action() {
            DeviceAction::Allow => "devices.allow",
            DeviceAction::Deny => "devices.deny",
        };
        let text = if rule.is_all() { "a".to_owned() } else { rule.to_v1() };
        (Cow::Borrowed(file), text)
    });
    deny_all.into_iter().chain(rules).collect()
}
