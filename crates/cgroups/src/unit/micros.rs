//! A time in microseconds.
//!
//! Kernel objects: none. Invariant: whole microseconds, which is how the kernel counts quotas and latencies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::decimal::{Remainder, parse_scaled};
use super::serial::number_or_text;
use crate::error::{Error, Reason, Result};

/// A time in microseconds, parsed from `50000`, `50ms`, `1.5s` or `100us`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(u64);

impl Micros {
    /// This many microseconds.
    #[must_use]
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// This many milliseconds.
    #[must_use]
    pub fn millis(number: u32) -> Self {
        Self(u64::from(number) * 1000)
    }

    /// The number of microseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<Duration> for Micros {
    type Error = Error;

    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) when it is not a whole number of microseconds.
    fn try_from(duration: Duration) -> Result<Self> {
        let refused = |reason| Error::text("time", &format!("{duration:?}"), reason);
        if !duration.subsec_nanos().is_multiple_of(1000) {
            return Err(refused(Reason::TooPrecise));
        }
        u64::try_from(duration.as_micros()).map(Self).map_err(|_| refused(Reason::TooLarge))
    }
}

impl From<Micros> for Duration {
    fn from(micros: Micros) -> Self {
        Self::from_micros(micros.0)
    }
}

impl FromStr for Micros {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason| Error::text("time", text, reason);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = match unit {
            "" | "us" | "µs" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            _ => return Err(refused(Reason::Malformed("100000, 100ms, 1.5s or 10us"))),
        };
        parse_scaled(number, unit, Remainder::Refused).map(Self).map_err(refused)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

number_or_text!(Micros, |number| Result::Ok(Micros(number)), serialize_u64, |time: &Micros| time.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, micros) in
            [("100000", 100_000), ("100ms", 100_000), ("1.5s", 1_500_000), ("10us", 10), ("0", 0)]
        {
            assert_eq!(text.parse::<Micros>().unwrap().get(), micros);
        }
        for text in ["", "ms", "-1", "1.5us", "1h", "1 s", "18446744073709551615s"] {
            text.parse::<Micros>().unwrap_err();
        }
        assert_eq!(Micros::try_from(Duration::from_millis(50)).unwrap(), Micros::millis(50));
        Micros::try_from(Duration::from_nanos(1)).unwrap_err();
        Micros::try_from(Duration::MAX).unwrap_err();
        assert_eq!(Micros::millis(50).to_string().parse::<Micros>().unwrap(), Micros::millis(50));
    }
}
