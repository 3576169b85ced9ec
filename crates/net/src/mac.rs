//! Hardware addresses of Ethernet.
//!
//! Kernel objects: none. Invariant: never that of a group, so that a link can have it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cidr::octets;
use crate::error::{Error, ErrorKind, Reason, Result};

/// A hardware address such as `02:00:5e:10:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// From its six bytes.
    ///
    /// # Errors
    /// [`InvalidAddress`](ErrorKind::InvalidAddress) for a group's address, and for six zeros.
    pub fn new(octets: [u8; 6]) -> Result<Self> {
        if octets[0] & 1 == 1 || octets == [0; 6] {
            let reason = Reason::Malformed("the address of one device");
            return Err(Error::text(ErrorKind::InvalidAddress, Self(octets), reason));
        }
        Ok(Self(octets))
    }

    /// The six bytes.
    #[must_use]
    pub fn octets(&self) -> [u8; 6] {
        self.0
    }

    /// One that belongs to an address: who gets the address later has the same one, so that no neighbour remembers a
    /// wrong one.
    pub(crate) fn of(address: IpAddr) -> Self {
        let bytes = octets(address);
        let mut mac = [0x0a, 0x58, 0, 0, 0, 0];
        for (place, byte) in mac.iter_mut().rev().zip(bytes.iter().rev()).take(4) {
            *place = *byte;
        }
        Self(mac)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed =
            || Error::text(ErrorKind::InvalidAddress, text, Reason::Malformed("02:00:5e:10:00:01"));
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(malformed)?;
            let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let value = u8::from_str_radix(part, 16).ok().filter(|_| hexadecimal);
            *octet = value.ok_or_else(malformed)?;
        }
        if parts.next().is_some() { Err(malformed()) } else { Self::new(octets) }
    }
}

impl TryFrom<String> for Mac {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let mac: Mac = "0a:58:0A:58:00:02".parse().unwrap();
        assert_eq!(mac, Mac::of("10.88.0.2".parse().unwrap()));
        assert_eq!(mac.to_string(), "0a:58:0a:58:00:02");
        for text in [
            "",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "a:b:c:d:e:f",
            "02:00:5e:10:00:01:02",
            "+2:00:5e:10:00:01",
        ] {
            assert_eq!(
                text.parse::<Mac>().unwrap_err().kind(),
                ErrorKind::InvalidAddress,
                "{text}"
            );
        }
    }
}
