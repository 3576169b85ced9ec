//! The memory controller: usage, limits, events.
//!
//! Kernel objects: `memory.*` of cgroup v2, `memory.*` and `memory.memsw.*` of v1. Invariant: bytes
//! everywhere; v1's numbers are given in v2's meaning or not at all.

use serde::{Deserialize, Serialize};

use super::files::{Dir, Files};
use super::keyed::{self, counters};
use super::memory_stat::MemoryStat;
use crate::error::Result;
use crate::unit::Max;

/// What a group uses of memory, and what it may use.
///
/// See the kernel's admin-guide/cgroup-v2.rst, "Memory Interface Files".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Memory {
    /// Bytes in use by the group and all groups below it (`memory.current`; v1
    /// `memory.usage_in_bytes`). The root group of v2 has none.
    pub current: Option<u64>,
    /// The most that was in use, in bytes (`memory.peak`, Linux 5.19; v1 `memory.max_usage_in_bytes`).
    pub peak: Option<u64>,
    /// The limit in bytes (`memory.max`; v1 `memory.limit_in_bytes`).
    pub max: Option<Max<u64>>,
    /// Above this the group is slowed down and reclaimed, in bytes (`memory.high`; not on v1).
    pub high: Option<Max<u64>>,
    /// Swap.
    pub swap: Swap,
    /// How often limits were met (`memory.events`).
    ///
    /// On v1 [`max`](MemoryEvents::max) is `memory.failcnt` with `memory.memsw.failcnt`, and
    /// [`oom_kill`](MemoryEvents::oom_kill) counts the group alone, not the groups below it.
    pub events: MemoryEvents,
    /// The same, without the groups below (`memory.events.local`); on v1 equal to `events`.
    pub events_local: MemoryEvents,
    /// What the memory is used for (`memory.stat`).
    pub stat: MemoryStat,
}

/// What a group uses of swap.
///
/// v1 counts memory and swap together; here the memory is subtracted. v1 has no peak of swap alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Swap {
    /// Bytes in swap (`memory.swap.current`; v1 `memory.memsw.usage_in_bytes` less memory).
    pub current: Option<u64>,
    /// The most that was in swap, in bytes (`memory.swap.peak`, Linux 6.5; not on v1).
    pub peak: Option<u64>,
    /// The limit in bytes (`memory.swap.max`; v1 `memory.memsw.limit_in_bytes` less the memory limit).
    pub max: Option<Max<u64>>,
}

counters! {
    /// The file `memory.events`: how often each limit was met.
    MemoryEvents {
        /// Reclaimed although below `memory.low`: the protection was given too often.
        low,
        /// Slowed down because usage was above `memory.high`.
        high,
        /// Usage was about to go above `memory.max`.
        max,
        /// The limit was reached and nothing could be reclaimed: the OOM killer was due.
        oom,
        /// Processes that the OOM killer killed, whichever group's limit was the cause.
        oom_kill,
        /// Times that it killed a whole group (`memory.oom.group`). Since Linux 5.17.
        oom_group_kill,
        /// Times that sockets of the group were slowed down. Since Linux 6.18.
        sock_throttled,
    }
}

impl MemoryEvents {
    /// Reads v1's `memory.oom_control`, `memory.failcnt` and `memory.memsw.failcnt`.
    ///
    /// A charge that does not fit is counted in one of the last two, so that their sum is how often
    /// a limit was met.
    #[must_use]
    pub fn parse_v1(oom_control: &str, failcnt: &str, both_failcnt: &str) -> Self {
        let mut events = Self::parse(oom_control);
        let both = keyed::single(both_failcnt).unwrap_or(0);
        events.max = keyed::single(failcnt).map(|memory| memory.saturating_add(both));
        events
    }
}

impl Memory {
    /// Bytes that cannot be had back easily: [`current`](Self::current) less cached files that were
    /// not used lately (`inactive_file`).
    ///
    /// This is the figure of `kubectl top` and the eviction manager (`working_set`), of `podman stats`
    /// and of `docker stats`.
    #[must_use]
    pub fn working_set(&self) -> Option<u64> {
        let inactive = self.stat.inactive_file.unwrap_or(0);
        self.current.map(|current| current.saturating_sub(inactive))
    }

    /// Usage as a part of the limit, between 0 and 1; `None` where there is no limit.
    #[must_use]
    pub fn fraction_of_max(&self) -> Option<f64> {
        match (self.current, self.max) {
            (Some(current), Some(Max::Limit(max))) => Some(super::usage::ratio(current, max)),
            _ => None,
        }
    }
}

/// Reads the files of the memory controller; a file that the kernel does not have gives `None`.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the group has been removed, `Denied`
/// without permission.
pub(crate) fn read(files: &mut Files, dir: Dir<'_>) -> Result<Memory> {
    match dir {
        Dir::V1(_) => read_v1(files, dir),
        Dir::V2(_) => read_v2(files, dir),
    }
}

fn read_v2(files: &mut Files, dir: Dir<'_>) -> Result<Memory> {
    let swap = Swap {
        current: files.read(dir, "memory.swap.current")?.and_then(keyed::single),
        peak: files.read(dir, "memory.swap.peak")?.and_then(keyed::single),
        max: files.read(dir, "memory.swap.max")?.and_then(keyed::limit),
    };
    let mut events =
        |name| files.read(dir, name).map(|text| text.map(MemoryEvents::parse).unwrap_or_default());
    let (all, local) = (events("memory.events")?, events("memory.events.local")?);
    Ok(Memory {
        current: files.read(dir, "memory.current")?.and_then(keyed::single),
        peak: files.read(dir, "memory.peak")?.and_then(keyed::single),
        max: files.read(dir, "memory.max")?.and_then(keyed::limit),
        high: files.read(dir, "memory.high")?.and_then(keyed::limit),
        swap,
        events: all,
        events_local: local,
        stat: files.read(dir, "memory.stat")?.map(MemoryStat::parse).unwrap_or_default(),
    })
}

fn read_v1(files: &mut Files, dir: Dir<'_>) -> Result<Memory> {
    let current = files.read(dir, "memory.usage_in_bytes")?.and_then(keyed::single);
    let max = files.read(dir, "memory.limit_in_bytes")?.and_then(limit_v1);
    let both = files.read(dir, "memory.memsw.usage_in_bytes")?.and_then(keyed::single);
    let both_max = files.read(dir, "memory.memsw.limit_in_bytes")?.and_then(limit_v1);
    let events = events_v1(files, dir)?;
    Ok(Memory {
        current,
        peak: files.read(dir, "memory.max_usage_in_bytes")?.and_then(keyed::single),
        max,
        high: None,
        swap: Swap {
            // The two files are not read at the same moment.
            current: both.zip(current).map(|(both, memory)| both.saturating_sub(memory)),
            peak: None,
            max: swap_max_v1(both_max, max),
        },
        events_local: events.clone(),
        events,
        stat: files.read(dir, "memory.stat")?.map(MemoryStat::parse_v1).unwrap_or_default(),
    })
}

fn events_v1(files: &mut Files, dir: Dir<'_>) -> Result<MemoryEvents> {
    let failcnt = files.read(dir, "memory.failcnt")?.unwrap_or_default().to_owned();
    let both = files.read(dir, "memory.memsw.failcnt")?.unwrap_or_default().to_owned();
    let control = files.read(dir, "memory.oom_control")?.unwrap_or_default();
    Ok(MemoryEvents::parse_v1(control, &failcnt, &both))
}

/// A limit as v1 shows it: "no limit" is the largest number of whole pages.
pub(crate) fn limit_v1(text: &str) -> Option<Max<u64>> {
    /// `i64::MAX` rounded down to pages of 64 KiB, the largest that Linux has.
    const UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;
    let value = keyed::single(text)?;
    Some(if value >= UNLIMITED { Max::Max } else { Max::Limit(value) })
}

fn swap_max_v1(both: Option<Max<u64>>, memory: Option<Max<u64>>) -> Option<Max<u64>> {
    match (both?, memory?) {
        (Max::Limit(both), Max::Limit(memory)) => Some(Max::Limit(both.saturating_sub(memory))),
        _ => Some(Max::Max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_what_they_do_not_know() {
        let events = MemoryEvents::parse("low 0\nhigh 3\nmax 51\noom 2\noom_kill 1\nnew 9\n");
        assert_eq!((events.high, events.max, events.oom), (Some(3), Some(51), Some(2)));
        assert_eq!((events.oom_kill, events.oom_group_kill), (Some(1), None));
        assert_eq!(events.other.get("new"), Some(&9));
    }

    #[test]
    fn v1_events() {
        let text = "oom_kill_disable 0\nunder_oom 1\noom_kill 4\n";
        let events = MemoryEvents::parse_v1(text, "17\n", "5\n");
        assert_eq!((events.oom_kill, events.max, events.oom), (Some(4), Some(22), None));
        assert_eq!(events.other.get("under_oom"), Some(&1));
    }

    #[test]
    fn v1_has_no_limit_above_all_pages() {
        for text in ["9223372036854771712\n", "9223372036854710272\n", "9223372036854775807"] {
            assert_eq!(limit_v1(text), Some(Max::Max), "{text}");
        }
        assert_eq!(limit_v1("67108864\n"), Some(Max::Limit(64 << 20)));
        assert_eq!(limit_v1("-1"), None);
    }

    #[test]
    fn v1_swap_is_what_is_left() {
        let (at, none) = (|value| Some(Max::Limit(value)), Some(Max::Max));
        assert_eq!(swap_max_v1(at(100), at(60)), at(40));
        assert_eq!(swap_max_v1(at(60), at(100)), at(0));
        assert_eq!(swap_max_v1(none, at(100)), none);
        assert_eq!(swap_max_v1(None, at(100)), None);
    }

    #[test]
    fn the_working_set_never_wraps() {
        let mut memory = Memory { current: Some(100), ..Memory::default() };
        assert_eq!(memory.working_set(), Some(100));
        memory.stat.inactive_file = Some(30);
        assert_eq!(memory.working_set(), Some(70));
        memory.stat.inactive_file = Some(u64::MAX);
        assert_eq!(memory.working_set(), Some(0));
        assert_eq!(Memory::default().working_set(), None);
    }

    #[test]
    fn a_fraction_needs_a_limit() {
        let mut memory =
            Memory { current: Some(50), max: Some(Max::Limit(200)), ..Memory::default() };
        assert_eq!(memory.fraction_of_max(), Some(0.25));
        memory.max = Some(Max::Max);
        assert_eq!(memory.fraction_of_max(), None);
        memory.max = Some(Max::Limit(0));
        assert!(memory.fraction_of_max().is_some_and(f64::is_finite));
    }
}
