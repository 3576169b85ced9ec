//! The scheduling policy of a process and its nice value.
//!
//! Kernel objects: none, this is data; [`Scheduler::to_bytes`] is what sched_setattr(2) takes.
//! Manual: sched(7). Invariant: a scheduler that passes [`validate`](Scheduler::validate) has no
//! value that the kernel refuses for its range.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// A scheduling policy, sched(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SchedulerPolicy {
    /// `SCHED_OTHER`, time sharing.
    #[default]
    Other,
    /// `SCHED_BATCH`, time sharing for work that nobody waits for.
    Batch,
    /// `SCHED_IDLE`, only when nothing else runs.
    Idle,
    /// `SCHED_FIFO` with a priority of 1 to 99; needs `CAP_SYS_NICE` or `RLIMIT_RTPRIO`.
    Fifo(u32),
    /// `SCHED_RR` with a priority of 1 to 99; needs the same.
    RoundRobin(u32),
    /// `SCHED_DEADLINE`, since Linux 3.14; needs `CAP_SYS_NICE`.
    Deadline {
        /// Processor time in each period, at least 1024 ns.
        runtime: Duration,
        /// By when it is needed, from the start of a period; at least the runtime.
        deadline: Duration,
        /// The period; at least the deadline, or zero for the deadline.
        period: Duration,
    },
}

bitflags::bitflags! {
    /// `SCHED_FLAG_*` of sched_setattr(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct SchedulerFlags: u64 {
        /// Children start with the default policy.
        const RESET_ON_FORK = 0x01;
        /// Use time that other deadline processes leave, since Linux 4.13; deadline only.
        const RECLAIM = 0x02;
        /// Send SIGXCPU when the runtime is exceeded, since Linux 4.16; deadline only.
        const DL_OVERRUN = 0x04;
    }
}

/// How a process is scheduled. The default is what a process normally has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scheduler {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// −20 (most) to 19 (least), for the policies other and batch; below 0 it needs
    /// `CAP_SYS_NICE` or `RLIMIT_NICE`.
    pub nice: i32,
    /// Flags.
    pub flags: SchedulerFlags,
}

/// The size of the first version of `struct sched_attr`.
const ATTR_SIZE: u32 = 48;

impl Scheduler {
    /// A policy, with nice value 0 and without flags.
    #[must_use]
    pub fn new(policy: SchedulerPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Checks all ranges. The kernel may still refuse for want of rights or processor time.
    ///
    /// # Errors
    /// [`InvalidScheduler`](ErrorKind::InvalidScheduler).
    pub fn validate(&self) -> Result<()> {
        check_range("nice", i64::from(self.nice), -20, 19)?;
        match self.policy {
            SchedulerPolicy::Fifo(priority) | SchedulerPolicy::RoundRobin(priority) => {
                check_range("priority", i64::from(priority), 1, 99)?;
            }
            SchedulerPolicy::Deadline { runtime, deadline, period } => {
                check_deadline(runtime, deadline, period)?;
            }
            SchedulerPolicy::Other | SchedulerPolicy::Batch | SchedulerPolicy::Idle => {}
        }
        let deadline = matches!(self.policy, SchedulerPolicy::Deadline { .. });
        let allowed = if deadline { SchedulerFlags::all() } else { SchedulerFlags::RESET_ON_FORK };
        if allowed.contains(self.flags) {
            return Ok(());
        }
        Err(refused(&format!("flags {:#x}", self.flags.bits()), Reason::FlagsDoNotFit))
    }

    /// The kernel's number of the policy.
    #[must_use]
    pub const fn policy_number(&self) -> u32 {
        match self.policy {
            SchedulerPolicy::Other => 0,
            SchedulerPolicy::Fifo(_) => 1,
            SchedulerPolicy::RoundRobin(_) => 2,
            SchedulerPolicy::Batch => 3,
            SchedulerPolicy::Idle => 5,
            SchedulerPolicy::Deadline { .. } => 6,
        }
    }

    /// A `struct sched_attr` of 48 bytes for sched_setattr(2), since Linux 3.14.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 48] {
        let (priority, times) = match self.policy {
            SchedulerPolicy::Fifo(priority) | SchedulerPolicy::RoundRobin(priority) => {
                (priority, [0; 3])
            }
            SchedulerPolicy::Deadline { runtime, deadline, period } => {
                (0, [runtime, deadline, period].map(nanos))
            }
            SchedulerPolicy::Other | SchedulerPolicy::Batch | SchedulerPolicy::Idle => (0, [0; 3]),
        };
        let mut bytes = [0; 48];
        let head = [ATTR_SIZE, self.policy_number()].map(u32::to_ne_bytes).concat();
        let middle = [self.nice.to_ne_bytes(), priority.to_ne_bytes()].concat();
        let tail = times.map(u64::to_ne_bytes).concat();
        let all = [head, self.flags.bits().to_ne_bytes().to_vec(), middle, tail].concat();
        bytes.copy_from_slice(&all);
        bytes
    }
}

fn refused(text: &str, reason: Reason) -> Error {
    Error::text(ErrorKind::InvalidScheduler, text, reason)
}

fn check_range(name: &str, value: i64, min: i64, max: i64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(refused(&format!("{name}={value}"), Reason::OutOfRange(min, max)))
}

/// The rules of `__checkparam_dl` in the kernel, but for the bounds that are sysctls.
fn check_deadline(runtime: Duration, deadline: Duration, period: Duration) -> Result<()> {
    let period = if period.is_zero() { deadline } else { period };
    let ordered =
        runtime >= Duration::from_nanos(1024) && runtime <= deadline && deadline <= period;
    if ordered && period.as_nanos() < 1 << 63 {
        return Ok(());
    }
    let text = format!("{runtime:?}/{deadline:?}/{period:?}");
    Err(refused(&text, Reason::DeadlineOrder))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deadline(runtime: u64, deadline: u64, period: u64) -> Scheduler {
        let [runtime, deadline, period] = [runtime, deadline, period].map(Duration::from_nanos);
        Scheduler::new(SchedulerPolicy::Deadline { runtime, deadline, period })
    }

    #[test]
    fn ranges_are_checked() {
        for priority in [0, 100, u32::MAX] {
            Scheduler::new(SchedulerPolicy::Fifo(priority)).validate().unwrap_err();
            Scheduler::new(SchedulerPolicy::RoundRobin(priority)).validate().unwrap_err();
        }
        Scheduler::new(SchedulerPolicy::Fifo(99)).validate().unwrap();
        for nice in [-21, 20] {
            let error = Scheduler { nice, ..Scheduler::default() }.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidScheduler);
        }
        let reclaim = Scheduler { flags: SchedulerFlags::RECLAIM, ..Scheduler::default() };
        reclaim.validate().unwrap_err();
        let huge = Duration::from_secs(u64::MAX);
        let policy = SchedulerPolicy::Deadline { runtime: huge, deadline: huge, period: huge };
        Scheduler::new(policy).validate().unwrap_err();
        let _bytes = Scheduler::new(policy).to_bytes();
    }

    #[test]
    fn the_kernel_reads_our_bytes() {
        let words = |scheduler: Scheduler| {
            let bytes = scheduler.to_bytes();
            bytes.chunks(4).map(|c| u32::from_ne_bytes(c.try_into().unwrap())).collect::<Vec<_>>()
        };
        let nice = Scheduler { nice: 5, ..Scheduler::new(SchedulerPolicy::Batch) };
        assert_eq!(words(nice), [48, 3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let mut fifo = Scheduler::new(SchedulerPolicy::Fifo(7));
        fifo.flags = SchedulerFlags::RESET_ON_FORK;
        assert_eq!(words(fifo)[..6], [48, 1, 1, 0, 0, 7]);
        assert_eq!(words(deadline(1, 2, 3))[6..], [1, 0, 2, 0, 3, 0]);
    }

    #[test]
    fn data_survives_json() {
        let mut scheduler = deadline(2000, 3000, 0);
        scheduler.flags = SchedulerFlags::RECLAIM | SchedulerFlags::RESET_ON_FORK;
        let unknown: Scheduler = serde_json::from_str(r#"{"flags":"0x40"}"#).unwrap();
        unknown.validate().unwrap_err();
        let json = serde_json::to_string(&scheduler).unwrap();
        assert!(json.contains(r#""flags":"RESET_ON_FORK | RECLAIM""#), "{json}");
        assert_eq!(serde_json::from_str::<Scheduler>(&json).unwrap(), scheduler);
    }

    proptest! {
        #[test]
        fn deadlines_are_ordered(r in 0..4096u64, d in 0..4096u64, p in 0..4096u64) {
            let period = if p == 0 { d } else { p };
            let good = r >= 1024 && r <= d && d <= period;
            prop_assert_eq!(deadline(r, d, p).validate().is_ok(), good);
        }
    }
}
