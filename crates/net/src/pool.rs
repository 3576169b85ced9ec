//! Which address, and which subnet, is free.
//!
//! Kernel objects: none. Invariant: an answer depends on the arguments alone, so that the same state gives the same
//! address to everybody.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::cidr::Cidr;

/// Where subnets are taken from when none is given: `/24`s of one, then of the other.
const RANGES: [(&str, u128); 2] = [("10.89.0.0/16", 256), ("172.28.0.0/14", 1024)];

/// The addresses of a subnet that containers can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    subnet: Cidr,
}

impl Pool {
    /// Of a subnet that has room for a gateway and a container: at most `/30` or `/126`. The first address is the
    /// gateway's.
    #[must_use]
    pub fn new(subnet: Cidr) -> Option<Self> {
        let subnet = subnet.network();
        (subnet.last_position() >= 3).then_some(Self { subnet })
    }

    /// The address of the bridge.
    #[must_use]
    pub fn gateway(&self) -> Cidr {
        self.subnet.with(self.subnet.nth(1).unwrap_or(self.subnet.address()))
    }

    /// Whether a container can have this address: it is in the subnet, and not its own, its last or its gateway's.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let edges = [Some(self.gateway().address()), self.subnet.nth(0), self.last()];
        self.subnet.contains(address) && !edges.contains(&Some(address))
    }

    /// The next address that is free after `last`, from the start again at the end.
    #[must_use]
    pub fn next(&self, taken: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Option<IpAddr> {
        let from = last.filter(|last| self.has(*last)).and_then(|last| self.position(last));
        let from = from.unwrap_or(1);
        let tries = u128::try_from(taken.len()).unwrap_or(u128::MAX).saturating_add(4);
        let size = self.subnet.last_position();
        // Among so many positions in a row at least one is free, if any is.
        let positions = (1..=tries.min(size)).map(|step| match from.checked_add(step) {
            Some(position) if position <= size => position,
            _ => step - (size - from),
        });
        positions
            .filter_map(|position| self.subnet.nth(position))
            .find(|address| self.has(*address) && !taken.contains(address))
    }

    /// The broadcast address; IPv6 has none.
    fn last(&self) -> Option<IpAddr> {
        let last = self.subnet.nth(self.subnet.last_position());
        last.filter(IpAddr::is_ipv4)
    }

    fn position(&self, address: IpAddr) -> Option<u128> {
        match (address, self.subnet.address()) {
            (IpAddr::V4(one), IpAddr::V4(first)) => {
                Some(u128::from(one.to_bits().checked_sub(first.to_bits())?))
            }
            (IpAddr::V6(one), IpAddr::V6(first)) => one.to_bits().checked_sub(first.to_bits()),
            _ => None,
        }
    }
}

/// A subnet for IPv4 that overlaps none of these.
#[must_use]
pub fn free_subnet(taken: &[Cidr]) -> Option<Cidr> {
    let candidates = RANGES.iter().filter_map(|(range, count)| Some((range.parse().ok()?, *count)));
    let candidates = candidates.flat_map(|(range, count): (Cidr, u128)| {
        (0..count).filter_map(move |index| Cidr::new(range.nth(index << 8)?, 24).ok())
    });
    candidates.into_iter().find(|candidate| !taken.iter().any(|one| one.overlaps(candidate)))
}

/// A unique local subnet for IPv6 (RFC 4193) from 40 random bits, if it overlaps none of these.
#[must_use]
pub fn local_subnet(random: [u8; 5], taken: &[Cidr]) -> Option<Cidr> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&random);
    let subnet = Cidr::new(IpAddr::from(octets), 64).ok()?;
    (!taken.iter().any(|one| one.overlaps(&subnet))).then_some(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool(text: &str) -> Pool {
        Pool::new(text.parse().unwrap()).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_is_given_once() {
        let pool = pool("10.0.0.0/29");
        let mut taken = BTreeSet::new();
        let mut last = None;
        for expected in 2..7 {
            let one = pool.next(&taken, last).unwrap();
            assert_eq!(one, ip(&format!("10.0.0.{expected}")));
            taken.insert(one);
            last = Some(one);
        }
        assert_eq!(pool.next(&taken, last), None);
        taken.remove(&ip("10.0.0.3"));
        assert_eq!(pool.next(&taken, last), Some(ip("10.0.0.3")));
    }

    #[test]
    fn a_pool_has_room() {
        assert!(Pool::new("10.0.0.0/31".parse().unwrap()).is_none());
        assert_eq!(pool("10.0.0.7/30").gateway(), "10.0.0.5/30".parse().unwrap());
        assert_eq!(pool("fd00::/64").next(&BTreeSet::new(), None), Some(ip("fd00::2")));
        assert!(!pool("10.0.0.0/24").has(ip("10.0.0.255")));
        assert!(pool("fd00::/120").has(ip("fd00::ff")));
    }

    #[test]
    fn a_free_subnet_overlaps_nothing() {
        assert_eq!(free_subnet(&[]), Some("10.89.0.0/24".parse().unwrap()));
        let taken = ["10.89.0.0/23".parse().unwrap()];
        assert_eq!(free_subnet(&taken), Some("10.89.2.0/24".parse().unwrap()));
        let taken = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(free_subnet(&taken), Some("172.28.0.0/24".parse().unwrap()));
        assert_eq!(free_subnet(&["0.0.0.0/0".parse().unwrap()]), None);
        assert_eq!(local_subnet([1; 5], &["fd00::/8".parse().unwrap()]), None);
    }

    proptest! {
        #[test]
        fn what_is_given_was_free(taken: BTreeSet<u8>, last: Option<u8>) {
            let pool = pool("10.0.0.0/24");
            let address = |byte: u8| ip(&format!("10.0.0.{byte}"));
            let taken: BTreeSet<_> = taken.into_iter().map(address).collect();
            match pool.next(&taken, last.map(address)) {
                Some(one) => prop_assert!(pool.has(one) && !taken.contains(&one)),
                None => prop_assert!((2..=254).all(|byte| taken.contains(&address(byte)))),
            }
        }
    }
}
