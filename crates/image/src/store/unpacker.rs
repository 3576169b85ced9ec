//! Who unpacks layers for a store, and in which form.
//!
//! Kernel objects: none. Invariant: layers that were unpacked in different ways are different trees
//! and have different names, so that one is never taken for the other.

use std::fmt;
use std::io::Read;
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, Reason, Result};
use crate::media_type::Compression;
use crate::unpack::{Unpack, Unpacked};

/// Unpacks layers into empty directories. [`Unpack`] is one, for who may give files away.
pub trait Unpacker: Sync {
    /// In which form it does.
    fn form(&self) -> Form;

    /// Reads `layer` to its end, and says what came of it; the diff id by this algorithm.
    ///
    /// # Errors
    ///
    /// As [`Unpack::apply`]. The directory is thrown away then.
    fn unpack(
        &self,
        layer: &mut (dyn Read + Send),
        stream: (Compression, Algorithm),
        into: BorrowedFd<'_>,
    ) -> Result<Unpacked>;
}

/// The form of an unpacked layer: who owns its files, how whiteouts are written, what became of
/// devices and attributes. A short text that may be a part of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Form(String);

impl TryFrom<String> for Form {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let wrong = || Error::text("form", &text, 0, Reason::NotLowerHex);
        Self::parse(&text).ok_or_else(wrong)
    }
}

impl From<Form> for String {
    fn from(form: Form) -> Self {
        form.0
    }
}

/// How many digits a form has.
const DIGITS: usize = 16;

impl Form {
    /// A form from everything that makes a difference, in any text.
    #[must_use]
    pub fn of(settings: &str) -> Self {
        Self(Digest::of(settings.as_bytes()).hex().chars().take(DIGITS).collect())
    }

    /// A form from its text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && text.len() == DIGITS).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Unpacker for Unpack {
    fn form(&self) -> Form {
        let Self { whiteouts, ownership, devices, attributes, ids, .. } = self;
        let usual = format!("{whiteouts:?} {ownership:?} {devices:?} {attributes:?}");
        // Without them the form is what it was before there were any: layers that are there stay good.
        match ids {
            None => Form::of(&usual),
            Some(ids) => Form::of(&format!("{usual} {ids}")),
        }
    }

    fn unpack(
        &self,
        layer: &mut (dyn Read + Send),
        (compression, diff_algorithm): (Compression, Algorithm),
        into: BorrowedFd<'_>,
    ) -> Result<Unpacked> {
        let compression = Some(compression);
        Self { compression, diff_algorithm, ..self.clone() }.apply(layer, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::{Devices, Ownership};

    #[test]
    fn what_makes_a_difference() {
        let usual = Unpack::default();
        let mut other = usual.clone();
        other.quotas.entries = 5;
        assert_eq!(other.form(), usual.form(), "a quota is no form");
        other.devices = Devices::Skip;
        assert_ne!(other.form(), usual.form());
        other.devices = usual.devices;
        other.ownership = Ownership::Single;
        assert_ne!(other.form(), usual.form());
    }

    #[test]
    fn texts() {
        let form = Form::of("x");
        assert_eq!(Form::parse(&form.to_string()), Some(form));
        for bad in ["", "../../../../../..", "0123456789abcdef0", "0123456789ABCDEF"] {
            assert_eq!(Form::parse(bad), None);
        }
    }
}
