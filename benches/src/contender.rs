//! What is measured: something that starts `/bin/true` isolated and cleans up after it.
//!
//! Invariant: after `spawn` returned, nothing of the container is left but the network namespace, which
//! the kernel takes down later by itself.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// One start of `/bin/true`, in microseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The payload is reaped.
    pub reaped: f64,
    /// Descriptors are closed, groups and state removed, mounts as before.
    pub cleaned: f64,
}

/// Something that starts isolated processes, from any thread.
pub trait Contender: Send + Sync {
    /// Starts `/bin/true`, waits for it, cleans up, and says how long that took.
    ///
    /// # Errors
    /// Whatever kept the payload from running and ending with status 0.
    fn spawn(&self) -> Result<Sample, Failure>;
}

/// Takes the two times of a [`Sample`].
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    reaped: Option<Duration>,
}

impl Stopwatch {
    /// Begins now.
    #[expect(clippy::new_without_default, reason = "a default that reads the clock surprises")]
    pub fn new() -> Self {
        Self { start: Instant::now(), reaped: None }
    }

    /// The payload is reaped now.
    pub fn reaped(&mut self) {
        self.reaped = Some(self.start.elapsed());
    }

    /// Everything is cleaned up now; counts as reaped too where that cannot be told apart.
    pub fn cleaned(self) -> Sample {
        let cleaned = self.start.elapsed();
        let micros = |d: Duration| d.as_secs_f64() * 1e6;
        Sample { reaped: micros(self.reaped.unwrap_or(cleaned)), cleaned: micros(cleaned) }
    }
}
