//! Ports of a container that are published on the host.
//!
//! Kernel objects: a bound socket for each port on the host, so that no program there takes it. Invariant: both ranges
//! have the same length, and no port is 0.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use serde::{Deserialize, Serialize};

use crate::cidr::decimal;
use crate::error::{Error, ErrorKind, Reason, Result};

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Protocol {
    /// tcp(7).
    Tcp,
    /// udp(7).
    Udp,
}

impl Protocol {
    /// The number in the header of a packet.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A published port or range, written `[ADDRESS:]HOST[-LAST]:CONTAINER[-LAST][/udp]` such as `8080:80`,
/// `127.0.0.1:5300:53/udp`, `[::1]:80:80` or `9000-9009:9000-9009`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Port {
    address: Option<IpAddr>,
    host: u16,
    container: u16,
    /// How many more follow.
    more: u16,
    protocol: Protocol,
}

impl Port {
    /// One TCP port, on all addresses of the host.
    ///
    /// # Errors
    /// [`InvalidPort`](ErrorKind::InvalidPort) for port 0.
    pub fn new(host: u16, container: u16) -> Result<Self> {
        Self { address: None, host, container, more: 0, protocol: Protocol::Tcp }.checked()
    }

    /// As many ports from these on.
    ///
    /// # Errors
    /// [`InvalidPort`](ErrorKind::InvalidPort) when the last one is past 65535, or there is none.
    pub fn count(mut self, count: u16) -> Result<Self> {
        let none = || Error::text(ErrorKind::InvalidPort, self, Reason::Empty);
        self.more = count.checked_sub(1).ok_or_else(none)?;
        self.checked()
    }

    /// On this address of the host only.
    #[must_use]
    pub fn on(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// With this protocol.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    fn checked(self) -> Result<Self> {
        let last = self.host.checked_add(self.more).and(self.container.checked_add(self.more));
        match self.host == 0 || self.container == 0 || last.is_none() {
            true => Err(Error::text(ErrorKind::InvalidPort, self, Reason::OutOfRange(1, 65_535))),
            false => Ok(self),
        }
    }

    /// The address of the host; none is all of them.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        self.address.filter(|address| !address.is_unspecified())
    }

    /// Whether this family of addresses is published.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.address.is_none_or(|own| own.is_ipv4() == address.is_ipv4())
    }

    pub(crate) fn protocol_name(&self) -> String {
        self.protocol.to_string()
    }

    pub(crate) fn number(&self) -> u8 {
        self.protocol.number()
    }

    /// First and last port of the host.
    pub(crate) fn host_range(&self) -> (u16, u16) {
        (self.host, self.host.saturating_add(self.more))
    }

    /// First and last port of the container.
    pub(crate) fn container_range(&self) -> (u16, u16) {
        (self.container, self.container.saturating_add(self.more))
    }

    /// Whether both want the same port of the host.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        let (first, last) = self.host_range();
        let (other_first, other_last) = other.host_range();
        let addresses = match (self.address, other.address) {
            (Some(one), Some(two)) if one.is_ipv4() != two.is_ipv4() => false,
            (Some(one), Some(two)) => one == two || one.is_unspecified() || two.is_unspecified(),
            _ => true,
        };
        addresses && self.protocol == other.protocol && first <= other_last && other_first <= last
    }

    /// Binds every port on the host, so that nobody else does.
    ///
    /// # Errors
    /// [`PortInUse`](ErrorKind::PortInUse); [`InvalidPort`](ErrorKind::InvalidPort) for an address that is not the
    /// host's.
    pub(crate) fn reserve(&self, container: &[IpAddr]) -> Result<Vec<OwnedFd>> {
        let all: &[IpAddr] =
            &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let own = self.address.map(|address| [address]);
        let wanted = own.as_ref().map_or(all, |own| &own[..]);
        let (first, last) = self.host_range();
        let mut sockets = Vec::new();
        for address in wanted {
            if !container.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
                continue;
            }
            for port in first..=last {
                sockets.push(self.bind(SocketAddr::new(*address, port))?);
            }
        }
        Ok(sockets)
    }

    fn bind(&self, address: SocketAddr) -> Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let kind = match self.protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let system = |errno| match errno {
            Errno::ADDRINUSE => Error::text(ErrorKind::PortInUse, self, Reason::InUse),
            errno => Error::system("bind", address, errno),
        };
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(system)?;
        if address.is_ipv6() {
            set_ipv6_v6only(&socket, true).map_err(system)?;
        }
        bind(&socket, &address).map_err(system)?;
        Ok(socket)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        let range = |(first, last): (u16, u16)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let (host, container) = (range(self.host_range()), range(self.container_range()));
        write!(f, "{host}:{container}")?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            other => write!(f, "/{other}"),
        }
    }
}

impl FromStr for Port {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |reason| Error::text(ErrorKind::InvalidPort, text, reason);
        let malformed =
            || refuse(Reason::Malformed("[ADDRESS:]HOST[-LAST]:CONTAINER[-LAST][/PROTOCOL]"));
        let (rest, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some(_) => return Err(malformed()),
        };
        let (rest, container) = rest.rsplit_once(':').ok_or_else(malformed)?;
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) => (Some(parse_address(address).ok_or_else(malformed)?), host),
            None => (None, rest),
        };
        let (host, last) = parse_range(host).ok_or_else(malformed)?;
        let (container, container_last) = parse_range(container).ok_or_else(malformed)?;
        let length = |first: u16, last: u16| last.checked_sub(first);
        let more = length(host, last).ok_or_else(malformed)?;
        if length(container, container_last) != Some(more) {
            return Err(refuse(Reason::OtherLength));
        }
        Self { address, host, container, more, protocol }.checked()
    }
}

fn parse_address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        Some((first, last)) => Some((decimal(first)?, decimal(last)?)),
        None => decimal(text).map(|port| (port, port)),
    }
}

impl TryFrom<String> for Port {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Port> for String {
    fn from(port: Port) -> Self {
        port.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_come_back() {
        for text in [
            "8080:80",
            "127.0.0.1:53:53/udp",
            "[::1]:80:8080",
            "9000-9009:1000-1009",
            "0.0.0.0:1:1",
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert_eq!("80:80/tcp".parse::<Port>().unwrap().to_string(), "80:80");
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            "80",
            ":80",
            "80:",
            "0:80",
            "80:0",
            "65536:1",
            "1-2:1",
            "2-1:2-1",
            "::1:80:80",
            "80:80/sctp",
            "80:80/",
            "1.2.3:80:80",
            "+1:80",
            "080:80",
            "[1.2.3.4]:80:80",
            "65535-65536:1-2",
            "80:80/tcp/tcp",
        ] {
            assert_eq!(text.parse::<Port>().unwrap_err().kind(), ErrorKind::InvalidPort, "{text}");
        }
    }

    #[test]
    fn conflicts_are_seen() {
        for (one, other, expected) in [
            ("80:80", "80:81", true),
            ("80:80", "80:80/udp", false),
            ("127.0.0.1:80:80", "80:81", true),
            ("127.0.0.1:80:80", "127.0.0.2:80:81", false),
            ("0.0.0.0:80:80", "127.0.0.2:80:81", true),
            ("0.0.0.0:80:80", "[::]:80:81", false),
            ("80-90:80-90", "90:1", true),
            ("80-89:80-89", "90:1", false),
        ] {
            let (one, other): (Port, Port) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(one.conflicts(&other), expected, "{one} {other}");
            assert_eq!(other.conflicts(&one), expected, "{other} {one}");
        }
    }

    proptest! {
        #[test]
        fn any_port_comes_back(host: u16, container: u16, count: u16, address: Option<IpAddr>) {
            if let Ok(port) = Port::new(host, container).and_then(|port| port.count(count)) {
                let port = address.map_or(port, |address| port.on(address));
                prop_assert_eq!(port.to_string().parse::<Port>().unwrap(), port);
            }
        }
    }
}
