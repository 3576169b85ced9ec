//! Every limit that a kernel may have: in force as its file shows it, or refused by name.
//!
//! Kernel objects: groups in a place of this test's own, one that is written to by hand, one that the crate makes.
//! Invariant: what must be in force is what the kernel takes and shows when it is written by hand.

use std::fs;
use std::path::PathBuf;

use ampoule_cgroups::limits::{CpuMax, IoDevice, Switch};
use ampoule_cgroups::{
    Bytes, Controllers, Cpus, ErrorKind, Group, GroupPath, Hierarchies, Limits, Max, Micros, Mode,
    Percent, Place, Weight,
};

/// A file, and what is written to it by hand.
type Line = (&'static str, String);

/// One limit.
struct Case {
    /// Its name in errors.
    name: &'static str,
    limits: Limits,
    v2: Vec<Line>,
    v1: Vec<Line>,
}

/// What must be in force, whatever the kernel was built with.
const ALWAYS_V2: [&str; 18] = [
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "memory.oom.group",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "cpuset.cpus.partition",
    "pids.max",
    "io.max",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "unified",
];
const ALWAYS_V1: [&str; 12] = [
    "memory.max",
    "memory.swap.max",
    "memory.swappiness",
    "memory.oom_control",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "io.max",
];

/// A place of its own, removed with everything in it.
struct Own(Place);

impl Own {
    fn new() -> Self {
        let path = format!("/ampoule-test-{}-every", std::process::id());
        let path = GroupPath::new(path).expect("a path");
        let own = Self(Place::open(&hierarchies(), &path).expect("this tier is root's"));
        // What the groups in it get of real time comes from it (sched-rt-group.rst).
        for dir in own.0.paths().filter(|dir| dir.join("cpu.rt_runtime_us").exists()) {
            fs::write(dir.join("cpu.rt_runtime_us"), "10000").expect("a part of the top's");
        }
        own
    }

    fn group(&self, name: &str, limits: &Limits) -> Result<Group, ampoule_cgroups::Error> {
        Group::create_in(&self.0, name, limits, Controllers::all())
    }

    fn left(&self) -> Vec<PathBuf> {
        let entries = self.0.paths().flat_map(|dir| fs::read_dir(dir).expect("the place"));
        entries.map(|entry| entry.expect("one").path()).filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for dir in self.left() {
            drop(fs::remove_dir(dir));
        }
    }
}

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

fn case(
    name: &'static str,
    v2: &[(&'static str, &str)],
    v1: &[(&'static str, &str)],
    set: impl FnOnce(&mut Limits),
) -> Case {
    let mut limits = Limits::default();
    set(&mut limits);
    let lines = |lines: &[(&'static str, &str)]| {
        lines.iter().map(|(file, text)| (*file, (*text).to_owned())).collect()
    };
    Case { name, limits, v2: lines(v2), v1: lines(v1) }
}

fn mib(count: u64) -> Option<Max<Bytes>> {
    Some(Bytes::mib(count).into())
}

/// A block device that this machine has.
fn device() -> IoDevice {
    let text = fs::read_to_string("/proc/partitions").expect("procfs");
    let line = text.lines().nth(2).expect("a block device");
    let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
    IoDevice::new(numbers.next().expect("a major"), numbers.next().expect("a minor"))
}

const MIB_64: &str = "67108864";
const LIMIT_V1: (&str, &str) = ("memory.limit_in_bytes", MIB_64);

fn of_memory() -> Vec<Case> {
    vec![
        case("memory.max", &[("memory.max", MIB_64)], &[LIMIT_V1], |l| l.memory.max = mib(64)),
        case("memory.high", &[("memory.high", MIB_64)], &[], |l| l.memory.high = mib(64)),
        case(
            "memory.low",
            &[("memory.low", MIB_64)],
            &[("memory.soft_limit_in_bytes", MIB_64)],
            |l| l.memory.low = mib(64),
        ),
        case("memory.min", &[("memory.min", MIB_64)], &[], |l| l.memory.min = mib(64)),
        case(
            "memory.swap.max",
            &[("memory.max", MIB_64), ("memory.swap.max", "1048576")],
            &[LIMIT_V1, ("memory.memsw.limit_in_bytes", "68157440")],
            |l| (l.memory.max, l.memory.swap_max) = (mib(64), mib(1)),
        ),
        case("memory.zswap.max", &[("memory.zswap.max", MIB_64)], &[], |l| {
            l.memory.zswap_max = mib(64);
        }),
        case("memory.oom.group", &[("memory.oom.group", "1")], &[], |l| {
            l.memory.oom_group = Some(Switch::On);
        }),
        case("memory.swappiness", &[], &[("memory.swappiness", "33")], |l| {
            l.memory.swappiness = Some(33);
        }),
        case("memory.oom_control", &[], &[("memory.oom_control", "1")], |l| {
            l.memory.disable_oom_killer = Some(Switch::On);
        }),
        // Since Linux 5.16 the kernel takes any number here and does nothing.
        case("memory.kmem.limit_in_bytes", &[], &[("memory.kmem.limit_in_bytes", MIB_64)], |l| {
            l.memory.kernel_max = mib(64)
        }),
        case(
            "memory.kmem.tcp.limit_in_bytes",
            &[],
            &[("memory.kmem.tcp.limit_in_bytes", MIB_64)],
            |l| l.memory.kernel_tcp_max = mib(64),
        ),
    ]
}

fn of_time() -> Vec<Case> {
    let half = || Some(CpuMax::from("0.5".parse::<Cpus>().expect("a number")));
    let micros = |number| Some(Micros::new(number));
    let weight = Weight::new(200).expect("a weight");
    let shares = weight.to_shares().to_string();
    let quota = ("cpu.cfs_quota_us", "50000");
    let clamp = |percent: &str| Some(percent.parse::<Percent>().expect("a percentage"));
    vec![
        case("cpu.max", &[("cpu.max", "50000 100000")], &[quota], |l| l.cpu.max = half()),
        case(
            "cpu.max.burst",
            &[("cpu.max", "50000 100000"), ("cpu.max.burst", "20000")],
            &[quota, ("cpu.cfs_burst_us", "20000")],
            |l| (l.cpu.max, l.cpu.burst) = (half(), micros(20_000)),
        ),
        case("cpu.weight", &[("cpu.weight", "200")], &[("cpu.shares", &shares)], |l| {
            l.cpu.weight = Some(weight);
        }),
        case("cpu.idle", &[("cpu.idle", "1")], &[("cpu.idle", "1")], |l| {
            l.cpu.idle = Some(Switch::On);
        }),
        case("cpu.uclamp.max", &[("cpu.uclamp.max", "80")], &[("cpu.uclamp.max", "80")], |l| {
            l.cpu.uclamp_max = clamp("80");
        }),
        case("cpu.uclamp.min", &[("cpu.uclamp.min", "20")], &[("cpu.uclamp.min", "20")], |l| {
            l.cpu.uclamp_min = clamp("20");
        }),
        case("cpu.rt_period_us", &[], &[("cpu.rt_period_us", "500000")], |l| {
            l.cpu.rt_period = micros(500_000);
        }),
        case("cpu.rt_runtime_us", &[], &[("cpu.rt_runtime_us", "1000")], |l| {
            l.cpu.rt_runtime = micros(1000);
        }),
    ]
}

fn of_places() -> Vec<Case> {
    let first = || "0".parse().ok();
    let (cpus, mems) = (("cpuset.cpus", "0"), ("cpuset.mems", "0"));
    vec![
        case("cpuset.cpus", &[cpus], &[cpus], |l| l.cpuset.cpus = first()),
        case("cpuset.mems", &[mems], &[mems], |l| l.cpuset.mems = first()),
        case("cpuset.cpus.partition", &[("cpuset.cpus.partition", "member")], &[], |l| {
            l.cpuset.partition = Some("member".into());
        }),
        // The group above is no root of a partition: the kernel takes the word, and says that it is not so.
        case("cpuset.cpus.partition", &[cpus, ("cpuset.cpus.partition", "root")], &[], |l| {
            (l.cpuset.cpus, l.cpuset.partition) = (first(), Some("root".into()))
        }),
        case("pids.max", &[("pids.max", "7")], &[("pids.max", "7")], |l| {
            l.pids_max = Some(7.into());
        }),
        case("cgroup.max.depth", &[("cgroup.max.depth", "3")], &[], |l| {
            l.max_depth = Some(3.into());
        }),
        case("cgroup.max.descendants", &[("cgroup.max.descendants", "5")], &[], |l| {
            l.max_descendants = Some(5.into());
        }),
        case("unified", &[("memory.high", MIB_64)], &[], |l| {
            l.unified.insert("memory.high".into(), MIB_64.into());
        }),
    ]
}

fn of_devices() -> Vec<Case> {
    let one = device();
    let line = |text: &str| format!("{one} {text}");
    let (rate, weight, latency) = (line("rbps=1048576"), line("300"), line("target=10000"));
    let with = |set: fn(&mut IoDevice)| {
        move |l: &mut Limits| {
            let mut one = one;
            set(&mut one);
            l.io.devices.push(one);
        }
    };
    vec![
        case(
            "io.max",
            &[("io.max", &rate)],
            &[("blkio.throttle.read_bps_device", &line("1048576"))],
            with(|one| one.read_bps = mib(1)),
        ),
        case("io.weight", &[("io.weight", "default 200")], &[("blkio.bfq.weight", "200")], |l| {
            l.io.weight = Weight::new(200).ok();
        }),
        case(
            "io.weight",
            &[("io.weight", &weight)],
            &[("blkio.bfq.weight_device", &weight)],
            with(|one| one.weight = Weight::new(300).ok()),
        ),
        case(
            "io.latency",
            &[("io.latency", &latency)],
            &[],
            with(|one| one.latency = Some(Micros::new(10_000))),
        ),
    ]
}

/// Writes by hand; what the files then show, if the kernel does what was written.
fn by_hand(group: &Group, lines: &[Line]) -> Option<Vec<String>> {
    let mut shown = Vec::new();
    for (file, text) in lines {
        let path = group.paths().map(|path| path.join(file)).find(|path| path.exists())?;
        fs::write(&path, text).ok()?;
        shown.push(fs::read_to_string(path).ok()?);
    }
    let is_so = |((_, text), shown): (&Line, &String)| {
        // A percentage is shown with two digits, a device's line with all that it can have.
        let digits = format!("{text}.00");
        let words: Vec<&str> = shown.split_whitespace().collect();
        let has = text.split_whitespace().all(|word| words.contains(&word));
        (has && !shown.contains("invalid")) || words.contains(&digits.as_str())
    };
    (!lines.is_empty() && lines.iter().zip(&shown).all(is_so)).then_some(shown)
}

/// Whether the limit is in force, which must be so if it can be done by hand.
fn is_in_force(own: &Own, case: &Case, is_v2: bool) -> bool {
    let lines = if is_v2 { &case.v2 } else { &case.v1 };
    let by_hand = {
        let group = own.group("by-hand", &Limits::default()).expect("a group");
        let shown = by_hand(&group, lines);
        group.remove().expect("an empty group");
        shown
    };
    match (own.group("made", &case.limits), by_hand) {
        (Ok(group), Some(wanted)) => {
            let shown = lines.iter().map(|(file, _)| group.file(file).expect(file));
            assert_eq!(shown.collect::<Vec<_>>(), wanted, "{}", case.name);
            group.remove().expect("an empty group");
            true
        }
        (Err(error), None) => {
            assert_eq!(error.limit_name(), Some(case.name), "{error}");
            let kinds =
                [ErrorKind::Unsupported, ErrorKind::MissingController, ErrorKind::InvalidLimits];
            assert!(kinds.contains(&error.kind()), "{error}");
            assert!(error.to_string().contains(case.name), "{error}");
            assert_eq!(own.left(), Vec::<PathBuf>::new(), "{error}");
            false
        }
        (Ok(_), None) => panic!("{} is said to be in force", case.name),
        (Err(error), Some(_)) => panic!("the kernel can do it: {error}"),
    }
}

#[test]
fn every_limit_is_in_force_or_refused_by_name() {
    let own = Own::new();
    let is_v2 = hierarchies().mode() == Mode::V2;
    let cases = [of_memory(), of_time(), of_places(), of_devices()];
    let mut in_force = Vec::new();
    for case in cases.iter().flatten() {
        if is_in_force(&own, case, is_v2) {
            in_force.push(case.name);
        }
    }
    let always = if is_v2 { &ALWAYS_V2[..] } else { &ALWAYS_V1[..] };
    let missing: Vec<_> = always.iter().filter(|name| !in_force.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {in_force:?}");
}

/// What a change cannot put in force is taken back with all that was changed before it.
#[test]
fn a_change_that_has_no_effect_is_taken_back() {
    let own = Own::new();
    let mut first = Limits::default();
    first.memory.max = mib(128);
    first.cpuset.cpus = "0".parse().ok();
    let group = own.group("changed", &first).expect("a group");
    let mut more = Limits::default();
    more.memory.max = mib(64);
    let (file, name) = match hierarchies().mode() {
        Mode::V2 => {
            more.cpuset.partition = Some("root".into());
            ("memory.max", "cpuset.cpus.partition")
        }
        _ => {
            more.memory.kernel_max = mib(64);
            ("memory.limit_in_bytes", "memory.kmem.limit_in_bytes")
        }
    };
    let error = group.update(&more).expect_err("the kernel does nothing");
    assert_eq!((error.kind(), error.limit_name()), (ErrorKind::Unsupported, Some(name)), "{error}");
    assert!(error.path().is_some_and(|path| path.ends_with(name)), "{error}");
    assert_eq!(group.file(file).expect("a file"), format!("{}\n", 128 << 20));
    if name == "cpuset.cpus.partition" {
        assert_eq!(group.file(name).expect("a file"), "member\n");
    }
    group.remove().expect("an empty group");
}
