//! A number of bytes.
//!
//! Kernel objects: none. Invariant: units are powers of 1024, as container tools read them.

use std::fmt;
use std::str::FromStr;

use super::decimal::{Remainder, parse_scaled};
use super::serial::number_or_text;
use crate::error::{Error, Reason, Result};

/// A number of bytes, parsed from `134217728`, `128m`, `128MiB` or `1.5g`.
///
/// `k`, `kb` and `kib` are all 1024 bytes, and so on up to `e`, in small or capital letters: this is what container
/// tools do. A fraction needs a unit and is rounded down to whole bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

impl Bytes {
    /// This many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many kibibytes (1024 bytes); more than fit become the largest number.
    #[must_use]
    pub const fn kib(number: u64) -> Self {
        Self(number.saturating_mul(1 << 10))
    }

    /// This many mebibytes (1024² bytes); more than fit become the largest number.
    #[must_use]
    pub const fn mib(number: u64) -> Self {
        Self(number.saturating_mul(1 << 20))
    }

    /// This many gibibytes (1024³ bytes); more than fit become the largest number.
    #[must_use]
    pub const fn gib(number: u64) -> Self {
        Self(number.saturating_mul(1 << 30))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Bytes {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// The bytes of a unit, written in small letters.
fn unit_bytes(unit: &str) -> Option<u64> {
    if matches!(unit, "" | "b") {
        return Some(1);
    }
    let mut letters = unit.chars();
    let power = "kmgtpe".find(letters.next()?)?;
    let exponent = u32::try_from(power).ok()? + 1;
    matches!(letters.as_str(), "" | "b" | "ib").then(|| 1024u64.pow(exponent))
}

impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason| Error::text("number of bytes", text, reason);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let malformed = || refused(Reason::Malformed("128m, 1.5GiB or 134217728"));
        if number.is_empty() && !text.is_empty() {
            return Err(malformed());
        }
        let unit = unit_bytes(&unit.to_ascii_lowercase()).ok_or_else(malformed)?;
        let remainder = if unit == 1 { Remainder::Refused } else { Remainder::Dropped };
        parse_scaled(number, unit, remainder).map(Self).map_err(refused)
    }
}

impl fmt::Display for Bytes {
    /// The shortest exact form: `128MiB`, `1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let (mut number, mut units) = (self.0, UNITS.iter());
        let mut unit = units.next().unwrap_or(&"");
        while number != 0 && number % 1024 == 0 {
            let Some(next) = units.next() else { break };
            (number, unit) = (number / 1024, next);
        }
        write!(f, "{number}{unit}")
    }
}

number_or_text!(Bytes, |number| Result::Ok(Bytes(number)), serialize_u64, |bytes: &Bytes| bytes.0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("1000b", 1000),
            ("128m", 128 << 20),
            ("128M", 128 << 20),
            ("128MiB", 128 << 20),
            ("128MB", 128 << 20),
            ("1.5GiB", 3 << 29),
            ("0.1k", 102),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap().get(), bytes, "{text}");
        }
        for text in
            ["", "m", "-1", "-1m", "1.5", "1x", "1mm", "1 m", "16e", "max", "1k\n", "1ki", "∞"]
        {
            text.parse::<Bytes>().unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn sizes_come_back(bytes: u64, shift in 0u32..64) {
            let bytes = Bytes::new(bytes << shift);
            prop_assert_eq!(bytes.to_string().parse::<Bytes>().unwrap(), bytes);
            let json = serde_json::to_string(&bytes).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), bytes);
            let text = serde_json::to_string(&bytes.to_string()).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap(), bytes);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,40}") {
            drop(text.parse::<Bytes>());
        }
    }
}
