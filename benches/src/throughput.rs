//! Containers per second when several threads start them at once. Touches threads of the worker.
//!
//! Invariant: a container that began within the time is counted with the time until it was cleaned up.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::Contender;
use crate::failure::Failure;
use crate::protocol::Answer;

/// Thread counts of the table.
pub const THREADS: [usize; 4] = [1, 2, 8, 64];

/// Starts containers from `threads` threads for `milliseconds`.
pub(crate) fn measure(
    contender: &dyn Contender,
    threads: usize,
    milliseconds: u64,
) -> Result<Answer, Failure> {
    let ready = Barrier::new(threads + 1);
    let limit = Duration::from_millis(milliseconds);
    let (counts, elapsed) = thread::scope(|scope| {
        let body = || {
            ready.wait();
            until(contender, Instant::now() + limit)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(body)).collect();
        ready.wait();
        let start = Instant::now();
        let counts: Vec<_> = running.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (counts, start.elapsed())
    });
    let mut containers = 0;
    for count in counts {
        containers += count.map_err(|_| Failure::NoAnswer("a spawning thread panicked"))??;
    }
    Ok(Answer::Throughput { containers, seconds: elapsed.as_secs_f64() })
}

/// Starts containers one after the other until `end`; at least one.
fn until(contender: &dyn Contender, end: Instant) -> Result<u64, Failure> {
    let mut count = 0;
    loop {
        contender.spawn()?;
        count += 1;
        if Instant::now() >= end {
            return Ok(count);
        }
    }
}
