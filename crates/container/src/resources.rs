//! What a container's group counted until the end.
//!
//! Kernel objects: none. Invariant: what was not counted is not there, instead of zero.

use std::fmt;
use std::time::Duration;

use ampoule_cgroups::{Bytes, Stats};

/// What a container's group counted until the end (`ExitStatus::resources`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resources {
    /// The most memory that was used at once (`memory.peak`, since Linux 5.19; v1 `memory.max_usage_in_bytes`).
    pub memory_peak: Option<Bytes>,
    /// CPU time of all processes, also of those that nobody waited for.
    pub cpu: Option<Duration>,
    /// How long processes had to wait because the quota was used up.
    pub throttled: Option<Duration>,
    /// How many processes were killed for want of memory.
    pub oom_kills: u64,
    /// Whose limit it was.
    pub oom_by: Option<LimitOf>,
}

/// Whose memory limit killed a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// The container's own.
    Container,
    /// That of a group above it, or the whole machine's memory.
    Ancestor,
}

impl Resources {
    pub(crate) fn of(stats: &Stats) -> Self {
        let memory = &stats.memory;
        let oom_kills = memory.events.oom_kill.unwrap_or(0);
        // v1 has no local events; its count of failures is the own limit's.
        let own = memory.events_local.oom.or(memory.events.oom).or(memory.events.max);
        let by = if own.unwrap_or(0) > 0 { LimitOf::Container } else { LimitOf::Ancestor };
        Self {
            memory_peak: memory.peak.map(Bytes::new),
            cpu: stats.cpu.usage,
            throttled: stats.cpu.throttled,
            oom_kills,
            oom_by: (oom_kills > 0).then_some(by),
        }
    }
}

/// One line: what was used, as far as it was counted.
impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak = self.memory_peak.map_or("?".to_owned(), |bytes| bytes.to_string());
        let (cpu, throttled) = (self.cpu.unwrap_or_default(), self.throttled.unwrap_or_default());
        write!(out, "memory peak {peak}, CPU time {cpu:.3?}, throttled {throttled:.3?}")?;
        match self.oom_by {
            Some(LimitOf::Container) => write!(out, ", {} killed at the own limit", self.oom_kills),
            Some(LimitOf::Ancestor) => {
                write!(out, ", {} killed at the limit of a group above", self.oom_kills)
            }
            None => Ok(()),
        }
    }
}
