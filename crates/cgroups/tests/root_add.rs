//! A group made by its name alone, found by its path, and joined by a process that runs already.
//!
//! Kernel objects: groups at the place that is found for the tests, a shell in them. Invariant: what is asserted is
//! what the kernel shows, and every group is removed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};

use ampoule_cgroups::{
    Bytes, Depth, ErrorKind, Group, GroupPath, Hierarchies, Life, Limits, Max, owned_name,
};

/// A shell that waits for a line, and is killed when dropped.
struct Shell(Child);

impl Shell {
    fn start(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn group(what: &str, limits: &Limits) -> Group {
    Group::create(&owned_name(Some(what), Life::WithOwner).unwrap(), limits).unwrap()
}

/// The path of a group, as `/proc/PID/cgroup` shows it where everything is mounted at its root.
fn path_of(group: &Group) -> String {
    let path = group.paths().next().unwrap();
    let hierarchies = Hierarchies::detect().unwrap();
    let mount = hierarchies.iter().find_map(|one| path.strip_prefix(&one.mount).ok()).unwrap();
    format!("/{}", mount.display())
}

#[test]
fn a_running_process_is_added_everywhere() {
    let limits = Limits::default().memory_max(Bytes::mib(64)).pids_max(7);
    let group = group("add", &limits.cpus("0.5".parse().unwrap()));
    let shell = Shell::start("read line");
    group.add(shell.0.id()).unwrap();
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", shell.0.id())).unwrap();
    let lines = own.lines().filter(|line| line.ends_with(group.name())).count();
    assert_eq!(lines, group.paths().count(), "{own}");
    assert_eq!(group.procs(Depth::One).unwrap().into_iter().collect::<Vec<_>>(), [shell.0.id()]);
    let stat = group.stat().unwrap();
    assert_eq!((stat.pids.current, stat.pids.max), (Some(1), Some(Max::Limit(7))));
    assert_eq!(stat.memory.max, Some(Max::Limit(64 << 20)));
    assert!(stat.cpu.usage.is_some() && stat.memory.current.is_some());
    group.kill().unwrap();
    group.remove().unwrap();
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
}

#[test]
fn a_limit_holds_for_what_was_added() {
    let group = group("add-pids", &Limits::default().pids_max(2));
    let mut shell = Shell::start("read line; (true & true & wait) 2>/dev/null; exit 3");
    group.add(shell.0.id()).unwrap();
    drop(shell.0.stdin.take());
    shell.0.wait().unwrap();
    assert!(group.stat().unwrap().pids.max_events > Some(0));
    group.remove().unwrap();
}

#[test]
fn what_cannot_be_added() {
    let group = group("add-wrong", &Limits::default().pids_max(7));
    for (pid, kind) in [(0, ErrorKind::InvalidValue), (u32::MAX, ErrorKind::InvalidValue)] {
        assert_eq!(group.add(pid).unwrap_err().kind(), kind, "{pid}");
    }
    // The largest id that the kernel takes is one above every process's.
    let none = 1 << 22;
    assert_eq!(group.add(none).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(group.procs(Depth::One).unwrap().is_empty(), "and not this process");
    group.remove().unwrap();
    assert_eq!(group.add(std::process::id()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_name_is_taken_once() {
    let group = group("twice", &Limits::default());
    let error = Group::create(group.name(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    group.remove().unwrap();
}

#[test]
fn a_group_is_found_by_its_path() {
    let group = group("find", &Limits::default().pids_max(9));
    let found = Group::find(&path_of(&group).parse().unwrap()).unwrap();
    assert_eq!(found.paths().collect::<Vec<_>>(), group.paths().collect::<Vec<_>>());
    assert_eq!(found.stat().unwrap().pids.max, Some(Max::Limit(9)));
    group.remove().unwrap();
    for path in ["/no-such-group", "/no/such/group", "no-such-group", &path_of(&group)] {
        let error = Group::find(&GroupPath::new(path).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let made = |one: &ampoule_cgroups::Hierarchy| one.mount.join("no").exists();
        assert!(!Hierarchies::detect().unwrap().iter().any(made));
    }
}
