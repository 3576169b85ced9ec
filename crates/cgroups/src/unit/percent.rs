//! A percentage with two digits after the point.
//!
//! Kernel objects: none. Invariant: 0.00 to 100.00, as in `cpu.uclamp.min` (since Linux 5.4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::decimal::{Remainder, parse_scaled};
use crate::error::{Error, Reason, Result};

/// A percentage from `0.00` to `100.00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u16);

impl FromStr for Percent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason| Error::text("percentage", text, reason);
        let hundredths = parse_scaled(text, 100, Remainder::Refused).map_err(refused)?;
        let fits = u16::try_from(hundredths).ok().filter(|hundredths| *hundredths <= 10_000);
        fits.map(Self).ok_or_else(|| refused(Reason::OutOfRange(0, 100)))
    }
}

impl TryFrom<String> for Percent {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_after_the_point() {
        assert_eq!("12.5".parse::<Percent>().unwrap().to_string(), "12.50");
        assert_eq!("100".parse::<Percent>().unwrap().to_string(), "100.00");
        for text in ["", "100.01", "-1", "0.001", "max", "101"] {
            text.parse::<Percent>().unwrap_err();
        }
    }
}
