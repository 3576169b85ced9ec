//! How long the stages of a launch took.

use std::fmt;
use std::time::{Duration, Instant};

use ampoule_init::Started;

use crate::error::Stage;
use crate::plan::Prepared;

/// Ends of stages, counted from the start of the launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings(Vec<(Stage, Duration)>);

impl Timings {
    /// From the marks of the first process, whose clock is the host's.
    pub(crate) fn of(plan: &Prepared, started: &Started, begun: Instant) -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        );
        let origin = now.saturating_sub(begun.elapsed());
        let stage = |&(number, at): &(u32, u64)| {
            Some((plan.stage_number(number)?, Duration::from_nanos(at).saturating_sub(origin)))
        };
        let mut stages: Vec<_> = started.marks.iter().filter_map(stage).collect();
        stages.push((Stage::Exec, begun.elapsed()));
        Self(stages)
    }

    /// Each stage with the time at which it ended.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = Duration::ZERO;
        for (stage, at) in self.iter() {
            let took = at.saturating_sub(before);
            writeln!(
                out,
                "{:<12} {:>7} µs (at {} µs)",
                format!("{stage:?}"),
                took.as_micros(),
                at.as_micros()
            )?;
            before = at;
        }
        Ok(())
    }
}
