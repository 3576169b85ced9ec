//! Security levels and ranges of them.
//!
//! Kernel objects: none; pure data. Invariant: the upper level of a range dominates the lower one.

use std::fmt;
use std::str::FromStr;

use crate::categories::{Categories, numbered};
use crate::problem::Problem;

/// A sensitivity with categories, such as `s0:c1,c2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    /// The sensitivity: the number after `s`.
    pub sensitivity: u16,
    /// The categories.
    pub categories: Categories,
}

impl Level {
    /// `s0` with these categories.
    #[must_use]
    pub fn of(categories: Categories) -> Self {
        Self { sensitivity: 0, categories }
    }

    /// Whether this level may read what has the other one.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        self.sensitivity >= other.sensitivity && self.categories.includes(&other.categories)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "s{}", self.sensitivity)?;
        if self.categories.is_empty() { Ok(()) } else { write!(out, ":{}", self.categories) }
    }
}

impl FromStr for Level {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let (sensitivity, categories) = match text.split_once(':') {
            Some((sensitivity, categories)) => (sensitivity, categories.parse()?),
            None => (text, Categories::empty()),
        };
        let number = numbered(sensitivity, 's');
        let sensitivity = number.ok_or_else(|| Problem::sensitivity(sensitivity))?;
        Ok(Self { sensitivity, categories })
    }
}

/// The levels from a low to a high one, such as `s0-s0:c0.c1023`; mostly both are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Range {
    low: Level,
    high: Level,
}

impl Range {
    /// The range of one level.
    #[must_use]
    pub fn one(level: Level) -> Self {
        Self { low: level, high: level }
    }

    /// The range from one level to another; `None` unless `high` dominates `low`.
    #[must_use]
    pub fn new(low: Level, high: Level) -> Option<Self> {
        high.dominates(&low).then_some(Self { low, high })
    }

    /// The lower level.
    #[must_use]
    pub fn low(&self) -> &Level {
        &self.low
    }

    /// The upper level.
    #[must_use]
    pub fn high(&self) -> &Level {
        &self.high
    }
}

impl From<Level> for Range {
    fn from(level: Level) -> Self {
        Self::one(level)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.low.fmt(out)?;
        if self.low == self.high { Ok(()) } else { write!(out, "-{}", self.high) }
    }
}

impl FromStr for Range {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let Some((low, high)) = text.split_once('-') else {
            return Ok(Self::one(text.parse()?));
        };
        let (low, high) = (low.parse()?, high.parse()?);
        Self::new(low, high)
            .ok_or(Problem::NotDominating { low: Box::new(low), high: Box::new(high) })
    }
}
