use super::*;

fn writes(limits: &Limits, version: Version) -> Result<Vec<Write>> {
    super::writes(limits, &|_| version)
}

use crate::ErrorKind;
use crate::limits::{CpuMax, Switch};
use crate::unit::{Bytes, Cpus, Max, Weight};

fn written(limits: &Limits, version: Version) -> Vec<(String, String)> {
    let writes = writes(limits, version).unwrap();
    writes.into_iter().map(|write| (write.file.into_owned(), write.text)).collect()
}

fn usual() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(128).into());
    limits.memory.swap_max = Some(Bytes::new(0).into());
    limits.cpu.max = Some(CpuMax::from("0.5".parse::<Cpus>().unwrap()));
    limits.cpu.weight = Some(Weight::new(200).unwrap());
    limits.pids_max = Some(64.into());
    limits
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(file, text)| (file.to_owned(), text.to_owned())).to_vec()
}

#[test]
fn the_usual_limits_on_v2() {
    assert_eq!(
        written(&usual(), Version::V2),
        pairs([
            ("memory.max", "134217728"),
            ("memory.swap.max", "0"),
            ("cpu.max", "50000 100000"),
            ("cpu.weight", "200"),
            ("pids.max", "64"),
        ])
    );
}

#[test]
fn the_usual_limits_on_v1() {
    let shares = Weight::new(200).unwrap().to_shares().to_string();
    assert_eq!(
        written(&usual(), Version::V1),
        pairs([
            ("memory.limit_in_bytes", "134217728"),
            ("memory.memsw.limit_in_bytes", "134217728"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.shares", &shares),
            ("pids.max", "64"),
        ])
    );
}

#[test]
fn no_limit_is_written_as_each_version_has_it() {
    let mut limits = Limits::default();
    limits.memory.max = Some(Max::Max);
    limits.pids_max = Some(Max::Max);
    assert_eq!(written(&limits, Version::V2), pairs([("memory.max", "max"), ("pids.max", "max")]));
    let v1 = pairs([("memory.limit_in_bytes", "-1"), ("pids.max", "max")]);
    assert_eq!(written(&limits, Version::V1), v1);
}

#[test]
fn swap_is_converted() {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(100).into());
    limits.memory.memory_and_swap_max = Some(Bytes::mib(150).into());
    let swap = (50 << 20).to_string();
    assert!(written(&limits, Version::V2).contains(&("memory.swap.max".into(), swap)));
    let both = (150 << 20).to_string();
    assert!(written(&limits, Version::V1).contains(&("memory.memsw.limit_in_bytes".into(), both)));
}

#[test]
fn devices_by_lines() {
    let mut limits = Limits::default();
    let mut device = IoDevice::new(8, 0);
    device.read_bps = Some(Bytes::mib(1).into());
    device.write_iops = Some(Max::Max);
    limits.io.devices.push(device);
    assert_eq!(written(&limits, Version::V2), pairs([("io.max", "8:0 rbps=1048576 wiops=max")]));
    assert_eq!(
        written(&limits, Version::V1),
        pairs([
            ("blkio.throttle.read_bps_device", "8:0 1048576"),
            ("blkio.throttle.write_iops_device", "8:0 0"),
        ])
    );
}

#[test]
fn what_a_version_lacks_is_refused_by_name() {
    let mut limits = Limits::default();
    limits.memory.swappiness = Some(10);
    let error = writes(&limits, Version::V2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("memory.swappiness"), "{error}");
    let mut limits = Limits::default();
    limits.memory.oom_group = Some(Switch::On);
    let error = writes(&limits, Version::V1).unwrap_err();
    assert!(error.to_string().contains("memory.oom.group"), "{error}");
}

#[test]
fn rules_for_devices_start_from_nothing() {
    let rules = |texts: [&str; 2]| {
        let devices = texts.map(|text| text.parse().unwrap()).into();
        Limits { devices, ..Limits::default() }
    };
    let limits = rules(["allow a *:* rwm", "deny c 1:3 w"]);
    let expected =
        pairs([("devices.deny", "a"), ("devices.allow", "a"), ("devices.deny", "c 1:3 w")]);
    assert_eq!(written(&limits, Version::V1), expected);
    // The kernel would take it and keep the device open.
    let error = writes(&rules(["allow c *:* rwm", "deny c 1:3 rwm"]), Version::V1).unwrap_err();
    assert_eq!((error.kind(), error.problems()[0].limit()), (ErrorKind::InvalidLimits, "devices"));
}

#[test]
fn what_v1_would_weaken_is_refused() {
    let mut limits = Limits::default();
    limits.memory.swap_max = Some(Bytes::mib(1).into());
    limits.io.weight = Some(Weight::new(5000).unwrap());
    assert_eq!(writes(&limits, Version::V1).unwrap_err().problems().len(), 2);
    assert_eq!(writes(&limits, Version::V2).unwrap().len(), 2);
}

#[test]
fn a_controller_is_of_the_version_that_has_it() {
    let hugetlb_on_v2 = |controller: Controllers| match controller {
        Controllers::HUGETLB => Version::V2,
        _ => Version::V1,
    };
    let mut limits = usual();
    limits.hugetlb.insert("2MB".into(), Bytes::mib(4).into());
    limits.hugetlb_reserved.insert("2MB".into(), Max::Max);
    let writes = super::writes(&limits, &hugetlb_on_v2).unwrap();
    let files: Vec<&str> = writes.iter().map(|write| &*write.file).collect();
    assert_eq!(files[0], "memory.limit_in_bytes");
    assert_eq!(files[files.len() - 2..], ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"]);
    // What only v2 has is no contradiction where memory is on v2.
    let memory_on_v2 = |controller: Controllers| match controller {
        Controllers::MEMORY => Version::V2,
        _ => Version::V1,
    };
    let mut limits = Limits::default();
    limits.memory.high = Some(Bytes::mib(1).into());
    limits.memory.swap_max = Some(Bytes::mib(1).into());
    assert_eq!(super::writes(&limits, &memory_on_v2).unwrap().len(), 2);
    assert_eq!(writes_of(&limits).kind(), ErrorKind::InvalidLimits);
}

fn writes_of(limits: &Limits) -> crate::Error {
    writes(limits, Version::V1).unwrap_err()
}

#[test]
fn rare_limits_of_each_version() {
    let mut limits = Limits::default();
    limits.hugetlb_reserved.insert("1GB".into(), Bytes::gib(1).into());
    limits.memory.use_hierarchy = Some(Switch::On);
    limits.memory.check_before_update = Some(Switch::On);
    let gib = (1u64 << 30).to_string();
    assert_eq!(written(&limits, Version::V2), pairs([("hugetlb.1GB.rsvd.max", &gib)]));
    let expected =
        pairs([("memory.use_hierarchy", "1"), ("hugetlb.1GB.rsvd.limit_in_bytes", &gib)]);
    assert_eq!(written(&limits, Version::V1), expected);
    let mut limits = Limits::default();
    limits.memory.swap_high = Some(Bytes::mib(1).into());
    assert_eq!(written(&limits, Version::V2), pairs([("memory.swap.high", "1048576")]));
    assert_eq!(writes_of(&limits).limit_name(), Some("memory.swap.high"));
    let mut limits = Limits::default();
    let mut device = IoDevice::new(8, 0);
    device.leaf_weight = Some(Weight::new(300).unwrap());
    limits.io.leaf_weight = Some(Weight::new(200).unwrap());
    limits.io.devices.push(device);
    let expected = pairs([("blkio.leaf_weight", "200"), ("blkio.leaf_weight_device", "8:0 300")]);
    assert_eq!(written(&limits, Version::V1), expected);
    assert_eq!(writes(&limits, Version::V2).unwrap_err().limit_name(), Some("io.leaf_weight"));
    limits = Limits::default();
    limits.memory.use_hierarchy = Some(Switch::Off);
    assert_eq!(
        writes(&limits, Version::V2).unwrap_err().limit_name(),
        Some("memory.use_hierarchy")
    );
}
