//! Groups on this machine's own hierarchies, whatever version they are.
//!
//! Kernel objects: groups below `/ampoule-test`, processes of this test in them. Invariant: what is asserted is what the
//! kernel shows, and every group is removed.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_cgroups::limits::CpuMax;
use ampoule_cgroups::{
    Bytes, Controllers, Cpus, Depth, ErrorKind, Group, GroupPath, Hierarchies, Life, Limits, Max,
    Mode, NumberList, Place, Weight, owned_name, reconcile,
};

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

/// A place of this test's own; tests run at the same time in one.
fn place() -> Place {
    let path = GroupPath::new("/ampoule-test").expect("a path");
    Place::open(&hierarchies(), &path).expect("this tier is root's")
}

fn name(what: &str) -> String {
    owned_name(Some(what), Life::WithOwner).expect("a name")
}

fn usual() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(128).into());
    limits.cpu.max = Some(CpuMax::from("0.5".parse::<Cpus>().expect("a number")));
    limits.cpu.weight = Some(Weight::new(100).expect("a weight"));
    limits.pids_max = Some(64.into());
    limits
}

/// A shell that ends with its test.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait()).is_err();
    }
}

/// A shell that joins a group by itself and then waits for a line.
fn waiting_in(group: &Group, script: &str) -> Shell {
    let joins: String = group
        .paths()
        .map(|path| format!("echo $$ > '{}/cgroup.procs' && ", path.display()))
        .collect();
    let script = format!("{joins} echo in && {script}");
    let mut child = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
    assert_eq!(line, "in\n");
    Shell(child)
}

#[test]
fn the_kernel_shows_what_was_asked_for() {
    let group = Group::create_in(&place(), &name("limits"), &usual(), Controllers::empty());
    let group = group.expect("a group");
    let file = |name: &str| group.file(name).expect(name).trim().to_owned();
    if hierarchies().mode() == Mode::V2 {
        assert_eq!(file("memory.max"), "134217728");
        assert_eq!(file("cpu.max"), "50000 100000");
        assert_eq!(file("cpu.weight"), "100");
    } else {
        assert_eq!(file("memory.limit_in_bytes"), "134217728");
        assert_eq!(
            (file("cpu.cfs_quota_us"), file("cpu.cfs_period_us")),
            ("50000".into(), "100000".into())
        );
        assert_eq!(file("cpu.shares"), "1024");
    }
    assert_eq!(file("pids.max"), "64");
    let mut more = Limits::default();
    more.memory.max = Some(Bytes::mib(256).into());
    more.pids_max = Some(10.into());
    group.update(&more).expect("an update");
    assert_eq!(file("pids.max"), "10");
    let stat = group.stat().expect("statistics");
    assert_eq!(stat.memory.max, Some(Max::Limit(256 << 20)));
    assert_eq!(stat.pids.max, Some(Max::Limit(10)));
    group.remove().expect("an empty group");
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
}

#[test]
fn a_limit_that_the_kernel_refuses_leaves_no_group() {
    let mut limits = usual();
    limits.cpuset.cpus = Some("4000".parse::<NumberList>().expect("a list"));
    let name = name("refused");
    let error =
        Group::create_in(&place(), &name, &limits, Controllers::empty()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidLimits, "{error}");
    assert!(error.to_string().contains("cpuset.cpus"), "{error}");
    assert_eq!(Group::open(&place(), &name).expect_err("gone").kind(), ErrorKind::NotFound);
}

#[test]
fn an_update_that_fails_is_taken_back() {
    let mut limits = usual();
    limits.cpuset.cpus = Some("0".parse::<NumberList>().expect("a list"));
    let group = Group::create_in(&place(), &name("update"), &limits, Controllers::empty());
    let group = group.expect("a group");
    let mut wrong = Limits::default();
    wrong.memory.max = Some(Bytes::mib(64).into());
    wrong.cpuset.cpus = Some("4000".parse::<NumberList>().expect("a list"));
    group.update(&wrong).expect_err("there is no such CPU");
    let stat = group.stat().expect("statistics");
    assert_eq!(stat.memory.max, Some(Max::Limit(128 << 20)));
    group.remove().expect("an empty group");
}

#[test]
fn bad_input_is_named() {
    let place = place();
    let refused = |limits: &Limits| {
        Group::create_in(&place, &name("bad"), limits, Controllers::empty()).expect_err("refused")
    };
    let mut limits = Limits::default();
    limits.memory.low = Some(Bytes::mib(2).into());
    limits.memory.max = Some(Bytes::mib(1).into());
    let error = refused(&limits);
    assert_eq!((error.kind(), error.problems().len()), (ErrorKind::InvalidLimits, 1));
    assert_eq!(error.problems()[0].limit(), "memory.low");
    let mut limits = Limits::default();
    limits.io.devices.push(ampoule_cgroups::limits::IoDevice::new(250, 250));
    assert!(refused(&limits).to_string().contains("250:250"));
    let mut limits = Limits::default();
    limits.rdma.insert("mlx4_0".to_owned(), "hca_handle=2".to_owned());
    let error = refused(&limits);
    assert!(
        matches!(error.kind(), ErrorKind::MissingController | ErrorKind::InvalidLimits),
        "{error}"
    );
    for name in ["..", "", "a/b", "x\n", "cgroup.procs"] {
        let error = Group::create_in(&place, name, &usual(), Controllers::empty());
        assert_eq!(error.expect_err(name).kind(), ErrorKind::InvalidPath, "{name:?}");
    }
    let twice = name("twice");
    let group = Group::create_in(&place, &twice, &usual(), Controllers::empty()).expect("a group");
    let error =
        Group::create_in(&place, &twice, &usual(), Controllers::empty()).expect_err("twice");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(group.paths().all(|path| path.exists()), "the first one is still there");
    group.remove().expect("an empty group");
}

#[test]
fn processes_are_frozen_and_killed() {
    let group = Group::create_in(&place(), &name("kill"), &usual(), Controllers::FREEZER);
    let group = group.expect("a group");
    let mut child = waiting_in(&group, "while :; do sleep 0.01; done");
    assert!(group.procs(Depth::Recursive).expect("processes").contains(&child.0.id()));
    assert_eq!(group.remove().expect_err("a process is in it").kind(), ErrorKind::Busy);
    group.freeze().expect("frozen");
    assert_eq!(group.stat().expect("statistics").state.frozen, Some(true));
    group.thaw().expect("thawed");
    group.freeze().expect("frozen");
    let begun = Instant::now();
    group.kill().expect("killed, although frozen");
    assert!(begun.elapsed() < Duration::from_secs(2));
    child.0.wait().expect("the shell");
    group.remove().expect("an empty group");
}

#[test]
fn groups_that_the_payload_made_go_too() {
    let group = Group::create_in(&place(), &name("nested"), &usual(), Controllers::empty());
    let group = group.expect("a group");
    for path in group.paths() {
        std::fs::create_dir_all(path.join("inner/most")).expect("a group inside");
    }
    group.remove().expect("groups without processes");
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
}

#[test]
fn what_an_ended_program_left_is_removed() {
    let place = place();
    let own = name("living");
    let living =
        Group::create_in(&place, &own, &Limits::default(), Controllers::PIDS).expect("a group");
    // As if another process with this one's id had made it.
    let (id, owner) = own.rsplit_once('.').expect("an owner");
    let parts: Vec<&str> = owner.split('-').collect();
    let left = format!("{id}-left.{}-1-{}", parts[0], parts[2]);
    let left = Group::create_in(&place, &left, &usual(), Controllers::FREEZER).expect("a group");
    let mut child = waiting_in(&left, "sleep 100");
    let done = reconcile(&place).expect("a look");
    assert!(done.removed >= 1, "{done:?}");
    assert_eq!(left.paths().filter(|path| path.exists()).count(), 0);
    assert!(living.paths().all(|path| path.exists()));
    child.0.wait().expect("the shell was killed");
    living.remove().expect("an empty group");
}

#[test]
fn devices_that_no_rule_allows_are_closed() {
    let mut limits = usual();
    limits.devices =
        ["allow c 1:5 rwm", "allow c *:* m"].map(|rule| rule.parse().expect("a rule")).into();
    let group = Group::create_in(&place(), &name("devices"), &limits, Controllers::empty());
    let group = group.expect("a group");
    let script = "head -c 1 /dev/zero >&2 && ! head -c 1 /dev/urandom >&2";
    let mut child = waiting_in(&group, script);
    let status = child.0.wait().expect("the shell");
    assert!(status.success(), "{status}");
    group.remove().expect("an empty group");
}

#[test]
fn ending_kills_what_is_left_and_removes_all() {
    let group = Group::create_in(&place(), &name("end"), &usual(), Controllers::CPUACCT);
    let group = group.expect("a group");
    let below = group.paths().last().expect("a directory").join("below");
    std::fs::create_dir(&below).expect("a group below");
    let mut shell = waiting_in(&group, "read line");
    let paths: Vec<_> = group.paths().collect();
    group.end().expect("ended");
    assert_eq!(paths.iter().filter(|path| path.exists()).count(), 0);
    assert!(!shell.0.wait().expect("our child").success(), "it was killed");

    let empty = Group::create_in(&place(), &name("end"), &usual(), Controllers::empty());
    let empty = empty.expect("a group");
    let paths: Vec<_> = empty.paths().collect();
    empty.remove().expect("removed");
    empty.end().expect("gone already");
    assert_eq!(paths.iter().filter(|path| path.exists()).count(), 0);
}

#[test]
fn cpu_time_is_counted_once() {
    let mode = hierarchies().mode();
    let group = Group::create_in(&place(), &name("time"), &usual(), Controllers::CPUACCT);
    let group = group.expect("a group");
    let accounts =
        group.paths().filter(|path| path.to_string_lossy().contains("/cpuacct/")).count();
    // v2 counts it for every group; where it is not mounted, cpuacct does.
    assert!(mode == Mode::V1 || accounts == 0, "{group}");
    let shell = waiting_in(&group, "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; read line");
    let begun = Instant::now();
    let used = || group.stat().expect("statistics").cpu.usage.expect("counted");
    while used() < Duration::from_millis(2) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?} after 20 s", used());
        std::thread::sleep(Duration::from_millis(5));
    }
    let part = group.stat_of(Controllers::CPU | Controllers::CPUACCT).expect("statistics");
    assert!(part.cpu.usage >= Some(Duration::from_millis(2)), "{:?}", part.cpu);
    assert_eq!((part.memory.current, part.pids.current), (None, None));
    drop(shell);
    group.end().expect("ended");
}
