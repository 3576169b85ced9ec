//! What happened between two samples.
//!
//! Kernel objects: none. Invariant: a counter that went back counts as zero, and no division gives
//! infinity.

use std::time::Duration;

use super::Stats;

/// The rate of a group between two samples. 100 % is one processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Processor time as a percentage of the time between the samples: 250 is two and a half processors.
    /// This is the column `CPU %` of `podman stats`.
    pub cpu_percent: Option<f64>,
    /// Time throttled as a percentage of the same, summed over processors.
    pub throttled_percent: Option<f64>,
    /// Bytes read from block devices per second.
    pub read_per_second: Option<f64>,
    /// Bytes written to block devices per second.
    pub written_per_second: Option<f64>,
}

impl Usage {
    /// The rate between `before` and `after`, which were read `elapsed` apart.
    #[must_use]
    pub fn between(before: &Stats, after: &Stats, elapsed: Duration) -> Self {
        let (read, written) = (before.io.total(), after.io.total());
        let rate = |before: Option<u64>, after: Option<u64>| {
            let grown = after?.saturating_sub(before.unwrap_or(0));
            Some(per_second(grown, elapsed))
        };
        Self {
            cpu_percent: grown(before.cpu.usage, after.cpu.usage).map(|t| percent(t, elapsed)),
            throttled_percent: grown(before.cpu.throttled, after.cpu.throttled)
                .map(|time| percent(time, elapsed)),
            read_per_second: rate(read.rbytes, written.rbytes),
            written_per_second: rate(read.wbytes, written.wbytes),
        }
    }
}

impl Stats {
    /// Processor time as a percentage of the group's age: the column `AVG CPU %` of `podman stats`.
    #[must_use]
    pub fn average_cpu_percent(&self, age: Duration) -> Option<f64> {
        self.cpu.usage.map(|usage| percent(usage, age))
    }
}

fn grown(before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    before.zip(after).map(|(before, after)| after.saturating_sub(before))
}

/// `part` as a percentage of `whole`; 0 of nothing.
fn percent(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() * 100.0 }
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { float(count) / elapsed.as_secs_f64() }
}

/// `part` of `whole`; 1 of nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { float(part) / float(whole) }
}

/// Rates need no more than the 53 bits of a float.
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::{Cpu, Io};
    use proptest::prelude::*;

    fn sample(usage: u64, throttled: u64, read: u64) -> Stats {
        let cpu = Cpu::parse(&format!("usage_usec {usage}\nthrottled_usec {throttled}\n"));
        let io = Io::parse(&format!("8:0 rbytes={read} wbytes=0\n"));
        Stats { cpu, io, ..Stats::default() }
    }

    #[test]
    fn one_processor_is_a_hundred() {
        let (before, after) = (sample(1_000_000, 0, 100), sample(3_500_000, 250_000, 1100));
        let usage = Usage::between(&before, &after, Duration::from_secs(1));
        assert_eq!((usage.cpu_percent, usage.throttled_percent), (Some(250.0), Some(25.0)));
        assert_eq!((usage.read_per_second, usage.written_per_second), (Some(1000.0), Some(0.0)));
        assert_eq!(after.average_cpu_percent(Duration::from_secs(7)), Some(50.0));
    }

    #[test]
    fn no_sample_no_rate() {
        let none = Usage::between(&Stats::default(), &Stats::default(), Duration::from_secs(1));
        assert_eq!(none, Usage::default());
        assert_eq!(Stats::default().average_cpu_percent(Duration::from_secs(1)), None);
    }

    #[test]
    fn a_device_that_was_first_used_between_counts() {
        let after = sample(0, 0, 500);
        let usage = Usage::between(&Stats::default(), &after, Duration::from_secs(5));
        assert_eq!(usage.read_per_second, Some(100.0));
    }

    proptest! {
        #[test]
        fn rates_are_finite(a: [u64; 3], b: [u64; 3], nanos: u64) {
            let (before, after) = (sample(a[0], a[1], a[2]), sample(b[0], b[1], b[2]));
            let usage = Usage::between(&before, &after, Duration::from_nanos(nanos));
            for rate in [usage.cpu_percent, usage.throttled_percent, usage.read_per_second] {
                prop_assert!(rate.is_some_and(|rate| rate.is_finite() && rate >= 0.0));
            }
        }
    }
}
