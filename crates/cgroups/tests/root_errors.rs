//! What a kernel or a machine refuses: by kind, with the limit and the file, and with nothing left.
//!
//! Kernel objects: groups in a place of this test's own. Invariant: the directories of the place, in every hierarchy, are
//! the same before and after.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use ampoule_cgroups::limits::{IoDevice, Switch};
use ampoule_cgroups::{
    Bytes, Controllers, Error, ErrorKind, Group, GroupPath, Hierarchies, Limits, Max, Mode, Place,
};

/// A place of its own, removed with everything in it.
struct Own(Place);

impl Own {
    fn new(what: &str) -> Self {
        let path = format!("/ampoule-test-{}-{what}", std::process::id());
        let path = GroupPath::new(path).expect("a path");
        Self(Place::open(&hierarchies(), &path).expect("this tier is root's"))
    }

    /// Every directory of the place.
    fn tree(&self) -> BTreeSet<PathBuf> {
        let mut found: BTreeSet<PathBuf> = self.0.paths().map(PathBuf::from).collect();
        let mut open: Vec<PathBuf> = found.iter().cloned().collect();
        while let Some(dir) = open.pop() {
            let entries =
                std::fs::read_dir(dir).expect("the place").map(|entry| entry.expect("one"));
            let below: Vec<PathBuf> =
                entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
            found.extend(below.iter().cloned());
            open.extend(below);
        }
        found
    }

    #[track_caller]
    fn refused(&self, limits: &Limits) -> Error {
        let before = self.tree();
        let made = Group::create_in(&self.0, "refused", limits, Controllers::all());
        let error = made.expect_err("this must be refused");
        assert_eq!(self.tree(), before, "{error}");
        error
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for dir in self.tree().iter().rev() {
            drop(std::fs::remove_dir(dir));
        }
    }
}

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

fn is_v2() -> bool {
    hierarchies().mode() == Mode::V2
}

fn limits(set: fn(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.pids_max = Some(8.into());
    set(&mut limits);
    limits
}

/// A case: the limits, the kind, the limit's name, and the end of the file's path, if there is a file.
type Case = (Limits, ErrorKind, &'static str, &'static str);

fn of_the_machine() -> Vec<Case> {
    use ErrorKind::{InvalidLimits, Unsupported};
    let unknown = if is_v2() { "/refused/frobnicate.max" } else { "" };
    vec![
        (
            limits(|one| one.cpuset.cpus = "8000".parse().ok()),
            InvalidLimits,
            "cpuset.cpus",
            "/refused/cpuset.cpus",
        ),
        (
            limits(|one| one.cpuset.mems = "1000".parse().ok()),
            InvalidLimits,
            "cpuset.mems",
            "/refused/cpuset.mems",
        ),
        (limits(|one| one.io.devices.push(throttled(4000, 1))), InvalidLimits, "io", ""),
        (
            limits(|one| {
                one.unified.insert("frobnicate.max".into(), "1".into());
            }),
            Unsupported,
            "unified",
            unknown,
        ),
    ]
}

fn throttled(major: u32, minor: u32) -> IoDevice {
    let mut device = IoDevice::new(major, minor);
    device.write_bps = Some(Bytes::mib(1).into());
    device
}

fn of_v1() -> Vec<Case> {
    use ErrorKind::{InvalidLimits, Unsupported};
    vec![
        (
            limits(|one| one.memory.high = Some(Bytes::mib(1).into())),
            Unsupported,
            "memory.high",
            "",
        ),
        (limits(|one| one.memory.min = Some(Bytes::mib(1).into())), Unsupported, "memory.min", ""),
        (
            limits(|one| one.memory.oom_group = Some(Switch::On)),
            Unsupported,
            "memory.oom.group",
            "",
        ),
        (
            limits(|one| one.memory.use_hierarchy = Some(Switch::Off)),
            InvalidLimits,
            "memory.use_hierarchy",
            "/refused/memory.use_hierarchy",
        ),
        (
            limits(|one| one.cpuset.partition = Some("root".into())),
            Unsupported,
            "cpuset.cpus.partition",
            "",
        ),
        (limits(|one| one.max_depth = Some(Max::Limit(1))), Unsupported, "cgroup.max.depth", ""),
        (
            limits(|one| one.io.leaf_weight = "500".parse().ok()),
            Unsupported,
            "io.leaf_weight",
            "/refused/blkio.leaf_weight",
        ),
        // Memory with swap below memory: the sum cannot be, whichever way it is asked for.
        (
            limits(|one| one.memory.memory_and_swap_max = Some(Bytes::mib(32).into())),
            InvalidLimits,
            "memory.max",
            "",
        ),
    ]
}

fn of_v2() -> Vec<Case> {
    use ErrorKind::{InvalidLimits, Unsupported};
    vec![
        (limits(|one| one.memory.swappiness = Some(1)), Unsupported, "memory.swappiness", ""),
        (
            limits(|one| one.memory.disable_oom_killer = Some(Switch::On)),
            Unsupported,
            "memory.oom_control",
            "",
        ),
        (
            limits(|one| one.memory.use_hierarchy = Some(Switch::Off)),
            Unsupported,
            "memory.use_hierarchy",
            "",
        ),
        (limits(|one| one.network.class_id = Some(1)), Unsupported, "net_cls.classid", ""),
        (
            limits(|one| {
                one.network.priorities.insert("lo".into(), 1);
            }),
            Unsupported,
            "net_prio.ifpriomap",
            "",
        ),
        (limits(|one| one.io.leaf_weight = "500".parse().ok()), Unsupported, "io.leaf_weight", ""),
        (
            limits(|one| one.cpuset.partition = Some("nonsense".into())),
            InvalidLimits,
            "cpuset.cpus.partition",
            "/refused/cpuset.cpus.partition",
        ),
        (
            limits(|one| {
                one.unified.insert("memory.high".into(), "nonsense".into());
            }),
            InvalidLimits,
            "unified",
            "/refused/memory.high",
        ),
        (
            limits(|one| {
                one.misc.insert("nonsense".into(), Max::Limit(1));
            }),
            InvalidLimits,
            "misc.max",
            "/refused/misc.max",
        ),
        (
            limits(|one| {
                one.rdma.insert("nonsense".into(), "hca_handle=1".into());
            }),
            InvalidLimits,
            "rdma.max",
            "/refused/rdma.max",
        ),
    ]
}

#[test]
fn refused_limits_are_named_and_leave_nothing() {
    let own = Own::new("limits");
    let cases = of_the_machine().into_iter().chain(if is_v2() { of_v2() } else { of_v1() });
    for (limits, kind, limit, file) in cases {
        let error = own.refused(&limits);
        assert_eq!((error.kind(), error.limit_name()), (kind, Some(limit)), "{error}");
        let path = error.path().map(|path| path.display().to_string()).unwrap_or_default();
        assert!(path.ends_with(file) && path.is_empty() == file.is_empty(), "{error}: {path:?}");
        assert!(error.to_string().contains(limit), "{error}");
    }
}

#[test]
fn a_controller_of_a_group_that_does_not_have_it() {
    let own = Own::new("missing");
    // Processes in the place keep v2 from handing its controllers on; on v1 a group is only where it was wanted.
    let made = Group::create_in(&own.0, "small", &Limits::default(), Controllers::PIDS);
    let group = made.expect("a group");
    let before = own.tree();
    let result = group.update(&limits(|_| ()));
    match (is_v2(), result) {
        (true, result) => result.expect("one directory has everything"),
        (false, result) => {
            let error = result.expect_err("it is not in that hierarchy");
            let found = (error.kind(), error.limit_name());
            assert_eq!(found, (ErrorKind::MissingController, Some("memory.max")), "{error}");
            assert!(error.path().is_some_and(|path| path.ends_with("small")), "{error}");
        }
    }
    assert_eq!(own.tree(), before);
    if !is_v2() {
        assert_eq!(group.file("pids.max").expect("a file"), "max\n");
    }
}

#[test]
fn a_busy_group_stays() {
    let own = Own::new("busy");
    let all = Controllers::all();
    let group = Group::create_in(&own.0, "busy", &limits(|_| ()), all).expect("a group");
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let paths: Vec<PathBuf> = group.paths().collect();
    for path in &paths {
        std::fs::create_dir(path.join("in")).expect("a group inside");
        if path.join("cpuset.cpus").exists() && !is_v2() {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                std::fs::copy(path.join(file), path.join("in").join(file)).expect("v1");
            }
        }
        let procs = path.join("in/cgroup.procs");
        std::fs::write(procs, child.id().to_string()).expect("a process inside");
    }
    let before = own.tree();
    let error = group.remove().expect_err("it is busy");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.path().is_some_and(|path| paths.iter().any(|own| own == path)), "{error}");
    assert!(error.hint().is_some(), "{error}");
    assert_eq!(own.tree(), before);
    assert_eq!(child.try_wait().expect("our child"), None);
    child.kill().expect("our child");
    child.wait().expect("our child");
    group.remove().expect("an empty group");
}

#[test]
fn names_that_are_taken_or_gone() {
    let own = Own::new("names");
    let group =
        Group::create_in(&own.0, "one", &limits(|_| ()), Controllers::all()).expect("a group");
    let before = own.tree();
    let again = Group::create_in(&own.0, "one", &limits(|_| ()), Controllers::all());
    let error = again.expect_err("it is there already");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.path().is_some_and(|path| path.ends_with("one")), "{error}");
    assert_eq!(own.tree(), before);
    let error = Group::open(&own.0, "other").expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for name in ["", ".", "..", "a/b", "/", "cgroup.procs", "memory.max", "a\n"] {
        let made = Group::create_in(&own.0, name, &Limits::default(), Controllers::all());
        assert_eq!(made.expect_err(name).kind(), ErrorKind::InvalidPath, "{name:?}");
        assert_eq!(Group::open(&own.0, name).expect_err(name).kind(), ErrorKind::InvalidPath);
    }
    assert_eq!(own.tree(), before);
    group.remove().expect("an empty group");
    let error = group.update(&limits(|_| ())).expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    group.remove().expect("gone is gone");
    assert_eq!(group.stat().expect_err("it is gone").kind(), ErrorKind::NotFound);
}
