//! A host with groups is killed at every system call that it makes, by strace(1).
//!
//! Kernel objects: a second process that makes groups and containers in a place of this test's own, and the tracer of its
//! thread. Invariant: after `reconcile` no hierarchy has a group of it, and no process of it lives.

mod oracle;
mod scene;

use std::fs;
use std::path::{Path, PathBuf};

use ampoule::{Bytes, Container, Limits, Max};
use ampoule_cgroups::{
    Controllers, Group, GroupPath, Hierarchies, Life, Place, owned_name, reconcile,
};
use oracle::{alone, payload, tier};
use scene::killed_host;

/// The host: once it has read a line, every operation on groups there is.
#[test]
fn payload_main() {
    let Some(path) = killed_host::begin() else { return };
    by_hand(&path);
    with_containers(&path);
    payload::print_report("ended");
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.cpu.max = Some("0.5".parse::<ampoule::Cpus>().expect("a number").into());
    limits.pids_max = Some(Max::Limit(16));
    limits
}

fn place(path: &str) -> Place {
    let path = GroupPath::new(path).expect("a path");
    Place::open(&Hierarchies::detect().expect("control groups"), &path).expect("root's tier")
}

fn by_hand(path: &str) {
    let name = owned_name(None, Life::WithOwner).expect("a name");
    let made = Group::create_in(&place(path), &name, &limits(), Controllers::FREEZER);
    let group = made.expect("a group");
    let mut more = limits();
    more.devices = vec!["allow c 1:* rwm".parse().expect("a rule")];
    more.memory.max = Some(Bytes::mib(128).into());
    // Where v1 has the rules, the group is not in that hierarchy.
    if group.update(&more).is_err() {
        more.devices.clear();
        group.update(&more).expect("a change");
    }
    group.freeze().expect("a freeze");
    group.thaw().expect("a thaw");
    group.kill().expect("nothing to kill");
    group.remove().expect("an empty group");
}

fn with_containers(path: &str) {
    let builder = Container::host_view().limits(limits()).cgroup_parent(path);
    let mut short = builder.clone().command("true").spawn().expect("a container");
    assert!(short.wait().expect("a status").success());
    let long = builder.command("sleep").args(["1000"]).spawn().expect("a container");
    long.update(&limits()).expect("a change");
    long.pause().expect("a pause");
    drop(long);
}

/// A place of its own, which goes with it.
struct Own {
    path: String,
    place: Place,
}

impl Own {
    fn new() -> Self {
        let path = format!("/ampoule-test-{}-kill", std::process::id());
        Self { place: place(&path), path }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        self.place.paths().map(PathBuf::from).collect()
    }
}

fn groups_in(dir: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        // A place goes with its last use.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        entries => entries.expect("the place"),
    };
    entries.map(|entry| entry.expect("one").path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn nothing_is_left_wherever_the_host_is_killed() {
    tier::root();
    alone(|| {
        let own = Own::new();
        killed_host::at_every_call(&own.path, 500, |call| is_cleared(&own, call));
    });
}

/// Clears what the host left; gives whether there was something.
fn is_cleared(own: &Own, call: &str) -> bool {
    let left = own.dirs().iter().any(|dir| !groups_in(dir).is_empty());
    let done = reconcile(&own.place).expect("a look");
    assert_eq!(done.failed, 0, "{call}");
    let groups: Vec<PathBuf> = own.dirs().iter().flat_map(|dir| groups_in(dir)).collect();
    assert!(groups.is_empty(), "{call}: {groups:?}");
    killed_host::reap_all(call);
    left
}
