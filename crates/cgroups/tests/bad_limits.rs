//! Limits that cannot be, told from the data alone: each problem names its limit.
//!
//! Kernel objects: none. Invariant: what is refused here never reaches the kernel.

use ampoule_cgroups::limits::{CpuMax, IoDevice};
use ampoule_cgroups::{
    Bytes, Cpus, DeviceRule, Error, ErrorKind, GroupPath, Limits, Max, Micros, NumberList, Percent,
    Weight,
};

fn kind<T: std::str::FromStr<Err = Error>>(text: &str) -> Option<ErrorKind> {
    text.parse::<T>().err().map(|error| error.kind())
}

#[test]
fn texts_that_are_no_values() {
    const NUMBERS: [&str; 10] =
        ["", "-1", "-1m", "99999999999999999999", "1.2.3", "nan", "0x10", " 1", "1 ", "1e400"];
    type Parse = fn(&str) -> Option<ErrorKind>;
    let parsers: [(&str, Parse); 6] = [
        ("Bytes", kind::<Bytes>),
        ("Max<Bytes>", kind::<Max<Bytes>>),
        ("Cpus", kind::<Cpus>),
        ("Weight", kind::<Weight>),
        ("Percent", kind::<Percent>),
        ("NumberList", kind::<NumberList>),
    ];
    for (name, parse) in parsers {
        // No CPUs at all is a list.
        let list = name == "NumberList";
        for text in NUMBERS.into_iter().filter(|text| !(list && text.trim().len() < 2)) {
            assert_eq!(parse(text), Some(ErrorKind::InvalidValue), "{name}: {text:?}");
        }
    }
    for text in ["17592186044416g", "18446744073709551616", "16777216t"] {
        assert_eq!(kind::<Bytes>(text), Some(ErrorKind::InvalidValue), "{text}");
    }
    for text in ["allow x 1:3 r", "allow c 1:3 q", "c 1:3", "allow c -1:3 r", "allow c 1 r"] {
        assert_eq!(kind::<DeviceRule>(text), Some(ErrorKind::InvalidValue), "{text}");
    }
    for json in [
        r#"{"pids_max": -1}"#,
        r#"{"pids_max": 18446744073709551616}"#,
        r#"{"memory": {"max": -1}}"#,
        r#"{"memory": {"maximum": 1}}"#,
        r#"{"cpu": {"weight": 0}}"#,
    ] {
        assert!(serde_json::from_str::<Limits>(json).is_err(), "{json}");
    }
}

#[test]
fn paths_that_leave_the_tree() {
    let long = "x/".repeat(3000);
    for path in ["", "/", "..", "/..", "a/..", "a/../b", "a//b", "./a", "a\nb", "a\0b", &long] {
        assert_eq!(kind::<GroupPath>(path), Some(ErrorKind::InvalidPath), "{path:?}");
    }
}

fn memory(set: fn(&mut ampoule_cgroups::limits::MemoryLimits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits.memory);
    limits
}

fn cpu(quota: u64, period: u64, burst: u64) -> Limits {
    let mut limits = Limits::default();
    let (quota, period) = (Max::Limit(Micros::new(quota)), Micros::new(period));
    limits.cpu.max = Some(CpuMax { quota, period });
    limits.cpu.burst = Some(Micros::new(burst));
    limits
}

fn device(set: fn(&mut IoDevice)) -> Limits {
    let mut limits = Limits::default();
    let mut device = IoDevice::new(8, 0);
    set(&mut device);
    limits.io.devices.push(device);
    limits
}

fn mib(count: u64) -> Option<Max<Bytes>> {
    Some(Bytes::mib(count).into())
}

fn named(set: fn(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits);
    limits
}

#[test]
fn contradictions_of_memory_are_named() {
    refused([
        ("memory.low", memory(|memory| (memory.low, memory.max) = (mib(2), mib(1)))),
        ("memory.min", memory(|memory| (memory.min, memory.max) = (mib(2), mib(1)))),
        ("memory.high", memory(|memory| (memory.high, memory.max) = (mib(2), mib(1)))),
        ("memory.low", memory(|memory| (memory.low, memory.high) = (Some(Max::Max), mib(1)))),
        (
            "memory.swap.high",
            memory(|memory| (memory.swap_high, memory.swap_max) = (mib(2), mib(1))),
        ),
        (
            "memory.max",
            memory(|memory| (memory.max, memory.memory_and_swap_max) = (mib(2), mib(1))),
        ),
        ("memory and swap", memory(|memory| memory.memory_and_swap_max = mib(1))),
        ("memory.max", memory(|memory| memory.max = mib(0))),
        ("memory.swappiness", memory(|memory| memory.swappiness = Some(101))),
    ]);
}

#[test]
fn other_contradictions_are_named() {
    refused([
        ("cpu.max", cpu(999, 100_000, 0)),
        ("cpu.max", cpu(1_000, 999, 0)),
        ("cpu.max", cpu(1_000, 1_000_001, 0)),
        ("cpu.max.burst", cpu(50_000, 100_000, 50_001)),
        ("io.max", device(|device| device.read_bps = mib(0))),
        ("io.max", device(|device| device.write_iops = Some(Max::Limit(0)))),
        ("io.max", named(|limits| limits.io.devices = vec![IoDevice::new(8, 0); 2])),
        (
            "hugetlb",
            named(|limits| {
                limits.hugetlb.insert("../2MB".into(), Max::Max);
            }),
        ),
        (
            "hugetlb.rsvd",
            named(|limits| {
                limits.hugetlb_reserved.insert(String::new(), Max::Max);
            }),
        ),
        (
            "misc",
            named(|limits| {
                limits.misc.insert("a b".into(), Max::Max);
            }),
        ),
        (
            "rdma",
            named(|limits| {
                limits.rdma.insert("a\nb".into(), "hca_handle=1".into());
            }),
        ),
        (
            "unified",
            named(|limits| {
                limits.unified.insert("../memory.max".into(), "1".into());
            }),
        ),
        (
            "unified",
            named(|limits| {
                limits.unified.insert("cgroup.procs".into(), "1".into());
            }),
        ),
    ]);
}

#[track_caller]
fn refused<const N: usize>(cases: [(&str, Limits); N]) {
    for (limit, limits) in cases {
        let error = limits.validate().expect_err(limit);
        assert_eq!(
            (error.kind(), error.limit_name()),
            (ErrorKind::InvalidLimits, Some(limit)),
            "{error}"
        );
        assert_eq!(error.problems().len(), 1, "{error}");
        assert!(error.to_string().starts_with(limit), "{error}");
    }
}
