//! Many callers make, start, use and delete containers of one state directory.
//!
//! Kernel objects: those of 500 containers. Invariant: no error, and the host is unchanged.

mod oracle;
mod scene;

use std::sync::atomic::{AtomicUsize, Ordering};

use ampoule::{Container, Details, ErrorKind, Force, Pid1, RunState, StateDirectory, Stdio};
use oracle::{tier, unchanged};
use scene::kept::{sleeper, states};
use scene::{soon, times};

const CALLERS: usize = 8;

#[test]
fn five_hundred_containers_by_eight_callers() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let next = AtomicUsize::new(0);
        let total = times(500, 5000);
        std::thread::scope(|threads| {
            for _ in 0..CALLERS {
                threads.spawn(|| {
                    let states = StateDirectory::open(states.path()).expect("the directory");
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= total {
                            return;
                        }
                        life(&states, number);
                    }
                });
            }
        });
        assert_eq!(states.list().expect("a list").len(), 0);
        assert_eq!(std::fs::read_dir(states.path()).expect("it").count(), 0);
    });
}

/// One container from its making to its end.
fn life(states: &StateDirectory, number: usize) {
    let id = format!("c{number}");
    let pid1 = if number.is_multiple_of(2) { Pid1::Payload } else { Pid1::Reaper };
    let command = sleeper(Container::host_view().pid1(pid1));
    states.create(&id, command, Details::default()).expect("a container");
    let mut kept = states.get(&id).expect("it");
    kept.start().expect("a start");
    let container = kept.container().expect("it runs");
    let exec = container.exec("true").stdin(Stdio::null());
    assert!(exec.status().expect("a run").success());
    if number.is_multiple_of(3) {
        kept.kill(9).expect("a signal");
        assert!(soon(|| kept.state() == RunState::Stopped));
        states.delete(&id, Force::No).expect("a deletion");
    } else {
        states.delete(&id, Force::Yes).expect("a deletion");
    }
}

#[test]
fn one_of_many_gets_an_id_and_one_deletes_it() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        for _ in 0..times(10, 200) {
            let made = AtomicUsize::new(0);
            std::thread::scope(|threads| {
                for _ in 0..CALLERS {
                    threads.spawn(|| {
                        let command = sleeper(Container::host_view());
                        match states.create("same", command, Details::default()) {
                            Ok(_) => drop(made.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Exists, "{error}"),
                        }
                    });
                }
            });
            assert_eq!(made.load(Ordering::Relaxed), 1);
            let started = AtomicUsize::new(0);
            std::thread::scope(|threads| {
                for _ in 0..CALLERS {
                    threads.spawn(|| match states.get("same").expect("it").start() {
                        Ok(()) => drop(started.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WrongState, "{error}"),
                    });
                }
            });
            assert_eq!(started.load(Ordering::Relaxed), 1);
            std::thread::scope(|threads| {
                for _ in 0..CALLERS {
                    threads.spawn(|| states.delete("same", Force::Yes).expect("a deletion"));
                }
            });
            assert_eq!(states.list().expect("a list").len(), 0);
        }
    });
}
