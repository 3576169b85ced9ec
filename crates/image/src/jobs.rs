//! Layers that are worked on at the same time: a bounded number of threads, and one failure that ends them all.
//!
//! Kernel objects: threads that end before the call does. Invariant: after a failure no layer is begun, and those that
//! are being worked on end with the next bytes that they read.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::io::Errno;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::progress::{Progress, Reporter};

/// How many layers are worked on at the same time, unless said otherwise.
pub(crate) const JOBS: usize = 4;

/// Whether another layer has failed.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    /// An error after a failure elsewhere. Nobody sees it: the failure is what is told.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::call("read", Errno::CANCELED)),
        }
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One layer to work on.
pub(crate) struct Job<'a> {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) reporter: Reporter<'a>,
}

impl<'a> Job<'a> {
    /// Each layer once, although an image can have one several times.
    pub(crate) fn all(
        layers: &[Descriptor],
        ids: &[Digest],
        progress: &'a dyn Progress,
        stop: &'a Stop,
    ) -> VecDeque<Self> {
        let mut jobs: VecDeque<Self> = VecDeque::new();
        for (at, (blob, diff_id)) in layers.iter().zip(ids).enumerate() {
            if !jobs.iter().any(|job| job.blob.digest == blob.digest && job.diff_id == *diff_id) {
                let reporter = Reporter::new(progress, (at, layers.len()), blob, stop);
                jobs.push_back(Self { blob: blob.clone(), diff_id: *diff_id, reporter });
            }
        }
        jobs
    }
}

/// Runs jobs in so many threads at most. The first error is the one that is told.
pub(crate) fn work<'a>(
    jobs: VecDeque<Job<'a>>,
    threads: usize,
    stop: &Stop,
    run: impl Fn(Job<'a>) -> Result<()> + Sync,
) -> Result<()> {
    let threads = threads.min(jobs.len());
    let queue = Mutex::new((jobs, Ok(())));
    let worker = || {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.0.pop_front());
            let Some(job) = next else { return };
            let result = run(job);
            if let (Err(error), Ok(mut queue)) = (result, queue.lock()) {
                queue.0.clear();
                // The first error is the cause of the others, which come only after this.
                if queue.1.is_ok() {
                    queue.1 = Err(error);
                }
                stop.set();
            }
        }
    };
    if threads <= 1 {
        worker();
    } else {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(worker);
            }
        });
    }
    queue.into_inner().map_or_else(|poisoned| poisoned.into_inner().1, |queue| queue.1)
}
