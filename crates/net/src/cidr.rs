//! Addresses with a prefix length: subnets, and addresses in them.
//!
//! Kernel objects: none. Invariant: the prefix is never longer than the address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// An address and the length of the prefix that it shares with its subnet, such as `10.1.2.3/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Both parts.
    ///
    /// # Errors
    /// [`InvalidAddress`](ErrorKind::InvalidAddress) when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self> {
        if prefix > width(address) {
            let text = format!("{address}/{prefix}");
            let reason = Reason::OutOfRange(0, u64::from(width(address)));
            return Err(Error::text(ErrorKind::InvalidAddress, text, reason));
        }
        Ok(Self { address, prefix })
    }

    /// One address alone: `/32` or `/128`.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { address, prefix: width(address) }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix, in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The subnet itself: the bits past the prefix are 0.
    #[must_use]
    pub fn network(&self) -> Self {
        let address = with_bits(self.address, bits(self.address) & self.mask());
        Self { address, prefix: self.prefix }
    }

    /// Whether an address is in the subnet.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && (bits(address) ^ bits(self.address)) & self.mask() == 0
    }

    /// Whether two subnets share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match self.prefix <= other.prefix {
            true => self.contains(other.address),
            false => other.contains(self.address),
        }
    }

    /// How many addresses the subnet has, less one: the highest position that [`Self::nth`] takes.
    #[must_use]
    pub fn last_position(&self) -> u128 {
        let hosts = u32::from(width(self.address) - self.prefix);
        1_u128.checked_shl(hosts).map_or(u128::MAX, |size| size - 1)
    }

    /// The address at a position in the subnet.
    #[must_use]
    pub fn nth(&self, position: u128) -> Option<IpAddr> {
        if position > self.last_position() {
            return None;
        }
        let network = bits(self.address) & self.mask();
        Some(with_bits(self.address, network | position))
    }

    /// The same subnet with another address of it.
    #[must_use]
    pub(crate) fn with(&self, address: IpAddr) -> Self {
        Self { address, prefix: self.prefix }
    }

    /// The mask as the bits of an address.
    fn mask(&self) -> u128 {
        let all = if self.address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
        all & !self.last_position()
    }

    /// The mask as the bytes of an address.
    pub(crate) fn mask_bytes(&self) -> Vec<u8> {
        octets(with_bits(self.address, self.mask()))
    }
}

/// The bytes of an address, as they are sent.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// An address of the same family as `like`.
fn with_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || {
            Error::text(
                ErrorKind::InvalidAddress,
                text,
                Reason::Malformed("ADDRESS or ADDRESS/PREFIX"),
            )
        };
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| malformed());
        };
        let address = address.parse().map_err(|_| malformed())?;
        Self::new(address, decimal(prefix).ok_or_else(malformed)?)
    }
}

impl TryFrom<String> for Cidr {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

/// A number in its one spelling: digits, no sign, no zero in front.
pub(crate) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = text.len() == 1 || !text.starts_with('0');
    if digits && plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn parts_are_told_apart() {
        let one = cidr("10.1.2.3/24");
        assert_eq!(one.network(), cidr("10.1.2.0/24"));
        assert_eq!(one.nth(255), Some("10.1.2.255".parse().unwrap()));
        assert_eq!(one.nth(256), None);
        assert_eq!(cidr("10.1.2.3").prefix(), 32);
        assert_eq!(cidr("0.0.0.0/0").last_position(), u128::from(u32::MAX));
        assert_eq!(cidr("::/0").last_position(), u128::MAX);
        assert_eq!(cidr("fd00::1/64").network(), cidr("fd00::/64"));
    }

    #[test]
    fn overlaps_go_both_ways() {
        for (one, other, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/16", "10.1.0.0/16", false),
            ("0.0.0.0/0", "10.1.0.0/16", true),
            ("::/0", "10.1.0.0/16", false),
            ("fd00::/8", "fd00:1::/32", true),
        ] {
            assert_eq!(cidr(one).overlaps(&cidr(other)), expected, "{one} {other}");
            assert_eq!(cidr(other).overlaps(&cidr(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn what_is_no_subnet_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0/8",
            "::/129",
            "::/+1",
            "::/01",
            "1.2.3.4/24/8",
        ] {
            assert_eq!(
                text.parse::<Cidr>().unwrap_err().kind(),
                ErrorKind::InvalidAddress,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(bits: u128, prefix in 0_u8..=128) {
            let one = Cidr::new(Ipv6Addr::from_bits(bits).into(), prefix).unwrap();
            prop_assert_eq!(one.to_string().parse::<Cidr>().unwrap(), one);
            prop_assert!(one.contains(one.network().address()));
            prop_assert!(one.network().contains(one.nth(one.last_position()).unwrap()));
        }
    }
}
