//! An amount of memory or data.
//!
//! Invariant: an amount that does not fit 64 bits is never made; it saturates.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in bytes; binary units.
///
/// ```
/// use ampoule::Bytes;
/// assert_eq!(Bytes::mib(256).get(), 268_435_456);
/// assert_eq!(Bytes::kib(4).to_string(), "4KiB");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// This many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Units of 1024 bytes.
    #[must_use]
    pub const fn kib(amount: u64) -> Self {
        Self(amount.saturating_mul(1 << 10))
    }

    /// Units of 1024² bytes.
    #[must_use]
    pub const fn mib(amount: u64) -> Self {
        Self(amount.saturating_mul(1 << 20))
    }

    /// Units of 1024³ bytes.
    #[must_use]
    pub const fn gib(amount: u64) -> Self {
        Self(amount.saturating_mul(1 << 30))
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

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |shift: u32| self.0 != 0 && self.0.trailing_zeros() >= shift;
        match UNITS.iter().find(|(shift, _)| whole(*shift)) {
            Some((shift, unit)) => write!(out, "{}{unit}", self.0 >> shift),
            None => write!(out, "{}", self.0),
        }
    }
}
