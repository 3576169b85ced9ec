//! Groups that a payload nested deeper than any path is long.
//!
//! Kernel objects: groups below `/ampoule-test`, made by descriptor. Invariant: they are listed, stopped, killed and
//! removed like any other.

use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use ampoule_cgroups::{
    Controllers, Depth, Group, GroupPath, Hierarchies, Life, Limits, Place, owned_name, reconcile,
};
use rustix::fs::{Mode, OFlags, mkdirat, open, openat};

/// With names of this length 30 levels are longer than `PATH_MAX`.
const LEVELS: usize = 30;

fn place() -> Place {
    let path = GroupPath::new("/ampoule-test").expect("a path");
    Place::open(&Hierarchies::detect().expect("control groups"), &path).expect("root's tier")
}

fn nested(name: &str) -> (Group, Child) {
    let all = Controllers::FREEZER | Controllers::PIDS;
    let group = Group::create_in(&place(), name, &Limits::default(), all).expect("a group");
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
    for path in group.paths() {
        let deepest = nest(&path);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let procs = openat(&deepest, "cgroup.procs", flags, Mode::empty()).expect("a group");
        let id = child.id().to_string();
        if let Err(errno) = rustix::io::write(&procs, id.as_bytes()) {
            child.kill().expect("our child");
            panic!("{}: {errno}", path.display());
        }
    }
    (group, child)
}

fn nest(top: &std::path::Path) -> OwnedFd {
    let name = "n".repeat(200);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = open(top, flags, Mode::empty()).expect("the group");
    for _ in 0..LEVELS {
        mkdirat(&here, &name, Mode::from_raw_mode(0o755)).expect("a group inside");
        here = openat(&here, &name, flags, Mode::empty()).expect("the group inside");
    }
    here
}

#[test]
fn a_deep_group_ends_like_any_other() {
    let name = owned_name(Some("deep"), Life::WithOwner).expect("a name");
    let (group, mut child) = nested(&name);
    assert!(group.procs(Depth::Recursive).expect("ids").contains(&child.id()));
    assert!(!group.procs(Depth::One).expect("ids").contains(&child.id()));
    assert_eq!(group.remove().expect_err("busy").kind(), ampoule_cgroups::ErrorKind::Busy);
    group.freeze().expect("frozen");
    group.kill().expect("killed, although frozen");
    child.wait().expect("our child");
    group.remove().expect("without processes");
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
}

#[test]
fn what_a_removal_left_can_be_killed() {
    let name = owned_name(Some("half"), Life::WithOwner).expect("a name");
    let all = Controllers::FREEZER | Controllers::PIDS;
    let group = Group::create_in(&place(), &name, &Limits::default(), all).expect("a group");
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let last = group.paths().last().expect("a directory");
    std::fs::write(last.join("cgroup.procs"), child.id().to_string()).expect("it is in one only");
    assert_eq!(group.remove().expect_err("busy").kind(), ampoule_cgroups::ErrorKind::Busy);
    group.kill().expect("killed, where it is");
    child.wait().expect("our child");
    group.remove().expect("without processes");
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
}

#[test]
fn reconcile_ends_a_deep_group() {
    // As if another process with this one's id had made it.
    let own = owned_name(Some("deep-left"), Life::WithOwner).expect("a name");
    let (id, owner) = own.rsplit_once('.').expect("an owner");
    let parts: Vec<&str> = owner.split('-').collect();
    let (group, mut child) = nested(&format!("{id}.{}-1-{}", parts[0], parts[2]));
    reconcile(&place()).expect("a look");
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
    child.wait().expect("it was killed");
}
