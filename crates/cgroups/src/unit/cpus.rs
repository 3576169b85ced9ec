//! A number of processors, with a fraction.
//!
//! Kernel objects: none. Invariant: exact to a millionth of a processor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Micros;
use super::decimal::{Remainder, parse_scaled};
use crate::error::{Error, Result};

/// Millionths in one.
const ONE: u64 = 1_000_000;
/// The kernel's smallest quota, in microseconds.
const LEAST_QUOTA: u64 = 1000;

/// Time on processors as a number of them: `0.5` is half of one, `2` is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpus(u64);

impl Cpus {
    /// Whole processors.
    #[must_use]
    pub fn whole(number: u32) -> Self {
        Self(u64::from(number) * ONE)
    }

    /// Thousandths of a processor, as some schedulers count.
    #[must_use]
    pub fn millis(number: u32) -> Self {
        Self(u64::from(number) * 1000)
    }

    /// Time and period for `cpu.max` that are exactly this part: 0.5 is 50 ms of 100 ms.
    ///
    /// The period is 100 ms, the kernel's default, where that is exact and not below the kernel's least quota of
    /// 1 ms, else 1 s.
    #[must_use]
    pub fn quota_and_period(self) -> (Micros, Micros) {
        let (quota, rest) = (self.0 / 10, self.0 % 10);
        if rest == 0 && quota >= LEAST_QUOTA {
            (Micros::new(quota), Micros::new(ONE / 10))
        } else {
            (Micros::new(self.0), Micros::new(ONE))
        }
    }
}

impl FromStr for Cpus {
    type Err = Error;

    /// Reads `2`, `0.5`, `1.25`; up to six digits after the point.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason| Error::text("number of CPUs", text, reason);
        parse_scaled(text, ONE, Remainder::Refused).map(Self).map_err(refused)
    }
}

impl TryFrom<f64> for Cpus {
    type Error = Error;

    /// Takes what the shortest decimal text of the number says.
    fn try_from(number: f64) -> Result<Self> {
        number.to_string().parse()
    }
}

impl TryFrom<String> for Cpus {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Cpus> for String {
    fn from(cpus: Cpus) -> Self {
        cpus.to_string()
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        if part == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{part:06}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(text: &str) -> (u64, u64) {
        let (quota, period) = text.parse::<Cpus>().unwrap().quota_and_period();
        (quota.get(), period.get())
    }

    #[test]
    fn fractions_become_exact_quotas() {
        assert_eq!(pair("0.5"), (50_000, 100_000));
        assert_eq!(pair("2"), (200_000, 100_000));
        assert_eq!(pair("0.01"), (1000, 100_000));
        assert_eq!(pair("0.005"), (5000, 1_000_000));
        assert_eq!(pair("1.000001"), (1_000_001, 1_000_000));
        assert_eq!(Cpus::try_from(0.1), "0.1".parse());
        assert_eq!(Cpus::millis(250), "0.25".parse().unwrap());
        for text in ["", "-1", "0.0000001", "1e3", "inf", "0.5 ", "99999999999999999999"] {
            text.parse::<Cpus>().unwrap_err();
        }
        for number in [f64::NAN, f64::INFINITY, -1.0, 1e-7] {
            Cpus::try_from(number).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(millionths in 0..=u64::MAX / 2) {
            let cpus = Cpus(millionths);
            prop_assert_eq!(cpus.to_string().parse::<Cpus>().unwrap(), cpus);
            let (quota, period) = cpus.quota_and_period();
            prop_assert_eq!(u128::from(quota.get()) * u128::from(ONE),
                u128::from(millionths) * u128::from(period.get()));
        }
    }
}
