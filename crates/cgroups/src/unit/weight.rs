//! Relative weights of v2, and shares of v1.
//!
//! Kernel objects: none. Invariant: 1 to 10000 for weights, 2 to 262144 for shares.
//!
//! The default weight is 100, the default shares are 1024, so the conversion should map one to the other, and the ends
//! of the ranges too. The line that older runtimes drew through the ends maps 1024 to 39, so that a container with
//! default shares got less than half of its neighbour's time. This is the curve through all three points that
//! newer runtimes use: with l = log2(shares), weight = 10^((l² + 125 l) / 612 - 7/34), rounded up.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::decimal::parse_u64;
use super::serial::number_or_text;
use crate::error::{Error, Reason, Result};

/// A relative weight, 1 to 10000; the kernel's default is 100. One that was made of shares gives the same shares back.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    weight: u16,
    /// What it was made of; two weights are the same whatever that was.
    shares: Option<Shares>,
}

/// Relative shares of v1, 2 to 262144; the kernel's default is 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shares(u32);

impl Weight {
    /// A weight.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) when it is not between 1 and 10000.
    pub fn new(weight: u64) -> Result<Self> {
        let fits = u16::try_from(weight).ok().filter(|weight| (1..=10_000).contains(weight));
        let refused = || Error::text("weight", &weight.to_string(), Reason::OutOfRange(1, 10_000));
        fits.map(|weight| Self { weight, shares: None }).ok_or_else(refused)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.weight
    }

    /// The shares that it was made of, or those that are nearest; 100 becomes 1024.
    #[must_use]
    pub fn to_shares(self) -> Shares {
        self.shares.unwrap_or_else(|| self.nearest_shares())
    }

    fn nearest_shares(self) -> Shares {
        let exponent = f64::from(self.weight).log10() + 7.0 / 34.0;
        let log = (125.0f64.powi(2) + 4.0 * 612.0 * exponent).sqrt();
        Shares(nearest((f64::midpoint(log, -125.0)).exp2(), 2, 262_144))
    }
}

impl Shares {
    /// Shares.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) when they are not between 2 and 262144.
    pub fn new(shares: u64) -> Result<Self> {
        let fits = u32::try_from(shares).ok().filter(|shares| (2..=262_144).contains(shares));
        let refused = || Error::text("shares", &shares.to_string(), Reason::OutOfRange(2, 262_144));
        fits.map(Self).ok_or_else(refused)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The weight by the curve above; 1024 becomes 100.
    #[must_use]
    pub fn to_weight(self) -> Weight {
        let log = f64::from(self.0).log2();
        let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
        // Rounded up, but not because the last bit of a whole number is wrong.
        let weight = nearest((10.0f64.powf(exponent) - 1e-6).ceil(), 1, 10_000);
        Weight { weight: u16::try_from(weight).unwrap_or(10_000), shares: Some(self) }
    }
}

impl PartialEq for Weight {
    fn eq(&self, other: &Self) -> bool {
        self.weight == other.weight
    }
}

impl Eq for Weight {}

impl PartialOrd for Weight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Weight {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weight.cmp(&other.weight)
    }
}

impl Hash for Weight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.weight.hash(state);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a range of u32 before the conversion"
)]
fn nearest(number: f64, least: u32, most: u32) -> u32 {
    number.round().clamp(f64::from(least), f64::from(most)) as u32
}

impl FromStr for Weight {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(parse_u64(text).map_err(|reason| Error::text("weight", text, reason))?)
    }
}

impl FromStr for Shares {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(parse_u64(text).map_err(|reason| Error::text("shares", text, reason))?)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.weight.fmt(f)
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

number_or_text!(Weight, Weight::new, serialize_u16, |weight: &Weight| weight.weight);
number_or_text!(Shares, Shares::new, serialize_u32, |shares: &Shares| shares.0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_and_defaults_meet() {
        for (shares, weight) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(Shares::new(shares).unwrap().to_weight().get(), weight);
            let weight = Weight::new(weight.into()).unwrap();
            assert_eq!(u64::from(weight.to_shares().get()), shares);
        }
        for wrong in [0, 10_001, u64::MAX] {
            Weight::new(wrong).unwrap_err();
        }
        for wrong in [0, 1, 262_145] {
            Shares::new(wrong).unwrap_err();
        }
        "-1".parse::<Weight>().unwrap_err();
        serde_json::from_str::<Weight>("0").unwrap_err();
    }

    proptest! {
        #[test]
        fn the_order_is_kept(left in 2u64..=262_144, right in 2u64..=262_144) {
            let weight = |shares| Shares::new(shares).unwrap().to_weight();
            if left <= right {
                prop_assert!(weight(left) <= weight(right));
            }
        }

        #[test]
        fn weights_come_back(weight in 1u64..=10_000) {
            let weight = Weight::new(weight).unwrap();
            let back = weight.to_shares().to_weight();
            prop_assert_eq!(back.to_shares(), weight.to_shares());
            // Low shares are coarser than low weights are.
            prop_assert!(back.get().abs_diff(weight.get()) <= 1 + weight.get() / 20);
        }
    }
}
