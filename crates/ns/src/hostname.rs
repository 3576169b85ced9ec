//! Host and domain names of a UTS namespace.
//!
//! Kernel objects: none, this is data. Manual: sethostname(2), setdomainname(2). Invariant: a
//! [`Hostname`] has 1 to 64 printable ASCII characters other than a slash.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// The longest name that the kernel takes, in bytes.
pub const LENGTH_MAX: usize = 64;

/// A host name, or the name of a NIS domain, to which the same rules apply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidHostname`](ErrorKind::InvalidHostname).
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        let reason = match name.as_bytes() {
            [] => Reason::Empty,
            bytes if bytes.len() > LENGTH_MAX => Reason::TooLong(LENGTH_MAX),
            bytes if !bytes.iter().copied().all(allowed) => Reason::BadCharacter,
            _ => return Ok(Self(name)),
        };
        Err(Error::text(ErrorKind::InvalidHostname, &name, reason))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Hostname {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Hostname {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_characters() {
        for good in ["a", "web-1.example_2", "(none)", &"x".repeat(64)] {
            assert_eq!(Hostname::new(good).unwrap().as_str(), good);
        }
        for wrong in
            ["", &"x".repeat(65), "a b", "a\0", "a\n", "\x1b[2J", "a/b", "ü", &"x".repeat(65_536)]
        {
            assert_eq!(Hostname::new(wrong).unwrap_err().kind(), ErrorKind::InvalidHostname);
        }
    }

    #[test]
    fn data_survives_json() {
        let name: Hostname = serde_json::from_str(r#""web""#).unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), r#""web""#);
        serde_json::from_str::<Hostname>(r#""""#).unwrap_err();
    }
}
