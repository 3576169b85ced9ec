//! How long the stages of a launch took.

use std::fmt;
use std::time::Duration;

use crate::error::Stage;

/// Ends of stages, counted from the start of the launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings(Vec<(Stage, Duration)>);

impl Timings {
    pub(crate) fn new(stages: Vec<(Stage, Duration)>) -> Self {
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
