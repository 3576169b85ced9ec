//! A bridge network and a container's end of it, as data.
//!
//! Kernel objects: none. Invariant: nothing is looked up here; what cannot be is said by [`BridgeNetwork::check`] and
//! [`Endpoint::check`].

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::mac::Mac;
use crate::name::{LinkName, NetworkName};
use crate::pool::Pool;
use crate::ports::Port;

/// Whose the bridge's device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Device {
    /// The network's: it is made with the first container and removed with the last.
    Own(LinkName),
    /// Somebody else's: it has to be there, and stays.
    Existing(LinkName),
}

impl Device {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &LinkName {
        match self {
            Self::Own(name) | Self::Existing(name) => name,
        }
    }
}

/// Where containers of a network can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reach {
    /// Everywhere, under the host's address (masquerade).
    #[default]
    Outside,
    /// To the host and each other only: no default route, nothing is forwarded.
    Internal,
}

/// Whether containers of one network reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Neighbours {
    /// They do.
    #[default]
    Reachable,
    /// They reach the host and what is behind it only (`IFLA_BRPORT_ISOLATED`, Linux 4.18).
    Isolated,
}

/// A network on a bridge of the host, shared by all containers that name it.
///
/// ```
/// let network = ampoule_net::BridgeNetwork::new("web")?.subnet("10.9.8.0/24".parse()?).mtu(1400);
/// # Ok::<(), ampoule_net::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeNetwork {
    pub(crate) name: NetworkName,
    pub(crate) device: Device,
    pub(crate) subnets: Vec<Cidr>,
    pub(crate) families: Families,
    pub(crate) mtu: Option<u32>,
    pub(crate) reach: Reach,
    pub(crate) neighbours: Neighbours,
}

/// Which addresses are found for a network that names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Families {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv4 and IPv6.
    Both,
}

impl BridgeNetwork {
    /// A network with a bridge of its own, a free subnet for IPv4, and the outside in reach.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName).
    pub fn new(name: &str) -> Result<Self> {
        let name = NetworkName::new(name)?;
        let device = Device::Own(device_of(&name)?);
        let (subnets, families, mtu) = (Vec::new(), Families::Ipv4, None);
        let (reach, neighbours) = (Reach::Outside, Neighbours::Reachable);
        Ok(Self { name, device, subnets, families, mtu, reach, neighbours })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NetworkName {
        &self.name
    }

    /// Where its containers can go.
    #[must_use]
    pub fn leads(&self) -> Reach {
        self.reach
    }

    /// Its bridge.
    #[must_use]
    pub fn bridge(&self) -> &Device {
        &self.device
    }

    /// A bridge of this name, or one that is there.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Adds a subnet, at most one of each family. Its first address is the bridge's.
    #[must_use]
    pub fn subnet(mut self, subnet: Cidr) -> Self {
        self.subnets.push(subnet.network());
        self
    }

    /// Which subnets are found where none is given.
    #[must_use]
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// The MTU of all its links, in bytes.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Where its containers can go.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Whether its containers reach each other.
    #[must_use]
    pub fn neighbours(mut self, neighbours: Neighbours) -> Self {
        self.neighbours = neighbours;
        self
    }

    /// Says what cannot be, without asking the kernel.
    ///
    /// # Errors
    /// [`InvalidAddress`](ErrorKind::InvalidAddress), every one in [`Error::problems`].
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let refuse = |text: &dyn std::fmt::Display, reason| {
            Error::text(ErrorKind::InvalidAddress, text, reason)
        };
        for (index, subnet) in self.subnets.iter().enumerate() {
            if Pool::new(*subnet).is_none() {
                problems.push(refuse(subnet, Reason::TooSmall));
            }
            let same = |other: &Cidr| other.address().is_ipv4() == subnet.address().is_ipv4();
            if self.subnets.iter().skip(index + 1).any(same) {
                problems.push(refuse(subnet, Reason::Twice));
            }
        }
        if matches!(self.device, Device::Existing(_)) && self.subnets.is_empty() {
            // Its addresses are its owner's choice.
            problems.push(refuse(&self.device.name(), Reason::NoSubnet));
        }
        // IPv6 needs 1280 bytes (RFC 8200), IPv4 68 (RFC 791).
        if self.mtu.is_some_and(|mtu| !(68..=65_535).contains(&mtu)) {
            let text = format!("MTU {}", self.mtu.unwrap_or_default());
            problems.push(refuse(&text, Reason::OutOfRange(68, 65_535)));
        }
        Error::several(problems).map_or(Ok(()), Err)
    }
}

/// The name of a network's own bridge: `amp-` and eleven digits that depend on the network's name.
fn device_of(name: &NetworkName) -> Result<LinkName> {
    // FNV-1a: equal on every machine and in every version.
    let hash = name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    LinkName::new(format!("amp-{:011x}", hash >> 20))
}

/// A route of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Route {
    /// Where it leads.
    pub destination: Cidr,
    /// Through whom; what is on the link itself needs nobody.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// A route through a gateway.
    #[must_use]
    pub fn via(destination: Cidr, gateway: IpAddr) -> Self {
        Self { destination, gateway: Some(gateway) }
    }

    /// A route to what is on the link.
    #[must_use]
    pub fn on_link(destination: Cidr) -> Self {
        Self { destination, gateway: None }
    }
}

/// A container's end of a bridge network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub(crate) link: LinkName,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) mac: Option<Mac>,
    pub(crate) routes: Vec<Route>,
    pub(crate) default_route: DefaultRoute,
    pub(crate) ports: Vec<Port>,
}

/// Whether a network is the one that leads out: at most one of a container's networks is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DefaultRoute {
    /// It is, unless the network is internal.
    #[default]
    Set,
    /// It is not.
    Leave,
}

impl Endpoint {
    /// A link of this name in the container, with free addresses.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName).
    pub fn new(link: &str) -> Result<Self> {
        let (addresses, mac, routes, ports) = (Vec::new(), None, Vec::new(), Vec::new());
        let link = LinkName::new(link)?;
        Ok(Self { link, addresses, mac, routes, default_route: DefaultRoute::Set, ports })
    }

    /// Wants this address of one of the network's subnets.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// The addresses that it wants.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The hardware address; without, one that depends on the address.
    #[must_use]
    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Whether the way out leads here.
    #[must_use]
    pub fn default_route(mut self, default_route: DefaultRoute) -> Self {
        self.default_route = default_route;
        self
    }

    /// Publishes a port of the container on the host.
    #[must_use]
    pub fn publish(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Says what cannot be, without asking the kernel.
    ///
    /// # Errors
    /// [`InvalidAddress`](ErrorKind::InvalidAddress) for a route of two families; [`PortInUse`](ErrorKind::PortInUse)
    /// when two published ports are one on the host.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        for route in &self.routes {
            let family = route.destination.address().is_ipv4();
            if route.gateway.is_some_and(|gateway| gateway.is_ipv4() != family) {
                let kind = ErrorKind::InvalidAddress;
                problems.push(Error::text(kind, route.destination, Reason::OtherFamily));
            }
        }
        for (index, port) in self.ports.iter().enumerate() {
            if self.ports.iter().skip(index + 1).any(|other| port.conflicts(other)) {
                problems.push(Error::text(ErrorKind::PortInUse, port, Reason::Twice));
            }
        }
        Error::several(problems).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_said() {
        let network = BridgeNetwork::new("n").unwrap();
        let wrong = network.subnet("10.0.0.0/31".parse().unwrap());
        let wrong = wrong.subnet("10.1.0.0/24".parse().unwrap()).mtu(10);
        assert_eq!(wrong.check().unwrap_err().problems().len(), 3);
        let both = BridgeNetwork::new("n").unwrap();
        let both = both.subnet("10.0.0.0/24".parse().unwrap()).subnet("fd00::/64".parse().unwrap());
        both.check().unwrap();
    }

    #[test]
    fn a_bridge_has_a_name_of_its_own() {
        let name = |network| BridgeNetwork::new(network).unwrap().device.name().to_string();
        assert_eq!(name("web").len(), 15);
        assert_ne!(name("web"), name("wea"));
    }

    #[test]
    fn an_endpoint_is_checked() {
        let endpoint = Endpoint::new("eth0").unwrap();
        let route = Route::via("10.0.0.0/8".parse().unwrap(), "fd00::1".parse().unwrap());
        let endpoint = endpoint.route(route);
        let endpoint = endpoint.publish("80:80".parse().unwrap()).publish("80:81".parse().unwrap());
        assert_eq!(endpoint.check().unwrap_err().problems().len(), 2);
        assert!(Endpoint::new("a234567890123456").is_err());
    }
}
