//! Many threads start containers while others do what host programs do.
//!
//! Kernel objects: threads of this process, containers. Invariant: every start ends, with the right status.

mod oracle;
mod scene;

use std::collections::HashMap;
use std::fs::File;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// What the noisy threads share.
static TABLE: Mutex<Option<HashMap<u64, Vec<u8>>>> = Mutex::new(None);

/// Allocates, locks, opens, starts threads and panics until told to stop.
fn noise(stop: &AtomicBool, seed: u64) {
    let mut number = seed;
    while !stop.load(Ordering::Relaxed) {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = usize::try_from(number >> 48).expect("small");
        let mut table = TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        table.get_or_insert_default().insert(number % 512, vec![1; size]);
        drop(table);
        match number % 8 {
            0 => drop(catch_unwind(|| std::panic::resume_unwind(Box::new(number)))),
            1 => drop(File::open("/proc/self/status")),
            2 => thread::spawn(move || vec![0_u8; size]).join().map(drop).unwrap_or_default(),
            _ => drop(std::env::var("PATH")),
        }
    }
}

#[test]
fn a_noisy_host() {
    tier::root();
    unchanged(|| {
        let plan = plan("printf '%s ' $WORD; cat; exit ${WORD%.*}");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 0..64 {
                let stop = &stop;
                scope.spawn(move || noise(stop, seed));
            }
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for _ in 0..times(60, 2000) {
                    let launch = plan.launch().env("WORD", "7.1").stdin_bytes("x");
                    assert_eq!(launch.output().expect("a run").status.code(), Some(7));
                }
            }));
            stop.store(true, Ordering::Relaxed);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        *TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    });
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
