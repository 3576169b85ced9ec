//! Names of links and of networks.
//!
//! Kernel objects: none. Invariant: a name can be a file name, part of the name of an nftables table, and, for a link,
//! an interface name of the kernel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// Bytes of a link's name, without its end (`IFNAMSIZ`).
const LINK_MAX: usize = 15;

/// Bytes of a network's name.
const NETWORK_MAX: usize = 64;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name.
            ///
            /// # Errors
            /// [`InvalidName`](ErrorKind::InvalidName).
            pub fn new(name: impl Into<String>) -> Result<Self> {
                Self::try_from(name.into())
            }

            /// The name as a text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                check(&name, $max, $allowed).map(|()| Self(name))
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a network device: 1 to 15 bytes, printable, no `/`, `:` or blank, not `.` or `..` (as the kernel's
    /// `dev_valid_name`), and no `%`, in whose place the kernel would put a number.
    LinkName,
    LINK_MAX,
    |byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%')
);

name!(
    /// The name of a network: 1 to 64 letters, digits, `-`, `_` and `.`, not `.` first.
    NetworkName,
    NETWORK_MAX,
    |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
);

fn check(name: &str, max: usize, allowed: impl Fn(u8) -> bool) -> Result<()> {
    let refuse = |reason| Err(Error::text(ErrorKind::InvalidName, name, reason));
    match name {
        "" => refuse(Reason::Empty),
        _ if name.len() > max => refuse(Reason::TooLong(max)),
        _ if name.starts_with('.') => refuse(Reason::BadCharacter),
        _ if !name.bytes().all(allowed) => refuse(Reason::BadCharacter),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_limits_are_kept() {
        assert!(LinkName::new("a".repeat(15)).is_ok());
        for name in ["", "a234567890123456", ".", "..", "a b", "a/b", "a:b", "veth%d", "\u{e4}"] {
            assert_eq!(LinkName::new(name).unwrap_err().kind(), ErrorKind::InvalidName, "{name}");
        }
        assert_eq!(LinkName::new("eth0.5@x").unwrap().to_string(), "eth0.5@x");
    }

    #[test]
    fn a_network_can_be_a_file() {
        for name in ["", "../x", ".hidden", "a b", "a/b", "a\n", &"a".repeat(65)] {
            assert!(NetworkName::new(name).is_err(), "{name}");
        }
        assert!(NetworkName::new("my-net_1.0").is_ok());
    }
}
