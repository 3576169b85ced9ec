//! Statistics of real groups, against what the group's processes do. Needs root and v1 hierarchies
//! or v2 controllers below `/sys/fs/cgroup`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod group;

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use ampoule_cgroups::stat::{self, Dir, MemoryStat, Stats, Usage};
use ampoule_cgroups::{Controller, Max};
use group::{Hierarchy, TestGroup};

/// The sources of one group in each hierarchy of this machine.
const SOURCES: [(Controller, &str); 7] = [
    (Controller::Memory, "memory"),
    (Controller::Cpu, "cpu"),
    (Controller::CpuAcct, "cpuacct"),
    (Controller::Pids, "pids"),
    (Controller::Io, "blkio"),
    (Controller::CpuSet, "cpuset"),
    (Controller::Freezer, "freezer"),
];

/// One group of the same name in all hierarchies, and its open directories.
struct Everywhere {
    groups: Vec<(Controller, TestGroup, File)>,
}

impl Everywhere {
    fn new(name: &str) -> Self {
        let groups = SOURCES.map(|(source, controller)| {
            let group = TestGroup::new(Hierarchy::of(controller), name);
            let dir = File::open(group.path()).unwrap();
            (source, group, dir)
        });
        Self { groups: groups.into() }
    }

    fn group(&self, source: Controller) -> &TestGroup {
        &self.groups.iter().find(|(each, ..)| *each == source).unwrap().1
    }

    fn stat(&self) -> Stats {
        stat::read(&|source| {
            // On v2 the groups are one.
            let of_core =
                |each: &Controller| source == Controller::Core && *each == Controller::Freezer;
            let (_, group, dir) = self
                .groups
                .iter()
                .find(|(each, group, _)| *each == source || (group.is_v2() && of_core(each)))?;
            Some(if group.is_v2() { Dir::V2(dir.as_fd()) } else { Dir::V1(dir.as_fd()) })
        })
        .unwrap()
    }

    /// Runs a shell in the group until it has printed a line; the script ends by reading a line.
    fn shell(&self, script: &str) -> group::Shell {
        group::Shell::start(self.groups.iter().map(|(_, group, _)| group), script)
    }
}

#[test]
fn processes_are_counted() {
    let all = Everywhere::new("stat-pids");
    all.group(Controller::Pids).write("pids.max", "20");
    assert_eq!(all.stat().pids.current, Some(0));
    assert_eq!(all.stat().pids.max, Some(Max::Limit(20)));
    let shell = all.shell("sleep 60 & a=$!; sleep 60 & echo ready; read line; kill $a $!; wait");
    let stats = all.stat();
    assert_eq!(stats.pids.current, Some(3));
    assert!(stats.pids.peak.is_none_or(|peak| peak >= 3));
    assert_eq!((stats.state.populated, stats.state.frozen), (Some(true), Some(false)));
    shell.end();
    let stats = all.stat();
    assert_eq!((stats.pids.current, stats.state.populated), (Some(0), Some(false)));
}

#[test]
fn failed_forks_are_counted() {
    let all = Everywhere::new("stat-forks");
    let shell = all.shell("echo ready; read line; sleep 0.01 & sleep 0.01 & wait");
    all.group(Controller::Pids).write("pids.max", "1");
    shell.end();
    assert!(all.stat().pids.max_events.unwrap() >= 1);
}

#[test]
fn memory_is_counted() {
    const MIB: u64 = 1 << 20;
    let all = Everywhere::new("stat-memory");
    let group = all.group(Controller::Memory);
    group.write(if group.is_v2() { "memory.max" } else { "memory.limit_in_bytes" }, "256M");
    let shell = all.shell("x=$(head -c 16M /dev/zero | tr '\\0' x); echo ready; read line");
    let memory = all.stat().memory;
    let (current, peak) = (memory.current.unwrap(), memory.peak.unwrap());
    assert!(current >= 16 * MIB && current <= peak, "{current} {peak}");
    assert!(memory.stat.anon.unwrap() >= 16 * MIB, "{:?}", memory.stat);
    assert!(memory.stat.pgfault.unwrap() > 0);
    assert_eq!(memory.max, Some(Max::Limit(256 * MIB)));
    assert!(memory.working_set().unwrap() <= current);
    assert!(memory.fraction_of_max().unwrap() < 1.0);
    assert_eq!(memory.events.oom_kill, Some(0));
    shell.end();
}

#[test]
fn time_is_counted() {
    let all = Everywhere::new("stat-time");
    let cpu = all.group(Controller::Cpu);
    if cpu.is_v2() {
        cpu.write("cpu.max", "20000 100000");
    } else {
        cpu.write("cpu.cfs_period_us", "100000");
        cpu.write("cpu.cfs_quota_us", "20000");
    }
    let (before, begin) = (all.stat(), Instant::now());
    let shell = all.shell("echo ready; while :; do :; done");
    std::thread::sleep(Duration::from_millis(500));
    // On a busy machine it may take a while until it uses up its quota.
    while all.stat().cpu.nr_throttled == Some(0) && begin.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (after, elapsed) = (all.stat(), begin.elapsed());
    shell.kill();
    let usage = Usage::between(&before, &after, elapsed);
    let percent = usage.cpu_percent.unwrap();
    assert!(percent > 1.0 && percent < 60.0, "{percent} % of a fifth of a processor");
    assert!(after.cpu.nr_throttled.unwrap() > 0 && after.cpu.throttled.unwrap() > Duration::ZERO);
    assert!(after.cpu.nr_periods >= after.cpu.nr_throttled);
    assert_eq!(before.cpu.nr_throttled, Some(0));
}

/// The disks of this machine, as `MAJ:MIN`.
fn disks() -> Vec<String> {
    let output = Command::new("lsblk").args(["-dnro", "MAJ:MIN"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn writes_to_a_device_are_counted() {
    let all = Everywhere::new("stat-io");
    let group = all.group(Controller::Io);
    if !group.is_v2() {
        // Since Linux 6.10 v1 counts for a device only once a limit was set for it.
        for disk in disks() {
            group.write("blkio.throttle.write_bps_device", &format!("{disk} 1073741824"));
        }
    }
    // The build's directory is read-only in a guest; /var/tmp is on a disk almost everywhere.
    let tmp = env!("CARGO_TARGET_TMPDIR");
    let dir = [tmp, "/var/tmp"].into_iter().find_map(|dir| tempfile::tempdir_in(dir).ok());
    let dir = dir.expect("a directory on a disk");
    let file = dir.path().join("file");
    let write = format!("dd if=/dev/zero of={} bs=64k count=16 oflag=direct", file.display());
    let shell = all.shell(&format!("{write} 2>/dev/null || exit; echo ready; read line"));
    let io = all.stat().io;
    shell.end();
    let total = io.total();
    assert!(total.wbytes.unwrap() >= 1 << 20 && total.wios.unwrap() >= 1, "{io:?}");
    assert!(io.devices.keys().any(|number| disks().contains(&number.to_string())));
}

#[test]
fn freezing_is_seen() {
    let all = Everywhere::new("stat-freeze");
    let group = all.group(Controller::Freezer);
    let (file, freeze, thaw) = if group.is_v2() {
        ("cgroup.freeze", "1", "0")
    } else {
        ("freezer.state", "FROZEN", "THAWED")
    };
    let shell = all.shell("echo ready; read line");
    group.write(file, freeze);
    let end = Instant::now() + Duration::from_secs(5);
    while all.stat().state.frozen != Some(true) {
        assert!(Instant::now() < end, "never frozen");
        std::thread::sleep(Duration::from_millis(1));
    }
    group.write(file, thaw);
    shell.end();
}

#[test]
fn a_group_that_is_gone_is_an_error_or_empty() {
    let all = Everywhere::new("stat-gone");
    for (_, group, _) in &all.groups {
        group.remove();
    }
    assert_eq!(all.stat(), Stats::default());
}

#[test]
fn effective_processors_are_shown() {
    let all = Everywhere::new("stat-cpuset");
    let stats = all.stat();
    assert!(stats.cpuset.cpus_effective.is_some() && stats.cpuset.mems_effective.is_some());
}

#[test]
fn nothing_of_the_kernels_text_is_lost() {
    let group = TestGroup::new(Hierarchy::of("memory"), "stat-text");
    let text = group.read("memory.stat");
    let parse = if group.is_v2() { MemoryStat::parse } else { MemoryStat::parse_v1 };
    let json = serde_json::to_value(parse(&text)).unwrap();
    let json = json.as_object().unwrap();
    let numbers = json.values().filter(|value| value.is_number()).count();
    let other = json["other"].as_object().unwrap().len();
    assert_eq!(numbers + other, text.lines().count(), "{json:?}");
}
