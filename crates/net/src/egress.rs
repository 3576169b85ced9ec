//! What a container may reach: a policy that is put into its own network namespace.
//!
//! Kernel objects: the nftables table `ampoule_egress` of that namespace. Invariant: what no rule allows is refused and
//! counted; the loopback device, answers, and neighbour discovery are never refused. A payload with `CAP_NET_ADMIN` over
//! the namespace can take the table away.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cidr::{Cidr, decimal};
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::name::LinkName;
use crate::netns::Netns;
use crate::nft::expression::{Side, Way};
use crate::nft::{Chain, ChainKind, Hook, Policy, Rule, Table, counters, delete, replace};

const TABLE: &str = "ampoule_egress";

/// So many rules fit into one message to the kernel.
const RULES_MAX: usize = 256;

/// The protocol of an allowed destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EgressProtocol {
    /// Every one; with a port, TCP and UDP.
    Any,
    /// tcp(7).
    Tcp,
    /// udp(7).
    Udp,
    /// icmp(7), and its sibling for IPv6.
    Icmp,
}

/// A destination that is allowed, written `CIDR[:PORT[-LAST]][/PROTOCOL]` such as `10.0.0.0/8`, `192.0.2.1:53/udp`,
/// `[2001:db8::/32]:443/tcp` or `0.0.0.0/0/icmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allow {
    to: Cidr,
    ports: Option<(u16, u16)>,
    protocol: EgressProtocol,
}

impl Allow {
    /// A subnet, with every port and protocol.
    #[must_use]
    pub fn to(subnet: Cidr) -> Self {
        Self { to: subnet, ports: None, protocol: EgressProtocol::Any }
    }

    /// Only these ports, the first and the last.
    ///
    /// # Errors
    /// [`InvalidEgress`](ErrorKind::InvalidEgress) for port 0, a range that is none, and ICMP, which has no ports.
    pub fn ports(mut self, first: u16, last: u16) -> Result<Self> {
        self.ports = Some((first, last));
        self.checked()
    }

    /// Only this protocol.
    ///
    /// # Errors
    /// [`InvalidEgress`](ErrorKind::InvalidEgress) for ICMP with ports.
    pub fn protocol(mut self, protocol: EgressProtocol) -> Result<Self> {
        self.protocol = protocol;
        self.checked()
    }

    fn checked(self) -> Result<Self> {
        let refuse = |reason| Err(Error::text(ErrorKind::InvalidEgress, self, reason));
        match self.ports {
            Some((first, last)) if first == 0 || last < first => {
                refuse(Reason::OutOfRange(1, 65_535))
            }
            Some(_) if self.protocol == EgressProtocol::Icmp => {
                refuse(Reason::Malformed("CIDR/icmp, without a port"))
            }
            _ => Ok(self),
        }
    }

    /// The protocols by their numbers; none is every one.
    fn numbers(&self) -> Vec<Option<u8>> {
        match (self.protocol, self.ports, self.to.address().is_ipv4()) {
            (EgressProtocol::Any, None, _) => vec![None],
            (EgressProtocol::Any, Some(_), _) => vec![Some(6), Some(17)],
            (EgressProtocol::Tcp, ..) => vec![Some(6)],
            (EgressProtocol::Udp, ..) => vec![Some(17)],
            (EgressProtocol::Icmp, _, true) => vec![Some(1)],
            (EgressProtocol::Icmp, _, false) => vec![Some(58)],
        }
    }

    fn rules(&self) -> impl Iterator<Item = Rule> {
        self.numbers().into_iter().map(|number| {
            let rule = Rule::new().address(Side::Destination, self.to);
            let rule = number.map_or(rule.clone(), |number| rule.protocol(number));
            let rule = match self.ports {
                Some((first, last)) => rule.ports(first, last),
                None => rule,
            };
            rule.accept()
        })
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to.address().is_ipv6() && self.ports.is_some() {
            true => write!(f, "[{}]", self.to)?,
            false => write!(f, "{}", self.to)?,
        }
        match self.ports {
            Some((first, last)) if first == last => write!(f, ":{first}")?,
            Some((first, last)) => write!(f, ":{first}-{last}")?,
            None => {}
        }
        f.write_str(match self.protocol {
            EgressProtocol::Any => "",
            EgressProtocol::Tcp => "/tcp",
            EgressProtocol::Udp => "/udp",
            EgressProtocol::Icmp => "/icmp",
        })
    }
}

impl FromStr for Allow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || {
            let form = Reason::Malformed("CIDR[:PORT[-LAST]][/PROTOCOL]");
            Error::text(ErrorKind::InvalidEgress, text, form)
        };
        let known = [
            ("/tcp", EgressProtocol::Tcp),
            ("/udp", EgressProtocol::Udp),
            ("/icmp", EgressProtocol::Icmp),
        ];
        let found =
            known.iter().find_map(|(end, protocol)| Some((text.strip_suffix(end)?, *protocol)));
        let (rest, protocol) = found.unwrap_or((text, EgressProtocol::Any));
        let (subnet, ports) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (subnet, ports) = inner.split_once(']').ok_or_else(malformed)?;
                let ports = match ports.strip_prefix(':') {
                    None if ports.is_empty() => None,
                    ports => Some(ports.ok_or_else(malformed)?),
                };
                (subnet, ports)
            }
            // Several colons are those of an address.
            None => match rest.split_once(':') {
                Some((subnet, ports)) if !ports.contains(':') => (subnet, Some(ports)),
                _ => (rest, None),
            },
        };
        let to = subnet.parse().map_err(|_| malformed())?;
        let ports = match ports {
            None => None,
            Some(ports) => Some(parse_range(ports).ok_or_else(malformed)?),
        };
        Self { to, ports, protocol }.checked()
    }
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        Some((first, last)) => Some((decimal(first)?, decimal(last)?)),
        None => decimal(text).map(|port| (port, port)),
    }
}

impl TryFrom<String> for Allow {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Allow> for String {
    fn from(allow: Allow) -> Self {
        allow.to_string()
    }
}

/// What a container may reach. A new one denies everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Egress {
    allowed: Vec<Allow>,
}

/// What was refused since the policy is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Egress {
    /// Denies everything.
    #[must_use]
    pub fn deny_all() -> Self {
        Self::default()
    }

    /// Allows a destination.
    #[must_use]
    pub fn allow(mut self, allow: Allow) -> Self {
        self.allowed.push(allow);
        self
    }

    /// What is allowed.
    #[must_use]
    pub fn allowed(&self) -> &[Allow] {
        &self.allowed
    }

    /// Puts the policy in force, at once and as a whole, in place of one that is.
    ///
    /// # Errors
    /// [`InvalidEgress`](ErrorKind::InvalidEgress) past 256 rules; [`Denied`](ErrorKind::Denied) without
    /// `CAP_NET_ADMIN` over the namespace; [`Unsupported`](ErrorKind::Unsupported) without nf_tables.
    pub fn enforce(&self, netns: &mut Netns) -> Result<()> {
        if self.allowed.len() > RULES_MAX {
            let text = self.allowed.len();
            return Err(Error::text(ErrorKind::InvalidEgress, text, Reason::TooMany));
        }
        replace(&mut netns.netfilter, self.table()?)
    }

    /// Takes the policy away, if there is one.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) without `CAP_NET_ADMIN` over the namespace.
    pub fn lift(netns: &mut Netns) -> Result<()> {
        delete(&mut netns.netfilter, TABLE)
    }

    /// What the policy of a namespace has refused.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) when none is in force.
    pub fn refused(netns: &mut Netns) -> Result<Refused> {
        let found = counters(&mut netns.netfilter, TABLE)?;
        let missing = || Error::text(ErrorKind::NotFound, TABLE, Reason::Missing);
        let counted = found.last().ok_or_else(missing)?;
        Ok(Refused { packets: counted.packets, bytes: counted.bytes })
    }

    fn table(&self) -> Result<Table> {
        /// From router solicitation to neighbour advertisement (RFC 4861).
        const DISCOVERY: (u8, u8) = (133, 136);
        const ICMPV6: u8 = 58;
        let six = std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        let discovery = Rule::new().family_of(six).protocol(ICMPV6);
        let mut rules = vec![
            Rule::new().through(Way::Out, &LinkName::new("lo")?).accept(),
            Rule::new().established().accept(),
            discovery.icmp_types(DISCOVERY.0, DISCOVERY.1).accept(),
        ];
        rules.extend(self.allowed.iter().flat_map(Allow::rules));
        rules.push(Rule::new().counted().reject());
        let output = Chain {
            name: "output",
            kind: ChainKind::Filter,
            hook: Hook::Output,
            priority: 0,
            // Should the last rule be wanting, nothing goes out all the same.
            policy: Policy::Drop,
            rules,
        };
        Ok(Table { name: TABLE.to_owned(), chains: vec![output] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_come_back() {
        for text in [
            "10.0.0.0/8",
            "192.0.2.1/32:53/udp",
            "[2001:db8::/32]:443/tcp",
            "0.0.0.0/0:1-1024",
            "::/0/icmp",
        ] {
            assert_eq!(text.parse::<Allow>().unwrap().to_string(), text);
        }
        let short: Allow = "192.0.2.1:53".parse().unwrap();
        assert_eq!(short.to_string(), "192.0.2.1/32:53");
        assert_eq!(short.rules().count(), 2);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "all",
            "10.0.0.0/8:",
            "10.0.0.0/8:0",
            "10.0.0.0/8:2-1",
            "10.0.0.0/33",
            "10.0.0.0/8/sctp",
            "[::/0",
            "[::/0]443",
            "10.0.0.0/8:80/icmp",
            "10.0.0.0/8:65536",
            "example.org:80",
            "::1:80-",
        ] {
            assert_eq!(
                text.parse::<Allow>().unwrap_err().kind(),
                ErrorKind::InvalidEgress,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_rule_comes_back(address: std::net::IpAddr, prefix in 0_u8..=32, first: u16, last: u16) {
            let allow = Allow::to(Cidr::new(address, prefix).unwrap());
            prop_assert_eq!(allow.to_string().parse::<Allow>().unwrap(), allow);
            if let Ok(allow) = allow.ports(first, last) {
                prop_assert_eq!(allow.to_string().parse::<Allow>().unwrap(), allow);
            }
        }
    }
}
