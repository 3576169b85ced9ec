//! One test body at a time, and which threads belong to the test harness.
//!
//! Kernel object: the calling thread. Invariant: while a thread holds the lock, no other test
//! that uses the oracle changes the process. A test that panicked does not poison it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Held by the one test whose body runs.
static BODY: Mutex<()> = Mutex::new(());
/// The threads that run tests, by tid.
static TEST_THREADS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
/// A body that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(3600);

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Proof that this thread holds the lock; the outermost one releases it.
#[derive(Debug)]
pub(crate) struct Held {
    _outermost: Option<MutexGuard<'static, ()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Takes the lock, or counts one deeper when this thread already has it.
pub(crate) fn hold() -> Held {
    let depth = DEPTH.get();
    let outermost = (depth == 0).then(|| {
        enlist();
        acquire()
    });
    DEPTH.set(depth + 1);
    Held { _outermost: outermost }
}

/// Whether a thread belongs to the test harness.
pub(crate) fn is_test_thread(tid: i32) -> bool {
    TEST_THREADS.lock().unwrap_or_else(PoisonError::into_inner).contains(&tid)
}

/// Remembers the calling thread as one of the harness. It stays on the list while it ends.
///
/// Opens no file: another test's body may be running.
fn enlist() {
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    TEST_THREADS.lock().unwrap_or_else(PoisonError::into_inner).insert(tid);
}

fn acquire() -> MutexGuard<'static, ()> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        match BODY.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(1)),
        }
    }
    panic!(
        "another test body held the oracle for {LIMIT:?}: it hangs, or it waits for a thread \
         that makes a fixture"
    );
}
