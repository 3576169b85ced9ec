//! `linux.resources`.

use std::collections::HashMap;

use super::report::Report;
use super::{cpus, devices};
use crate::oci::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources, LinuxThrottleDevice,
};
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

const SIZES: (i128, i128) = (-1, i64::MAX as i128);
const COUNTS: (i128, i128) = (0, i64::MAX as i128);
const WEIGHTS: (i128, i128) = (10, 1000);

pub(super) fn check(report: &mut Report, at: &JsonPath, resources: &LinuxResources) {
    let rules = resources.devices().as_deref().unwrap_or_default();
    devices::rules(report, &at.key("devices"), rules);
    if let Some(memory) = resources.memory() {
        self::memory(report, &at.key("memory"), memory);
    }
    if let Some(cpu) = resources.cpu() {
        self::cpu(report, &at.key("cpu"), cpu);
    }
    if let Some(pids) = resources.pids() {
        report.within(at.key("pids").key("limit"), pids.limit(), SIZES);
    }
    if let Some(block_io) = resources.block_io() {
        self::block_io(report, &at.key("blockIO"), block_io);
    }
    let pages = resources.hugepage_limits().as_deref().unwrap_or_default();
    hugepages(report, &at.key("hugepageLimits"), pages);
    let network = resources.network().as_ref();
    let priorities = network.and_then(|network| network.priorities().as_deref());
    for (index, priority) in priorities.unwrap_or_default().iter().enumerate() {
        if priority.name().is_empty() {
            let at = at.key("network").key("priorities").index(index);
            report.add(at.key("name"), Flaw::Empty);
        }
    }
    for (name, limits) in sorted(resources.rdma().as_ref()) {
        let at = at.key("rdma").key(name);
        if name.is_empty() || name.contains(char::is_whitespace) {
            report.add(
                at.clone(),
                Flaw::NotA { found: Excerpt::of(name), expected: Expected::Interface },
            );
        }
        if limits.hca_handles().is_none() && limits.hca_objects().is_none() {
            report.add(at, Flaw::Empty);
        }
    }
    for (file, _) in sorted(resources.unified().as_ref()) {
        if !is_group_file(file) {
            let found = Excerpt::of(file);
            let flaw = Flaw::NotA { found, expected: Expected::GroupFile };
            report.add(at.key("unified").key(file), flaw);
        }
    }
}

fn sorted<T>(map: Option<&HashMap<String, T>>) -> Vec<(&String, &T)> {
    let mut entries: Vec<_> = map.into_iter().flatten().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// `controller.file`, and no file of the core: those are the runtime's.
fn is_group_file(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let parts = name.split_once('.').filter(|(controller, file)| {
        !controller.is_empty() && !file.is_empty() && *controller != "cgroup"
    });
    parts.is_some() && name.bytes().all(is_plain)
}

fn memory(report: &mut Report, at: &JsonPath, memory: &LinuxMemory) {
    let sizes = [
        ("limit", memory.limit()),
        ("reservation", memory.reservation()),
        ("swap", memory.swap()),
        ("kernel", memory.kernel()),
        ("kernelTCP", memory.kernel_tcp()),
    ];
    for (key, size) in sizes {
        report.within(at.key(key), size.unwrap_or(-1), SIZES);
    }
    if let Some(swappiness) = memory.swappiness() {
        report.within(at.key("swappiness"), swappiness, (0, 100));
    }
    // 0 and -1 say nothing, and "no limit".
    let limit = memory.limit().filter(|limit| *limit > 0);
    for (key, size, is_below) in
        [("swap", memory.swap(), true), ("reservation", memory.reservation(), false)]
    {
        let (Some(limit), Some(size)) = (limit, size.filter(|size| *size > 0)) else { continue };
        // `swap` is memory and swap together.
        if is_below && size < limit {
            report.add(at.key("limit"), Flaw::MoreThan { limit: at.key(key) });
        } else if !is_below && size > limit {
            report.add(at.key(key), Flaw::MoreThan { limit: at.key("limit") });
        }
    }
}

fn cpu(report: &mut Report, at: &JsonPath, cpu: &LinuxCpu) {
    // cgroup v1 moves shares into 2..=262144 by itself; 0 says nothing.
    report.within(at.key("shares"), cpu.shares().unwrap_or(0), (0, u64::MAX.into()));
    report.within(at.key("quota"), cpu.quota().unwrap_or(-1), SIZES);
    let quota = cpu.quota().filter(|quota| *quota > 0);
    if let Some(quota) = quota {
        report.within(at.key("quota"), quota, (1000, i64::MAX.into()));
    }
    if let Some(period) = cpu.period().filter(|period| *period > 0) {
        report.within(at.key("period"), period, (1000, 1_000_000));
    }
    if let (Some(burst), Some(quota)) = (cpu.burst(), quota)
        && i128::from(burst) > i128::from(quota)
    {
        report.add(at.key("burst"), Flaw::MoreThan { limit: at.key("quota") });
    }
    report.within(at.key("idle"), cpu.idle().unwrap_or(0), (0, 1));
    report.within(at.key("realtimeRuntime"), cpu.realtime_runtime().unwrap_or(-1), SIZES);
    let runtime = cpu.realtime_runtime().map_or(0, i128::from);
    if cpu.realtime_period().is_some_and(|period| period > 0 && runtime > i128::from(period)) {
        let limit = at.key("realtimePeriod");
        report.add(at.key("realtimeRuntime"), Flaw::MoreThan { limit });
    }
    cpus::list(report, at.key("cpus"), cpu.cpus().as_deref());
    cpus::list(report, at.key("mems"), cpu.mems().as_deref());
}

fn block_io(report: &mut Report, at: &JsonPath, block_io: &LinuxBlockIo) {
    weight(report, at.key("weight"), block_io.weight());
    weight(report, at.key("leafWeight"), block_io.leaf_weight());
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        let at = at.key("weightDevice").index(index);
        report.within(at.key("major"), device.major(), COUNTS);
        report.within(at.key("minor"), device.minor(), COUNTS);
        weight(report, at.key("weight"), device.weight());
        weight(report, at.key("leafWeight"), device.leaf_weight());
        if device.weight().is_none() && device.leaf_weight().is_none() {
            report.add(at.key("weight"), Flaw::Missing);
        }
    }
    let lists: [(_, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("throttleReadBpsDevice", block_io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", block_io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", block_io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", block_io.throttle_write_iops_device()),
    ];
    for (key, devices) in lists {
        for (index, device) in devices.iter().flatten().enumerate() {
            let at = at.key(key).index(index);
            report.within(at.key("major"), device.major(), COUNTS);
            report.within(at.key("minor"), device.minor(), COUNTS);
        }
    }
}

/// 0 says nothing.
fn weight(report: &mut Report, at: JsonPath, weight: Option<u16>) {
    if let Some(weight) = weight.filter(|weight| *weight != 0) {
        report.within(at, weight, WEIGHTS);
    }
}

fn hugepages(report: &mut Report, at_list: &JsonPath, limits: &[LinuxHugepageLimit]) {
    for (index, limit) in limits.iter().enumerate() {
        let at = at_list.index(index);
        if !is_page_size(limit.page_size()) {
            let found = Excerpt::of(limit.page_size());
            report.add(at.key("pageSize"), Flaw::NotA { found, expected: Expected::PageSize });
        }
        let earlier = limits[..index].iter();
        if let Some(first) = earlier.map(|it| it.page_size()).position(|it| it == limit.page_size())
        {
            let first = at_list.index(first).key("pageSize");
            report.add(at.key("pageSize"), Flaw::Duplicate { first });
        }
        report.within(at.key("limit"), limit.limit(), COUNTS);
    }
}

/// A number without a leading zero, and a unit.
fn is_page_size(text: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| {
        number.parse::<u32>().is_ok_and(|value| value > 0)
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && !number.starts_with('0')
    })
}
