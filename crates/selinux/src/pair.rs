//! Two categories that are one container's.
//!
//! Kernel objects: none; pure data. Invariant: the two differ and the lower one stands first, so that one pair has one
//! value. No pair dominates another: that is why containers have two categories each and not one or two.

use std::fmt;
use std::str::FromStr;

use crate::categories::Categories;
use crate::level::Level;
use crate::problem::Problem;

/// A pair of categories, such as `c12,c300`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    low: u16,
    high: u16,
}

impl Pair {
    /// The pair of two categories in any order; `None` if they are equal or above [`Categories::MAX`].
    #[must_use]
    pub fn new(one: u16, other: u16) -> Option<Self> {
        let (low, high) = (one.min(other), one.max(other));
        (low != high && high <= Categories::MAX).then_some(Self { low, high })
    }

    /// A pair that is known to be good.
    pub(crate) const fn trusted(low: u16, high: u16) -> Self {
        Self { low, high }
    }

    /// The pair that a level has, if it has two categories.
    #[must_use]
    pub fn of(level: &Level) -> Option<Self> {
        let mut categories = level.categories.iter();
        let pair = Self::new(categories.next()?, categories.next()?)?;
        categories.next().is_none().then_some(pair)
    }

    /// The lower category.
    #[must_use]
    pub fn low(self) -> u16 {
        self.low
    }

    /// The higher category.
    #[must_use]
    pub fn high(self) -> u16 {
        self.high
    }

    /// The pair as a set.
    #[must_use]
    pub fn categories(self) -> Categories {
        [self.low, self.high].into_iter().collect()
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "c{},c{}", self.low, self.high)
    }
}

impl FromStr for Pair {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let categories: Categories = text.parse()?;
        let pair = Self::of(&Level { sensitivity: 0, categories });
        pair.ok_or_else(|| Problem::not_a_pair(text))
    }
}
