//! Many threads start containers while others do what host programs do.
//!
//! Kernel objects: threads of this process, containers. Invariant: every start ends, with the right status.

mod oracle;
mod scene;

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ampoule::{Container, Plan, Stdio};
use oracle::{alone, fixture, tier, unchanged};
use scene::{rooted, shell, times};

const THREADS: usize = 64;

fn plan(script: &str) -> Plan {
    shell(Container::host_view(), script).plan().expect("a plan")
}

/// Starts a plan from 64 threads, this often each; every payload gets and returns its own number.
fn storm(plan: &Plan, each: usize) {
    let right = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let right = &right;
            scope.spawn(move || {
                for round in 0..each {
                    let word = format!("{number}.{round}");
                    let launch =
                        plan.launch().env("WORD", word.as_str()).stdin_bytes(word.as_str());
                    let output = launch.output().expect("a run");
                    let code = i32::try_from(number).expect("few");
                    assert_eq!(output.status.code(), Some(code), "{output:?}");
                    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{word} {word}"));
                    right.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(right.into_inner(), THREADS * each);
}

#[test]
fn threads_share_a_plan() {
    tier::root();
    unchanged(|| {
        let plan = plan("printf '%s ' $WORD; cat; exit ${WORD%.*}");
        storm(&plan, times(15, 500));
    });
}

#[test]
fn threads_plan_for_themselves() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        thread::scope(|scope| {
            for number in 0..16 {
                let root = &root;
                scope.spawn(move || {
                    for _ in 0..times(4, 50) {
                        let output =
                            scene::run(rooted(root), &format!("echo {number}; exit {number}"));
                        assert_eq!(output.status.code(), Some(number));
                    }
                });
            }
        });
    });
}

#[test]
fn a_noisy_host() {
    tier::root();
    unchanged(|| scene::noise::while_starting(times(60, 2000)));
}

#[test]
fn a_host_with_5000_descriptors() {
    tier::root();
    alone(|| {
        let open: Vec<File> = (0..5000).map(|_| File::open("/dev/null").expect("null")).collect();
        let plan = plan("ls /proc/$$/fd; :");
        let started = Instant::now();
        for _ in 0..50 {
            assert_eq!(plan.launch().output().expect("a run").stdout, b"0\n1\n2\n");
        }
        let each = started.elapsed() / 50;
        assert!(each < Duration::from_millis(200), "{each:?}");
        drop(open);
    });
}

#[test]
fn two_threads_drop_and_start() {
    tier::root();
    unchanged(|| {
        let plan = Container::host_view().command("sleep").arg("100").plan().expect("a plan");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..times(20, 500) {
                        drop(plan.launch().stdout(Stdio::null()).spawn().expect("a container"));
                    }
                });
            }
        });
        assert_eq!(scene::outside::descendants(), 0);
    });
}
