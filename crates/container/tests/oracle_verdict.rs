//! How `unchanged` and `alone` judge a test body, and what they say.
//!
//! Kernel objects: those of the oracle. Invariant: no failure is lost, and what goes away in time
//! is none.

mod oracle;

use std::fmt::Debug;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use oracle::{Host, alone, fixture, unchanged};

#[test]
fn a_clean_body_passes() {
    let answer = unchanged(|| {
        assert!(Command::new("true").status().expect("a program").success());
        thread::spawn(|| {}).join().expect("a thread");
        let root = fixture::rootfs();
        fs::read(root.at("bin/busybox")).expect("the program").len()
    });
    assert!(answer > 1000);
}

#[test]
fn a_tokio_runtime_is_gone_when_dropped() {
    alone(|| {
        // With its feature `process`, which another crate may have asked for, the first one leaves a pair of sockets.
        run_and_drop();
        unchanged(run_and_drop);
    });
}

/// A tokio runtime, for as long as one task runs.
fn run_and_drop() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::task::spawn_blocking(|| {}).await.expect("a task") });
}

/// What `body` panics with.
fn panic_of<T: Debug>(body: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(body)).expect_err("a panic");
    oracle::panic_text(panic.as_ref()).to_owned()
}

#[test]
fn a_failing_body_and_its_leak_are_both_reported() {
    alone(|| {
        let mut kept = Vec::new();
        let error = panic_of(|| {
            unchanged(|| {
                kept.push(File::open("/dev/null").expect("null"));
                Err::<(), _>("the body failed")
            })
        });
        assert!(error.contains("the test body returned Err(\"the body failed\")"), "{error}");
        assert!(error.contains("the host changed in 1 places:\n  descriptor "), "{error}");
        assert!(error.contains("(none) → /dev/null flags"), "{error}");
        let panic = panic_of(|| {
            unchanged(|| {
                kept.push(File::open("/dev/null").expect("null"));
                panic!("the body panicked with {}", 7)
            })
        });
        assert!(panic.contains("the body panicked with 7"), "{panic}");
        assert!(panic.contains("descriptor "), "{panic}");
    });
}

#[test]
fn a_failure_without_a_leak_is_passed_on() {
    let panic = panic_of(|| unchanged(|| panic!("only {}", "this")));
    assert_eq!(panic, "only this");
    assert_eq!(unchanged(|| Err::<(), _>(5)), Err(5));
}

#[test]
fn what_goes_away_is_no_leak() {
    alone(|| {
        unchanged(|| thread::spawn(|| thread::sleep(Duration::from_millis(300))));
    });
}

#[test]
fn a_failure_in_the_other_process_is_a_failure() {
    let panic = panic_of(|| alone(|| panic!("in the other process")));
    // In that process this assertion fails, so that the test there does.
    assert!(panic.contains("in a process of its own: exit status: 101"), "{panic}");
}

#[test]
fn bodies_do_not_overlap() {
    alone(|| {
        static INSIDE: Mutex<()> = Mutex::new(());
        let body = || unchanged(|| drop(INSIDE.try_lock().expect("nobody else inside")));
        let bodies: Vec<_> = (0..8).map(|_| thread::spawn(body)).collect();
        for body in bodies {
            body.join().expect("a body");
        }
    });
}

#[test]
fn a_snapshot_is_quick() {
    alone(|| {
        let start = Instant::now();
        let states: Vec<_> = (0..10).map(|_| Host::snapshot()).collect();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(states.len(), 10);
    });
}
