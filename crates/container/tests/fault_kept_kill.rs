//! A host that keeps containers is killed at every system call that it makes, by strace(1).
//!
//! Kernel objects: a second process that creates, starts, uses and deletes a container, and the tracer of its thread.
//! Invariant: afterwards `delete` and `reconcile` leave no process, group or file, and the id can be used again.

mod oracle;
mod scene;

use std::fs;

use ampoule::{Container, Details, Force, StateDirectory};
use oracle::{alone, payload, tier};
use scene::kept::{sleeper, states};
use scene::killed_host;

/// The host: once it has read a line, a container goes through its life.
#[test]
fn payload_main() {
    let Some(path) = killed_host::begin() else { return };
    let states = StateDirectory::open(path).expect("the directory");
    let made = states.create("a", sleeper(view()), Details::default()).expect("a container");
    drop(made);
    let mut kept = states.get("a").expect("it");
    kept.start().expect("a start");
    let exec = kept.container().expect("it runs").exec("true").stdin(ampoule::Stdio::null());
    assert!(exec.status().expect("a run").success());
    drop(kept);
    states.delete("a", Force::Yes).expect("a deletion");
    payload::print_report("ended");
}

fn view() -> ampoule::Builder {
    Container::host_view().pids_max(16)
}

/// The groups that were made for the container.
fn groups() -> usize {
    let all =
        |top: &str| fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = all("/sys/fs/cgroup").flat_map(|top| fs::read_dir(top.join("ampoule"))).flatten();
    ours.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("a-")).count()
}

#[test]
fn nothing_is_left_wherever_the_host_is_killed() {
    tier::root();
    alone(|| {
        let (_place, states) = states();
        let path = states.path().to_str().expect("text").to_owned();
        killed_host::at_every_call(&path, 300, |call| is_cleared(&states, call));
    });
}

/// Clears what the host left, in one of the two ways; gives whether there was something.
fn is_cleared(states: &StateDirectory, call: &str) -> bool {
    let left = states.path().join("a").exists();
    let removed = states.reconcile().unwrap_or_else(|error| panic!("{call}: {error}"));
    assert!(removed.len() <= 1, "{call}: {removed:?}");
    states.delete("a", Force::Yes).unwrap_or_else(|error| panic!("{call}: {error}"));
    killed_host::reap_all(call);
    assert_eq!((groups(), fs::read_dir(states.path()).expect("it").count()), (0, 0), "{call}");
    // The same id can be used again.
    let again = states.create("a", sleeper(view()), Details::default());
    drop(again.unwrap_or_else(|error| panic!("{call}: {error}")));
    states.delete("a", Force::No).unwrap_or_else(|error| panic!("{call}: {error}"));
    left
}
