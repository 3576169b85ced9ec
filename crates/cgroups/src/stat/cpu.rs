//! The cpu controller: time used, time throttled.
//!
//! Kernel objects: `cpu.stat` of cgroup v2; `cpu.stat` of v1's cpu and `cpuacct.usage`,
//! `cpuacct.stat` of its cpuacct controller. Invariant: times are [`Duration`]s, whatever the file's
//! unit.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::{Dir, Files};
use super::keyed::{self, micros};
use crate::error::Result;

/// Processor time of a group with all groups below it.
///
/// See the kernel's admin-guide/cgroup-v2.rst, "CPU Interface Files". On v2 the times are there even
/// where the controller is not on; the counts of periods are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cpu {
    /// All time used (`usage_usec`; v1 `cpuacct.usage`).
    pub usage: Option<Duration>,
    /// In user mode (`user_usec`; v1 `cpuacct.stat`, in steps of 10 ms).
    pub user: Option<Duration>,
    /// In the kernel (`system_usec`; v1 `cpuacct.stat`, in steps of 10 ms).
    pub system: Option<Duration>,
    /// By processes of lowered priority (`nice_usec`). Since Linux 6.12.
    pub nice: Option<Duration>,
    /// Forced to idle for core scheduling (`core_sched.force_idle_usec`). Since Linux 6.0.
    pub force_idle: Option<Duration>,
    /// Periods of `cpu.max` in which the group wanted to run.
    pub nr_periods: Option<u64>,
    /// Periods in which it was throttled.
    pub nr_throttled: Option<u64>,
    /// Time throttled, over all processors (`throttled_usec`; v1 `throttled_time`).
    pub throttled: Option<Duration>,
    /// Periods that ran above the quota (`cpu.max.burst`). Since Linux 5.14.
    pub nr_bursts: Option<u64>,
    /// Time above the quota, over all processors (`burst_usec`; v1 `burst_time`). Since Linux 5.14.
    pub burst: Option<Duration>,
    /// Keys that have no field here, as the file shows them.
    pub other: BTreeMap<String, u64>,
}

/// A tick of `cpuacct.stat`: `USER_HZ` is 100 on every architecture that this crate runs on.
const TICK_MILLIS: u64 = 10;

impl Cpu {
    /// Reads `cpu.stat`, of v2 or of v1.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut cpu = Self::default();
        keyed::flat(text).for_each(|(key, value)| cpu.set(key, value));
        cpu
    }

    /// Reads v1's `cpuacct.usage` and `cpuacct.stat` into the times.
    pub fn add_cpuacct(&mut self, usage: &str, stat: &str) {
        self.usage = keyed::single(usage).map(Duration::from_nanos);
        for (key, value) in keyed::flat(stat) {
            match key {
                "user" => self.user = ticks(value),
                "system" => self.system = ticks(value),
                _ => {}
            }
        }
    }

    fn set(&mut self, key: &str, value: u64) {
        match key {
            "usage_usec" => self.usage = Some(micros(value)),
            "user_usec" => self.user = Some(micros(value)),
            "system_usec" => self.system = Some(micros(value)),
            "nice_usec" => self.nice = Some(micros(value)),
            "core_sched.force_idle_usec" => self.force_idle = Some(micros(value)),
            "nr_periods" => self.nr_periods = Some(value),
            "nr_throttled" => self.nr_throttled = Some(value),
            "nr_bursts" => self.nr_bursts = Some(value),
            "throttled_usec" => self.throttled = Some(micros(value)),
            "burst_usec" => self.burst = Some(micros(value)),
            "throttled_time" => self.throttled = Some(Duration::from_nanos(value)),
            "burst_time" => self.burst = Some(Duration::from_nanos(value)),
            _ => {
                self.other.insert(key.to_owned(), value);
            }
        }
    }
}

/// `None` where the milliseconds do not fit: no machine ran that long.
fn ticks(count: u64) -> Option<Duration> {
    count.checked_mul(TICK_MILLIS).map(Duration::from_millis)
}

/// Reads `cpu.stat` of a group.
pub(crate) fn read(files: &mut Files, dir: Dir<'_>) -> Result<Cpu> {
    Ok(files.read(dir, "cpu.stat")?.map(Cpu::parse).unwrap_or_default())
}

/// Reads the files of v1's cpuacct controller into `cpu`.
pub(crate) fn read_cpuacct(files: &mut Files, dir: Dir<'_>, cpu: &mut Cpu) -> Result<()> {
    let usage = files.read(dir, "cpuacct.usage")?.unwrap_or_default().to_owned();
    let stat = files.read(dir, "cpuacct.stat")?.unwrap_or_default();
    cpu.add_cpuacct(&usage, stat);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "usage_usec 4096123\nuser_usec 4000000\nsystem_usec 96123\nnice_usec 5\n\
                      core_sched.force_idle_usec 6\nnr_periods 40\nnr_throttled 12\n\
                      throttled_usec 1500000\nnr_bursts 2\nburst_usec 700\nfuture 3\n";

    #[test]
    fn v2_counts_microseconds() {
        let cpu = Cpu::parse(V2);
        assert_eq!(cpu.usage, Some(Duration::from_micros(4_096_123)));
        assert_eq!(cpu.user, Some(Duration::from_secs(4)));
        assert_eq!(cpu.system, Some(Duration::from_micros(96_123)));
        assert_eq!(
            (cpu.nr_periods, cpu.nr_throttled, cpu.nr_bursts),
            (Some(40), Some(12), Some(2))
        );
        assert_eq!(cpu.throttled, Some(Duration::from_millis(1500)));
        assert_eq!(cpu.burst, Some(Duration::from_micros(700)));
        assert_eq!((cpu.nice, cpu.force_idle), (Some(micros(5)), Some(micros(6))));
        assert_eq!(cpu.other.get("future"), Some(&3));
    }

    #[test]
    fn v1_counts_nanoseconds_and_ticks() {
        let mut cpu = Cpu::parse(
            "nr_periods 7\nnr_throttled 3\nthrottled_time 250000000\nnr_bursts 0\nburst_time 9\n",
        );
        cpu.add_cpuacct("1234567890\n", "user 110\nsystem 13\nguest 1\n");
        assert_eq!(cpu.usage, Some(Duration::from_nanos(1_234_567_890)));
        assert_eq!(cpu.user, Some(Duration::from_millis(1100)));
        assert_eq!(cpu.system, Some(Duration::from_millis(130)));
        assert_eq!(cpu.throttled, Some(Duration::from_millis(250)));
        assert_eq!(cpu.burst, Some(Duration::from_nanos(9)));
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let mut cpu = Cpu::parse("usage_usec 18446744073709551615\nthrottled_time -1\n");
        assert_eq!(cpu.usage, Some(Duration::from_micros(u64::MAX)));
        assert_eq!(cpu.throttled, None);
        cpu.add_cpuacct("18446744073709551615", "user 18446744073709551615");
        assert_eq!((cpu.usage, cpu.user), (Some(Duration::from_nanos(u64::MAX)), None));
    }
}
