//! A host whose other threads do everything that a fork could catch half done.
//!
//! Kernel objects: threads of this process, containers. Invariant: the noise lasts as long as the starts.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ampoule::Container;

/// What the noisy threads share.
static TABLE: Mutex<Option<HashMap<u64, Vec<u8>>>> = Mutex::new(None);

/// Allocates, locks, opens, starts threads and panics until told to stop.
fn noise(stop: &AtomicBool, seed: u64) {
    let mut number = seed;
    while !stop.load(Ordering::Relaxed) {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = usize::try_from(number >> 48).expect("small");
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        table.get_or_insert_default().insert(number % 512, vec![1; size]);
        drop(table);
        match number % 8 {
            0 => drop(catch_unwind(|| resume_unwind(Box::new(number)))),
            1 => drop(File::open("/proc/self/status")),
            2 => thread::spawn(move || vec![0_u8; size]).join().map(drop).unwrap_or_default(),
            _ => drop(std::env::var("PATH")),
        }
    }
}

/// Starts this many containers, one after the other, beside 64 noisy threads.
pub(crate) fn while_starting(count: usize) {
    let script = "printf '%s ' $WORD; cat; exit ${WORD%.*}";
    let plan = super::shell(Container::host_view(), script).plan().expect("a plan");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..64 {
            let stop = &stop;
            scope.spawn(move || noise(stop, seed));
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..count {
                let launch = plan.launch().env("WORD", "7.1").stdin_bytes("x");
                assert_eq!(launch.output().expect("a run").status.code(), Some(7));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| resume_unwind(panic));
    });
    *TABLE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}
