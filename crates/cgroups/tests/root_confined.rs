//! A caller that sees control groups read-only, or a part of them.
//!
//! Kernel objects: a second process in a mount namespace, and in a cgroup namespace, of its own. Invariant: the
//! directories of the host's hierarchies are the same before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_cgroups::{
    Bytes, Controllers, Error, ErrorKind, Group, GroupPath, Hierarchies, Limits, Place,
};
use rustix::mount::{MountFlags, mount_bind, mount_remount};

/// Tells the second process what to do.
const VARIABLE: &str = "AMPOULE_TEST_CONFINED";

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.pids_max = Some(8.into());
    limits
}

/// Runs the second process in a mount namespace of its own.
fn confined(what: &str) {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private"]);
    command.arg(std::env::current_exe().expect("own executable"));
    command.args(["--exact", &other(), "--nocapture"]).env(VARIABLE, what);
    passed(command);
}

/// The name of the test that is the second process; this file is a module in another tier.
fn other() -> String {
    let module = module_path!().split_once("::").map(|(_, module)| format!("{module}::"));
    format!("{}other_main", module.unwrap_or_default())
}

/// The second process has run and found nothing wrong.
fn passed(mut command: Command) {
    let output = command.output().expect("unshare is installed");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    assert!(output.status.success() && stdout.contains(" 1 passed;"), "{stdout}{stderr}");
}

#[test]
fn other_main() {
    let Ok(what) = std::env::var(VARIABLE) else { return };
    match what.split_once(' ') {
        Some(("read-only", place)) => read_only(place),
        Some(("above", "it")) => above(),
        Some(("part", group)) => part(group),
        _ => panic!("{what}"),
    }
}

/// A place with one group in it, removed at the end.
struct Own(Group, GroupPath);

impl Own {
    fn new(what: &str) -> Self {
        let path = format!("/ampoule-test-{}-{what}", std::process::id());
        let path = GroupPath::new(path).expect("a path");
        let place = Place::open(&hierarchies(), &path).expect("this tier is root's");
        Group::create_in(&place, "one", &limits(), Controllers::all()).expect("a group");
        // Also in hierarchies that it would not need: the second process leaves the top of each.
        let missing = place.paths().map(|dir| dir.join("one")).filter(|dir| !dir.exists());
        missing.for_each(|dir| fs::create_dir(dir).expect("a group"));
        Self(Group::open(&place, "one").expect("a group"), path)
    }

    /// Every directory of the place.
    fn tree(&self) -> BTreeSet<PathBuf> {
        let mut open: Vec<PathBuf> = self.0.paths().map(|path| above_of(&path)).collect();
        let mut found: BTreeSet<PathBuf> = open.iter().cloned().collect();
        while let Some(dir) = open.pop() {
            let entries =
                fs::read_dir(dir).expect("the place").map(|entry| entry.expect("one").path());
            let below: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
            found.extend(below.iter().cloned());
            open.extend(below);
        }
        found
    }
}

fn above_of(path: &Path) -> PathBuf {
    path.parent().expect("a group above").to_owned()
}

impl Drop for Own {
    fn drop(&mut self) {
        let tree = self.tree();
        tree.iter().rev().for_each(|dir| drop(fs::remove_dir(dir)));
        // The place is also where the group has no directory.
        let others = Place::open(&hierarchies(), &self.1)
            .map(|place| place.paths().map(PathBuf::from).collect::<Vec<_>>());
        others.into_iter().flatten().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

#[test]
fn a_read_only_tree() {
    let own = Own::new("read-only");
    let before = own.tree();
    confined(&format!("read-only {}", own.1));
    assert_eq!(own.tree(), before);
    assert_eq!(own.0.file("pids.max").expect("a file"), "8\n");
}

fn read_only(place: &str) {
    let path = GroupPath::new(place).expect("a path");
    let open = Place::open(&hierarchies(), &path).expect("it is there");
    for hierarchy in hierarchies().iter() {
        // A mount of our own above the one that was there: that one stays as it is.
        mount_bind(&hierarchy.mount, &hierarchy.mount).expect("a mount");
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(&hierarchy.mount, flags, "").expect("our mount");
    }
    assert!(hierarchies().iter().all(|one| one.read_only), "{:?}", hierarchies());
    drop(open);
    let place = Place::open(&hierarchies(), &path).expect("it is there");
    let is = |error: Error, end: &str| {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.path().is_some_and(|path| path.to_string_lossy().ends_with(end)), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("read-only")), "{error}");
    };
    let name = path.to_string();
    let new = GroupPath::new(format!("{path}-new")).expect("a path");
    is(Place::open(&hierarchies(), &new).expect_err("read-only"), "-new");
    let made = Group::create_in(&place, "two", &limits(), Controllers::all());
    is(made.expect_err("read-only"), name.trim_start_matches('/'));
    let group = Group::open(&place, "one").expect("it is there");
    let error = group.update(&limits()).expect_err("read-only");
    assert!(error.limit_name().is_some(), "{error}");
    is(error, "");
    is(group.freeze().expect_err("read-only"), "");
    is(group.remove().expect_err("read-only"), "/one");
}

/// Runs the second process in the group, which is the top of its cgroup namespace.
fn in_group(own: &Own, what: &str) {
    let joins: String =
        own.0.paths().map(|path| format!("echo $$ > {}/cgroup.procs; ", path.display())).collect();
    let program = std::env::current_exe().expect("own executable");
    let script = format!(
        "{joins} exec unshare -C -m --propagation private {} --exact {} --nocapture",
        program.display(),
        other()
    );
    let before = own.tree();
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env(VARIABLE, what);
    passed(command);
    assert_eq!(own.tree(), before, "what was made inside was removed inside");
}

#[test]
fn a_tree_above_the_own_namespace() {
    in_group(&Own::new("above"), "above it");
}

/// The mounts show what is above the namespace, so that the own group cannot be found in them.
fn above() {
    let error = Hierarchies::detect().expect_err("nothing of ours is mounted");
    assert_eq!(error.kind(), ErrorKind::NoCgroups, "{error}");
    assert!(error.hint().is_some(), "{error}");
}

#[test]
fn a_part_of_the_tree_is_the_whole_of_it() {
    let own = Own::new("part");
    in_group(&own, &format!("part {}/one", own.1));
}

/// As a runtime does it: the own group is what is mounted.
fn part(group: &str) {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("procfs");
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounted = mounts.filter(|fields| fields[2].starts_with("cgroup"));
    let points = mounted.map(|fields| PathBuf::from(fields[1]));
    let points: Vec<PathBuf> = points.filter(|point| point.join(&group[1..]).is_dir()).collect();
    assert!(!points.is_empty());
    for point in &points {
        mount_bind(point.join(&group[1..]), point).expect("a mount");
    }
    let found = hierarchies();
    let all = || found.iter().chain(found.named());
    assert_eq!(all().count(), points.len(), "{found:?}");
    assert!(all().all(|one| one.own == one.mount), "{found:?}");
    // A path from the top starts at the top of what is seen: it leads to nothing outside.
    match Place::open(&found, &GroupPath::new(group).expect("a path")) {
        Ok(place) => {
            let made = Group::create_in(&place, "inner", &limits(), Controllers::all());
            let inner = made.expect("a group");
            let inside = |path: PathBuf| {
                path.is_dir()
                    && points.iter().any(|point| path == point.join(&group[1..]).join("inner"))
            };
            assert!(inner.paths().all(inside), "{inner}");
            inner.remove().expect("an empty group");
        }
        // This process is in the group above, which keeps v2 from handing its controllers on.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
    }
    for point in &points {
        let path = point.join(&group[1..]);
        drop(fs::remove_dir(&path));
        drop(fs::remove_dir(above_of(&path)));
    }
}
