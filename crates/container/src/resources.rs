//! What a container's group counted until the end.
//!
//! Kernel objects: none. Invariant: what was not counted is not there, instead of zero.

use std::fmt;
use std::time::Duration;

use ampoule_cgroups::events::Above;
pub use ampoule_cgroups::events::LimitOf;
use ampoule_cgroups::{Bytes, Controllers, Group};
use ampoule_ns::Interfaces;

/// What a container's group counted until the end (`ExitStatus::resources`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resources {
    /// The most memory that was used at once (`memory.peak`, since Linux 5.19; v1 `memory.max_usage_in_bytes`).
    pub memory_peak: Option<Bytes>,
    /// CPU time of all processes, also of those that nobody waited for.
    pub cpu: Option<Duration>,
    /// How long processes had to wait because the quota was used up.
    pub throttled: Option<Duration>,
    /// The most processes and threads at once (`pids.peak`, since Linux 6.1).
    pub pids_peak: Option<u64>,
    /// What was read from block devices.
    pub read: Option<Bytes>,
    /// What was written to block devices.
    pub written: Option<Bytes>,
    /// What its network received and sent, the loopback device included by name; where everything is counted
    /// ([`OwnGroup::Counted`](crate::OwnGroup::Counted)) and the network is not the host's.
    pub network: Option<Interfaces>,
    /// How many processes were killed for want of memory.
    pub oom_kills: u64,
    /// Whose limit it was: the container's own, or that of a group above it, by its path.
    pub oom_by: Option<LimitOf>,
}

impl Resources {
    /// What a group counted since it was made; `above` is from then.
    pub(crate) fn of(group: &Group, above: &Above) -> Option<Self> {
        let totals = group.totals().ok()?;
        let oom_kills = totals.oom_kills.unwrap_or(0);
        // Whose limit it was takes more reads than all else.
        let stats = (oom_kills > 0).then(|| group.stat_of(Controllers::MEMORY).ok()).flatten();
        Some(Self {
            memory_peak: totals.memory_peak.map(Bytes::new),
            cpu: totals.cpu,
            throttled: totals.throttled,
            pids_peak: totals.pids_peak,
            read: totals.io.rbytes.map(Bytes::new),
            written: totals.io.wbytes.map(Bytes::new),
            network: None,
            oom_kills,
            oom_by: stats.and_then(|stats| group.limit_of(&stats, above)),
        })
    }
}

/// One line: what was used, as far as it was counted.
impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            |time: Option<Duration>| time.map_or("?".to_owned(), |time| format!("{time:.3?}"));
        let peak = self.memory_peak.map_or("?".to_owned(), |bytes| bytes.to_string());
        let (cpu, throttled) = (time(self.cpu), time(self.throttled));
        write!(out, "memory peak {peak}, CPU time {cpu}, throttled {throttled}")?;
        if let Some(pids) = self.pids_peak {
            write!(out, ", {pids} processes at once")?;
        }
        // A device that was never used is not counted.
        let [read, written] = [self.read, self.written].map(Option::unwrap_or_default);
        write!(out, ", read {read}, written {written}")?;
        if let Some(network) = self.network.as_ref().map(Interfaces::total) {
            let [received, sent] = [network.received.bytes, network.sent.bytes].map(Bytes::new);
            write!(out, ", network received {received}, sent {sent}")?;
        }
        match &self.oom_by {
            Some(limit) => write!(out, ", {} killed for {limit}", self.oom_kills),
            None => Ok(()),
        }
    }
}
