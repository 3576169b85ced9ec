//! How a payload ended.
//!
//! Invariant: a payload that fails is not an error of the library; an outcome says what the kernel said.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::resources::Resources;
use ampoule_init::process::WaitStatus;
use ampoule_init::reaper::{Cause, Ended};

pub use ampoule_init::reaper::Usage;

/// What ended the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It called `exit` with this code.
    Exited(u8),
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// Its time limit passed and it was killed.
    TimedOut,
    /// It wrote more than the launch's `output_max` and was killed.
    OutputExceeded,
    /// The kernel killed it for want of memory; [`Resources::oom_by`] says whose limit it was.
    OutOfMemory,
}

/// How a payload ended and what it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    outcome: Outcome,
    usage: Usage,
    wall: Duration,
    resources: Resources,
}

impl ExitStatus {
    pub(crate) fn new(outcome: Outcome, usage: Usage, wall: Duration) -> Self {
        Self { outcome, usage, wall, resources: Resources::default() }
    }

    /// From the reaper's report.
    pub(crate) fn from_ended(ended: &Ended, wall: Duration) -> Self {
        let outcome = match ended.cause {
            Cause::TimedOut => Outcome::TimedOut,
            _ => Outcome::from_wait_status(ended.status),
        };
        Self::new(outcome, ended.usage, wall)
    }

    /// What ended the payload.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether it exited with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.outcome == Outcome::Exited(0)
    }

    /// The exit code, if it exited.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self.outcome {
            Outcome::Exited(code) => Some(i32::from(code)),
            _ => None,
        }
    }

    /// The signal that ended it, if one did; `SIGKILL` where the library killed it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self.outcome {
            Outcome::Exited(_) => None,
            Outcome::Signaled { signal, .. } => Some(signal),
            Outcome::TimedOut | Outcome::OutputExceeded | Outcome::OutOfMemory => Some(9),
        }
    }

    /// Whether its time limit passed.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.outcome == Outcome::TimedOut
    }

    /// What the payload and its descendants used, as far as the reaper saw them (getrusage(2)).
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Time from the start of the launch until the end was seen.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.wall
    }

    /// Whether the kernel killed it for want of memory.
    #[must_use]
    pub fn oom_killed(&self) -> bool {
        self.outcome == Outcome::OutOfMemory
    }

    /// What the container's control group counted; empty without one.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    pub(crate) fn with_resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// Replaces the outcome.
    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }
}

impl Outcome {
    /// Reads the line that init writes to a status descriptor ([`Launch::status_fd`](crate::Launch::status_fd)).
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (word, number) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match word {
            "exited" => number.parse().ok().map(Self::Exited),
            "signaled" => {
                let signal = number.parse().ok()?;
                Some(Self::Signaled { signal, core_dumped: false })
            }
            "timed-out" => Some(Self::TimedOut),
            _ => None,
        }
    }

    /// Reads a status as `wait4(2)` gives it.
    pub(crate) fn from_wait_status(status: WaitStatus) -> Self {
        let status = std::process::ExitStatus::from_raw(status);
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            (None, Some(signal)) => Self::Signaled { signal, core_dumped: status.core_dumped() },
            (None, None) => Self::Signaled { signal: 0, core_dumped: false },
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(out)?;
        match (self.outcome, &self.resources.oom_by) {
            (Outcome::OutOfMemory, Some(limit)) => write!(out, ": {limit}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(out, "exited with code {code}"),
            Self::Signaled { signal, core_dumped: true } => {
                write!(out, "killed by signal {signal} (core dumped)")
            }
            Self::Signaled { signal, core_dumped: false } => {
                write!(out, "killed by signal {signal}")
            }
            Self::TimedOut => out.write_str("killed at its time limit"),
            Self::OutOfMemory => out.write_str("killed for want of memory"),
            Self::OutputExceeded => out.write_str("killed for too much output"),
        }
    }
}
