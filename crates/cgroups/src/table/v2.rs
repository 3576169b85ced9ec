//! The files of version 2 (Documentation/admin-guide/cgroup-v2.rst).
//!
//! Invariant: the order is the order of the writes.

use std::borrow::Cow;

use super::{Cell, Lines, Row, lines, text};
use crate::controller::Controllers as C;
use crate::limits::{IoDevice, Limits, Switch};
use crate::unit::{Bytes, Max};

const fn one(limit: &'static str, controller: C, text: fn(&Limits) -> Option<String>) -> Row {
    Row { limit, controller, cell: Cell::One(limit, text) }
}

const fn many(limit: &'static str, controller: C, texts: fn(&Limits) -> Lines) -> Row {
    Row { limit, controller, cell: Cell::Many(texts) }
}

const fn absent(limit: &'static str, controller: C, asked: fn(&Limits) -> bool) -> Row {
    Row { limit, controller, cell: Cell::Absent(asked) }
}

pub(super) const TABLE: [Row; 40] = [
    one("memory.max", C::MEMORY, |l| l.memory.max.map(bytes)),
    one("memory.high", C::MEMORY, |l| l.memory.high.map(bytes)),
    one("memory.low", C::MEMORY, |l| l.memory.low.map(bytes)),
    one("memory.min", C::MEMORY, |l| l.memory.min.map(bytes)),
    one("memory.swap.max", C::MEMORY, |l| swap(l).map(bytes)),
    one("memory.swap.high", C::MEMORY, |l| l.memory.swap_high.map(bytes)),
    one("memory.zswap.max", C::MEMORY, |l| l.memory.zswap_max.map(bytes)),
    one("memory.oom.group", C::MEMORY, |l| text(l.memory.oom_group)),
    absent("memory.swappiness", C::MEMORY, |l| l.memory.swappiness.is_some()),
    absent("memory.oom_control", C::MEMORY, |l| l.memory.disable_oom_killer.is_some()),
    // Groups always count what those below use.
    absent("memory.use_hierarchy", C::MEMORY, |l| l.memory.use_hierarchy == Some(Switch::Off)),
    absent("memory.kmem.limit_in_bytes", C::MEMORY, |l| l.memory.kernel_max.is_some()),
    absent("memory.kmem.tcp.limit_in_bytes", C::MEMORY, |l| l.memory.kernel_tcp_max.is_some()),
    one("cpu.max", C::CPU, |l| {
        l.cpu.max.map(|max| {
            let quota = max.quota.map(|quota| quota.get());
            format!("{quota} {}", max.period.get())
        })
    }),
    one("cpu.max.burst", C::CPU, |l| text(l.cpu.burst.map(|burst| burst.get()))),
    one("cpu.weight", C::CPU, |l| text(l.cpu.weight)),
    one("cpu.idle", C::CPU, |l| text(l.cpu.idle)),
    one("cpu.uclamp.max", C::CPU, |l| text(l.cpu.uclamp_max)),
    one("cpu.uclamp.min", C::CPU, |l| text(l.cpu.uclamp_min)),
    absent("cpu.rt_period_us", C::CPU, |l| l.cpu.rt_period.is_some()),
    absent("cpu.rt_runtime_us", C::CPU, |l| l.cpu.rt_runtime.is_some()),
    one("cpuset.cpus", C::CPUSET, |l| text(l.cpuset.cpus.as_ref())),
    one("cpuset.mems", C::CPUSET, |l| text(l.cpuset.mems.as_ref())),
    one("cpuset.cpus.partition", C::CPUSET, |l| l.cpuset.partition.clone()),
    one("pids.max", C::PIDS, |l| text(l.pids_max)),
    one("io.weight", C::IO, |l| l.io.weight.map(|weight| format!("default {weight}"))),
    many("io.weight", C::IO, |l| lines(l, "io.weight", |device| text(device.weight))),
    absent("io.leaf_weight", C::IO, |l| {
        let of_device = |device: &IoDevice| device.leaf_weight.is_some();
        l.io.leaf_weight.is_some() || l.io.devices.iter().any(of_device)
    }),
    many("io.max", C::IO, |l| lines(l, "io.max", io_max)),
    many("io.latency", C::IO, |l| {
        lines(l, "io.latency", |device| device.latency.map(|time| format!("target={}", time.get())))
    }),
    many("hugetlb", C::HUGETLB, |l| {
        let file = |size: &str| Cow::Owned(format!("hugetlb.{size}.max"));
        l.hugetlb.iter().map(|(size, max)| (file(size), bytes(*max))).collect()
    }),
    many("hugetlb.rsvd", C::HUGETLB, |l| {
        let file = |size: &str| Cow::Owned(format!("hugetlb.{size}.rsvd.max"));
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
    absent("net_cls.classid", C::NET_CLS, |l| l.network.class_id.is_some()),
    absent("net_prio.ifpriomap", C::NET_PRIO, |l| !l.network.priorities.is_empty()),
    one("cgroup.max.depth", C::empty(), |l| text(l.max_depth)),
    one("cgroup.max.descendants", C::empty(), |l| text(l.max_descendants)),
    // A program, not a file: attached where the group is made.
    absent("devices", C::DEVICES, |_| false),
    many("unified", C::empty(), |l| {
        l.unified.iter().map(|(file, text)| (Cow::Owned(file.clone()), text.clone())).collect()
    }),
];

/// Bytes as a number: the kernel would also read units.
fn bytes(limit: Max<Bytes>) -> String {
    limit.map(Bytes::get).to_string()
}

/// Swap alone.
fn swap(limits: &Limits) -> Option<Max<Bytes>> {
    let memory = &limits.memory;
    let of_both = || match (memory.memory_and_swap_max?, memory.max) {
        (Max::Limit(both), Some(Max::Limit(max))) => {
            Some(Bytes::new(both.get().saturating_sub(max.get())).into())
        }
        _ => Some(Max::Max),
    };
    memory.swap_max.or_else(of_both)
}

fn io_max(device: &IoDevice) -> Option<String> {
    let rate = |name: &str, rate: Option<Max<u64>>| rate.map(|rate| format!("{name}={rate}"));
    let number = |limit: Option<Max<Bytes>>| limit.map(|limit| limit.map(Bytes::get));
    let words: Vec<String> = [
        rate("rbps", number(device.read_bps)),
        rate("wbps", number(device.write_bps)),
        rate("riops", device.read_iops),
        rate("wiops", device.write_iops),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!words.is_empty()).then(|| words.join(" "))
}
