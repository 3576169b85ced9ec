//! `linux.resources`.
//!
//! Numbers mean what they mean to other runtimes: -1 is no limit, and 0 says nothing where the kernel has no such value.

use ampoule_cgroups::limits::devices::container_rules;
use ampoule_cgroups::limits::{
    CpuLimits, CpuMax, CpusetLimits, IoDevice, IoLimits, MemoryLimits, NetworkLimits, Switch,
};
use ampoule_cgroups::{
    Bytes, DeviceAccess, DeviceAction, DeviceKind, DeviceRule, Limits, Max, Micros, NumberList,
    Shares, Weight,
};
use ampoule_spec::JsonPath;
use ampoule_spec::oci::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxNetwork,
    LinuxRdma, LinuxResources, LinuxThrottleDevice,
};

use super::reading::Reading;

/// The period of a quota unless it is said, in microseconds (`cpu.max`).
const PERIOD: u64 = 100_000;

pub(super) fn limits(resources: &LinuxResources, at: &JsonPath, reading: &mut Reading) -> Limits {
    let mut limits = Limits::default();
    let rules = resources.devices().iter().flatten().enumerate();
    let at_devices = at.key("devices");
    limits.devices = rules
        .filter_map(|(index, rule)| device_rule(rule, &at_devices.index(index), reading))
        .collect();
    if !limits.devices.is_empty() && !limits.devices.ends_with(&container_rules()) {
        limits.devices.extend(container_rules());
    }
    if let Some(memory) = resources.memory() {
        limits.memory = self::memory(memory, &at.key("memory"), reading);
    }
    if let Some(cpu) = resources.cpu() {
        limits.cpu = self::cpu(cpu, &at.key("cpu"), reading);
        limits.cpuset = cpuset(cpu, &at.key("cpu"), reading);
    }
    let pids = resources.pids().map(|pids| pids.limit()).filter(|limit| *limit != 0);
    limits.pids_max = pids.map(|limit| u64::try_from(limit).map_or(Max::Max, Max::Limit));
    if let Some(block) = resources.block_io() {
        limits.io = io(block, &at.key("blockIO"), reading);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        limits.hugetlb.insert(limit.page_size().clone(), bytes(limit.limit()));
    }
    if let Some(network) = resources.network() {
        limits.network = self::network(network);
    }
    limits.rdma = resources.rdma().iter().flatten().map(rdma).collect();
    limits.unified = resources.unified().clone().into_iter().flatten().collect();
    limits
}

/// Bytes; a number below 0 is no limit.
fn bytes(number: i64) -> Max<Bytes> {
    u64::try_from(number).map_or(Max::Max, |number| Max::Limit(Bytes::new(number)))
}

fn switch(on: bool) -> Switch {
    if on { Switch::On } else { Switch::Off }
}

fn memory(memory: &LinuxMemory, at: &JsonPath, reading: &mut Reading) -> MemoryLimits {
    let said = |limit: Option<i64>| limit.filter(|limit| *limit != 0).map(bytes);
    let mut limits = MemoryLimits::default();
    limits.max = said(memory.limit());
    limits.low = said(memory.reservation());
    limits.memory_and_swap_max = said(memory.swap());
    limits.kernel_max = said(memory.kernel());
    limits.kernel_tcp_max = said(memory.kernel_tcp());
    limits.swappiness = memory.swappiness();
    // What is off unless it is on need not be written.
    limits.disable_oom_killer = memory.disable_oom_killer().filter(|on| *on).map(switch);
    limits.use_hierarchy = memory.use_hierarchy().map(switch);
    limits.check_before_update = memory.check_before_update().map(switch);
    if limits.memory_and_swap_max.is_some_and(|swap| swap != Max::Max) && limits.max.is_none() {
        reading.refuse(&at.key("swap"), "is memory and swap together: it needs a limit of memory");
    }
    limits
}

fn cpu(cpu: &LinuxCpu, at: &JsonPath, reading: &mut Reading) -> CpuLimits {
    let mut limits = CpuLimits::default();
    let shares = cpu.shares().filter(|shares| *shares != 0);
    let shares = shares.and_then(|shares| reading.keep(&at.key("shares"), Shares::new(shares)));
    limits.weight = shares.map(Shares::to_weight);
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let none = |quota: i64| u64::try_from(quota).map_or(Max::Max, |n| Max::Limit(Micros::new(n)));
    limits.max = (quota.is_some() || period.is_some()).then(|| CpuMax {
        quota: quota.map_or(Max::Max, none),
        period: Micros::new(period.unwrap_or(PERIOD)),
    });
    limits.burst = cpu.burst().map(Micros::new);
    limits.idle = match cpu.idle() {
        None => None,
        Some(0) => Some(Switch::Off),
        Some(1) => Some(Switch::On),
        Some(other) => {
            reading.refuse(&at.key("idle"), format!("{other} is neither 0 nor 1"));
            None
        }
    };
    limits.rt_period = cpu.realtime_period().filter(|it| *it != 0).map(Micros::new);
    let runtime = cpu.realtime_runtime().filter(|it| *it != 0);
    let runtime = runtime.and_then(|it| reading.number(&at.key("realtimeRuntime"), it));
    limits.rt_runtime = runtime.map(Micros::new);
    limits
}

fn cpuset(cpu: &LinuxCpu, at: &JsonPath, reading: &mut Reading) -> CpusetLimits {
    let mut list = |key: &str, text: &Option<String>| -> Option<NumberList> {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        reading.keep(&at.key(key), text.parse())
    };
    let mut limits = CpusetLimits::default();
    limits.cpus = list("cpus", cpu.cpus());
    limits.mems = list("mems", cpu.mems());
    limits
}

fn weight(number: Option<u16>, at: &JsonPath, reading: &mut Reading) -> Option<Weight> {
    let number = number.filter(|number| *number != 0)?;
    reading.keep(at, Weight::new(u64::from(number)))
}

fn io(block: &LinuxBlockIo, at: &JsonPath, reading: &mut Reading) -> IoLimits {
    let mut limits = IoLimits::default();
    limits.weight = weight(block.weight(), &at.key("weight"), reading);
    limits.leaf_weight = weight(block.leaf_weight(), &at.key("leafWeight"), reading);
    for (index, entry) in block.weight_device().iter().flatten().enumerate() {
        let at = at.key("weightDevice").index(index);
        let own = weight(entry.weight(), &at.key("weight"), reading);
        let leaf = weight(entry.leaf_weight(), &at.key("leafWeight"), reading);
        if let Some(device) = device(&mut limits, (entry.major(), entry.minor()), &at, reading) {
            device.weight = own;
            device.leaf_weight = leaf;
        }
    }
    type Set = fn(&mut IoDevice, u64);
    let throttles: [(&str, &Option<Vec<LinuxThrottleDevice>>, Set); 4] = [
        ("throttleReadBpsDevice", block.throttle_read_bps_device(), |device, rate| {
            device.read_bps = Some(Max::Limit(Bytes::new(rate)));
        }),
        ("throttleWriteBpsDevice", block.throttle_write_bps_device(), |device, rate| {
            device.write_bps = Some(Max::Limit(Bytes::new(rate)));
        }),
        ("throttleReadIOPSDevice", block.throttle_read_iops_device(), |device, rate| {
            device.read_iops = Some(Max::Limit(rate));
        }),
        ("throttleWriteIOPSDevice", block.throttle_write_iops_device(), |device, rate| {
            device.write_iops = Some(Max::Limit(rate));
        }),
    ];
    for (key, entries, set) in throttles {
        for (index, entry) in entries.iter().flatten().enumerate() {
            let at = at.key(key).index(index);
            let numbers = (entry.major(), entry.minor());
            if let Some(device) = device(&mut limits, numbers, &at, reading) {
                set(device, entry.rate());
            }
        }
    }
    limits
}

/// The limits of one device, which several lists are about.
fn device<'a>(
    limits: &'a mut IoLimits,
    (major, minor): (i64, i64),
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<&'a mut IoDevice> {
    let major: u32 = reading.number(&at.key("major"), major)?;
    let minor: u32 = reading.number(&at.key("minor"), minor)?;
    let known = limits.devices.iter().position(|one| (one.major, one.minor) == (major, minor));
    let index = known.unwrap_or_else(|| {
        limits.devices.push(IoDevice::new(major, minor));
        limits.devices.len() - 1
    });
    limits.devices.get_mut(index)
}

fn network(network: &LinuxNetwork) -> NetworkLimits {
    let mut limits = NetworkLimits::default();
    limits.class_id = network.class_id();
    let priorities = network.priorities().iter().flatten();
    limits.priorities = priorities.map(|entry| (entry.name().clone(), entry.priority())).collect();
    limits
}

/// As `rdma.max` has it.
fn rdma((device, limit): (&String, &LinuxRdma)) -> (String, String) {
    let limits = [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())];
    let said = limits.iter().filter_map(|(key, limit)| Some(format!("{key}={}", (*limit)?)));
    (device.clone(), said.collect::<Vec<_>>().join(" "))
}

/// A rule; without numbers, or with -1, it is about all.
fn device_rule(
    rule: &LinuxDeviceCgroup,
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<DeviceRule> {
    let action = if rule.allow() { DeviceAction::Allow } else { DeviceAction::Deny };
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::Any,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Char,
        Some(LinuxDeviceType::P) => {
            reading.refuse(&at.key("type"), "a FIFO is no device");
            return None;
        }
    };
    let letters = rule.access().as_deref().filter(|access| !access.is_empty());
    let letters = letters.unwrap_or("rwm");
    let named = [('r', DeviceAccess::READ), ('w', DeviceAccess::WRITE), ('m', DeviceAccess::MKNOD)];
    let access = named.iter().filter(|(letter, _)| letters.contains(*letter));
    let access = access.fold(DeviceAccess::empty(), |all, (_, one)| all | *one);
    let mut made = DeviceRule::new(action, kind, access);
    if let Some(major) = rule.major().filter(|major| *major >= 0) {
        made = made.major(reading.number(&at.key("major"), major)?);
    }
    if let Some(minor) = rule.minor().filter(|minor| *minor >= 0) {
        made = made.minor(reading.number(&at.key("minor"), minor)?);
    }
    Some(made)
}
