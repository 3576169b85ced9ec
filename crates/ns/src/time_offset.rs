//! Clock offsets of a new time namespace.
//!
//! Kernel objects: the bytes written to `/proc/self/timens_offsets` by a process that made a time
//! namespace and has no child in it yet; nothing is written here. Manual: time_namespaces(7), since
//! Linux 5.6. Invariant: nanoseconds are below 1 000 000 000.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// The kernel's clocks end at 2^63 nanoseconds; an offset may reach half of that (146 years).
const SECONDS_MAX: i64 = i64::MAX / 1_000_000_000 / 2;

const NANOS_END: u32 = 1_000_000_000;

/// A difference of a clock: `seconds` plus `nanos`, so −0.5 s is −1 and 500 000 000.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct TimeOffset {
    /// Seconds, negative for the past.
    pub seconds: i64,
    /// Nanoseconds to add, below 1 000 000 000.
    #[serde(default)]
    pub nanos: u32,
}

impl TimeOffset {
    /// A difference of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    fn total_nanos(self) -> i128 {
        i128::from(self.seconds) * i128::from(NANOS_END) + i128::from(self.nanos)
    }
}

/// The offsets of the two clocks that a time namespace has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeOffsets {
    /// `CLOCK_MONOTONIC` and its variants.
    pub monotonic: TimeOffset,
    /// `CLOCK_BOOTTIME`, which also is the uptime in `/proc/uptime`.
    pub boottime: TimeOffset,
}

impl TimeOffsets {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the ranges, whatever the clocks show.
    ///
    /// # Errors
    /// [`InvalidTimeOffset`](ErrorKind::InvalidTimeOffset).
    pub fn validate(&self) -> Result<()> {
        for (clock, offset) in self.clocks() {
            if offset.nanos >= NANOS_END {
                return Err(refused(clock, offset, 0, i64::from(NANOS_END) - 1));
            }
            if offset.seconds.unsigned_abs() > SECONDS_MAX.unsigned_abs() {
                return Err(refused(clock, offset, -SECONDS_MAX, SECONDS_MAX));
            }
        }
        Ok(())
    }

    /// Checks that neither clock goes below zero, which the kernel refuses with ERANGE.
    ///
    /// # Errors
    /// [`InvalidTimeOffset`](ErrorKind::InvalidTimeOffset), also for the ranges.
    pub fn validate_now(&self) -> Result<()> {
        use rustix::time::{ClockId, clock_gettime};
        let now = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        self.validate_at(now(ClockId::Monotonic), now(ClockId::Boottime))
    }

    /// The same for clocks that show these times.
    ///
    /// # Errors
    /// [`InvalidTimeOffset`](ErrorKind::InvalidTimeOffset), also for the ranges.
    pub fn validate_at(&self, monotonic: Duration, boottime: Duration) -> Result<()> {
        self.validate()?;
        for ((clock, offset), now) in self.clocks().into_iter().zip([monotonic, boottime]) {
            let nanos = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
            let sum = nanos.saturating_add(offset.total_nanos());
            let end = (i128::from(SECONDS_MAX) + 1) * i128::from(NANOS_END);
            if !(0..end).contains(&sum) {
                let past = i64::try_from(now.as_secs()).unwrap_or(SECONDS_MAX);
                return Err(refused(clock, offset, -past, SECONDS_MAX.saturating_sub(past)));
            }
        }
        Ok(())
    }

    /// The text for `/proc/self/timens_offsets`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let line = |(clock, offset): (&str, TimeOffset)| {
            format!("{clock} {} {}\n", offset.seconds, offset.nanos)
        };
        self.clocks().into_iter().map(line).collect::<String>().into_bytes()
    }

    fn clocks(&self) -> [(&'static str, TimeOffset); 2] {
        [("monotonic", self.monotonic), ("boottime", self.boottime)]
    }
}

fn refused(clock: &str, offset: TimeOffset, min: i64, max: i64) -> Error {
    let text = format!("{clock} {} {}", offset.seconds, offset.nanos);
    Error::text(ErrorKind::InvalidTimeOffset, &text, Reason::OutOfRange(min, max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(offset: TimeOffset) -> TimeOffsets {
        TimeOffsets { monotonic: offset, boottime: offset }
    }

    #[test]
    fn renders_what_the_kernel_reads() {
        let offsets = TimeOffsets { monotonic: TimeOffset::seconds(-5), ..TimeOffsets::default() };
        assert_eq!(offsets.to_bytes(), b"monotonic -5 0\nboottime 0 0\n");
        assert!(!offsets.is_zero() && TimeOffsets::default().is_zero());
    }

    #[test]
    fn ranges_are_checked() {
        both(TimeOffset::seconds(SECONDS_MAX)).validate().unwrap();
        for wrong in [
            TimeOffset::seconds(SECONDS_MAX + 1),
            TimeOffset::seconds(i64::MIN),
            TimeOffset { seconds: 0, nanos: NANOS_END },
        ] {
            let error = both(wrong).validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidTimeOffset);
        }
    }

    #[test]
    fn clocks_stay_above_zero() {
        let half = Duration::from_millis(500);
        both(TimeOffset { seconds: -1, nanos: 500_000_000 }).validate_at(half, half).unwrap();
        both(TimeOffset::seconds(-1)).validate_at(half, half).unwrap_err();
        both(TimeOffset::seconds(-1)).validate_now().unwrap();
        both(TimeOffset::seconds(-SECONDS_MAX)).validate_now().unwrap_err();
        both(TimeOffset::seconds(SECONDS_MAX)).validate_now().unwrap_err();
    }

    proptest! {
        #[test]
        fn any_offset_is_checked(seconds: i64, nanos: u32, now: u64) {
            let offsets = both(TimeOffset { seconds, nanos });
            let now = Duration::from_secs(now);
            let good = offsets.validate_at(now, now).is_ok();
            prop_assert!(!good || offsets.validate().is_ok());
            let json = serde_json::to_string(&offsets).unwrap();
            prop_assert_eq!(serde_json::from_str::<TimeOffsets>(&json).unwrap(), offsets);
        }
    }
}
