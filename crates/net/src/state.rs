//! What is in use: networks, the addresses and ports of their containers, and what was changed on the host for them.
//!
//! Kernel objects: none; `store` reads and writes it. Invariant: what is made in the kernel is written here before, and
//! taken away here after, so that a process can be killed at any instant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::bridge::{BridgeNetwork, DefaultRoute, Device, Endpoint, Reach, Route};
use crate::cidr::Cidr;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::name::{LinkName, NetworkName};
use crate::pool::{Pool, free_subnet, local_subnet};
use crate::ports::Port;

/// The version of the format.
const FORMAT: u32 = 1;

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    pub(crate) networks: BTreeMap<NetworkName, Record>,
    /// Files below `/proc/sys` that were changed.
    pub(crate) sysctls: BTreeMap<String, Saved>,
}

/// What was in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(crate) before: String,
    /// The setting that it was changed for or with, if it is not needed by itself.
    pub(crate) beside: Option<String>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) settings: BridgeNetwork,
    /// What it got, if its settings leave that open.
    pub(crate) subnets: Vec<Cidr>,
    /// Where the next free address is looked for.
    pub(crate) last: Vec<IpAddr>,
    /// By the name of the host's end.
    pub(crate) leases: BTreeMap<LinkName, Lease>,
}

/// What one container has of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lease {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: Vec<Port>,
    pub(crate) phase: Phase,
}

/// Where a lease is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Being made or taken away: who sees that while holding the lock sees what a killed process left.
    Pending,
    /// In use, as long as its link is there.
    Ready,
}

impl Default for State {
    fn default() -> Self {
        Self { format: FORMAT, networks: BTreeMap::new(), sysctls: BTreeMap::new() }
    }
}

impl State {
    /// Reads the content of the file.
    pub(crate) fn parse(content: &[u8]) -> Option<Self> {
        let state: Self = serde_json::from_slice(content).ok()?;
        (state.format == FORMAT).then_some(state)
    }

    /// The content of the file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|_| Error::text(ErrorKind::DamagedState, "state", Reason::Damaged))
    }

    /// Whether nothing is in use and nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.sysctls.is_empty()
    }

    /// Makes a network's record, if it has none.
    ///
    /// `routes` are the host's.
    pub(crate) fn require(
        &mut self,
        settings: &BridgeNetwork,
        routes: impl FnOnce() -> Result<Vec<Cidr>>,
        random: [u8; 5],
    ) -> Result<()> {
        if let Some(record) = self.networks.get(&settings.name) {
            return record.agrees(settings);
        }
        let own = self.networks.values();
        if own.clone().any(|record| record.settings.device.name() == settings.device.name()) {
            let name = settings.device.name();
            return Err(Error::text(ErrorKind::AlreadyExists, name, Reason::Foreign));
        }
        let own: Vec<Cidr> = own.flat_map(|record| record.subnets.clone()).collect();
        let routes = match settings.device {
            Device::Own(_) => routes()?,
            // Its own route is there.
            Device::Existing(_) if !settings.subnets.is_empty() => Vec::new(),
            Device::Existing(_) => routes()?,
        };
        let subnets = subnets(settings, &own, &routes, random)?;
        let record = Record {
            settings: settings.clone(),
            subnets,
            last: Vec::new(),
            leases: BTreeMap::new(),
        };
        self.networks.insert(settings.name.clone(), record);
        Ok(())
    }

    /// Takes addresses and ports for an endpoint.
    pub(crate) fn lease(
        &mut self,
        network: &NetworkName,
        endpoint: &Endpoint,
        link: LinkName,
    ) -> Result<Lease> {
        let leases = || self.networks.values().flat_map(|record| record.leases.values());
        let ports = || leases().flat_map(|lease| &lease.ports);
        for port in &endpoint.ports {
            if ports().any(|other| other.conflicts(port)) {
                return Err(Error::text(ErrorKind::PortInUse, port, Reason::InUse));
            }
        }
        let missing = || Error::text(ErrorKind::NotFound, network, Reason::Missing);
        let record = self.networks.get_mut(network).ok_or_else(missing)?;
        let addresses = record.addresses(&endpoint.addresses)?;
        record.last = addresses.clone();
        let lease = Lease { addresses, ports: endpoint.ports.clone(), phase: Phase::Pending };
        record.leases.insert(link, lease.clone());
        Ok(lease)
    }

    /// The sysctls that the networks need, below `/proc/sys`.
    pub(crate) fn sysctls_needed(&self) -> BTreeMap<String, &'static str> {
        let mut needed = BTreeMap::new();
        for record in self.networks.values() {
            let bridge = record.settings.device.name();
            for subnet in &record.subnets {
                let v4 = subnet.address().is_ipv4();
                if record.settings.reach == Reach::Outside {
                    let forward =
                        if v4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
                    needed.insert(forward.to_owned(), "1");
                }
                let own = match v4 {
                    // Published ports are reached from 127.0.0.1.
                    true => (format!("net/ipv4/conf/{bridge}/route_localnet"), "1"),
                    false => (format!("net/ipv6/conf/{bridge}/accept_ra"), "0"),
                };
                needed.insert(own.0, own.1);
                if !v4 && matches!(record.settings.device, Device::Own(_)) {
                    // Nobody else has its address; until that is found out, nothing is forwarded to containers.
                    needed.insert(format!("net/ipv6/conf/{bridge}/accept_dad"), "0");
                }
            }
        }
        needed
    }

    /// The bridges, the own and the others.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &LinkName> {
        self.networks.values().map(|record| record.settings.device.name())
    }
}

impl Record {
    /// Whether a network of this name is the same one.
    fn agrees(&self, settings: &BridgeNetwork) -> Result<()> {
        match self.settings == *settings {
            true => Ok(()),
            false => {
                let name = &settings.name;
                Err(Error::text(ErrorKind::AlreadyExists, name, Reason::OtherSettings))
            }
        }
    }

    /// The pools of its subnets.
    pub(crate) fn pools(&self) -> impl Iterator<Item = Pool> {
        self.subnets.iter().filter_map(|subnet| Pool::new(*subnet))
    }

    /// The bridge's addresses.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = Cidr> {
        self.pools().map(|pool| pool.gateway())
    }

    /// The addresses with the prefixes of their subnets.
    pub(crate) fn with_prefixes(&self, addresses: &[IpAddr]) -> Vec<Cidr> {
        let subnet = |address: &IpAddr| {
            self.subnets.iter().find(|subnet| subnet.contains(*address)).copied()
        };
        let found = addresses.iter().filter_map(|address| Some(subnet(address)?.with(*address)));
        found.collect()
    }

    /// The routes of a container: out through the bridges, and those that were asked for.
    pub(crate) fn routes(&self, endpoint: &Endpoint) -> Vec<(Cidr, Option<IpAddr>)> {
        let outside = self.settings.reach == Reach::Outside;
        let out = outside && endpoint.default_route == DefaultRoute::Set;
        let gateways = self.gateways().filter(|_| out).filter_map(|gateway| {
            let all = gateway.with(gateway.address());
            Cidr::new(all.address(), 0).ok().map(|all| (all.network(), Some(gateway.address())))
        });
        let wanted =
            endpoint.routes.iter().map(|Route { destination, gateway }| (*destination, *gateway));
        // What is on the link comes first: a gateway may be there only.
        let (near, far): (Vec<_>, Vec<_>) = wanted.partition(|(_, gateway)| gateway.is_none());
        near.into_iter().chain(gateways).chain(far).collect()
    }

    /// One address of each subnet, the wanted one or a free one.
    fn addresses(&self, wanted: &[IpAddr]) -> Result<Vec<IpAddr>> {
        let taken: BTreeSet<IpAddr> =
            self.leases.values().flat_map(|lease| lease.addresses.iter().copied()).collect();
        let mut found = Vec::new();
        for address in wanted {
            let refuse = |kind, reason| Err(Error::text(kind, address, reason));
            let same_family = |other: &IpAddr| other.is_ipv4() == address.is_ipv4();
            if !self.pools().any(|pool| pool.has(*address)) {
                return refuse(ErrorKind::InvalidAddress, Reason::Outside);
            }
            if taken.contains(address) {
                return refuse(ErrorKind::AddressInUse, Reason::InUse);
            }
            if found.iter().any(same_family) {
                return refuse(ErrorKind::InvalidAddress, Reason::Twice);
            }
            found.push(*address);
        }
        for pool in self.pools() {
            if found.iter().any(|address| pool.has(*address)) {
                continue;
            }
            let last = self.last.iter().copied().find(|last| pool.has(*last));
            let full = || Error::text(ErrorKind::PoolExhausted, pool.gateway(), Reason::Full);
            found.push(pool.next(&taken, last).ok_or_else(full)?);
        }
        Ok(found)
    }
}

/// The subnets of a new network.
fn subnets(
    settings: &BridgeNetwork,
    own: &[Cidr],
    routes: &[Cidr],
    random: [u8; 5],
) -> Result<Vec<Cidr>> {
    let overlap = |subnet: &Cidr, taken: &[Cidr]| taken.iter().any(|one| one.overlaps(subnet));
    for subnet in &settings.subnets {
        let refuse = |reason| Err(Error::text(ErrorKind::SubnetOverlaps, subnet, reason));
        if overlap(subnet, own) {
            return refuse(Reason::Network);
        }
        if overlap(subnet, routes) {
            return refuse(Reason::Route);
        }
    }
    let mut subnets = settings.subnets.clone();
    let taken: Vec<Cidr> = own.iter().chain(routes).copied().collect();
    let full = |what: &str| Error::text(ErrorKind::PoolExhausted, what, Reason::Full);
    if subnets.is_empty() {
        subnets.push(free_subnet(&taken).ok_or_else(|| full("10.89.0.0/16, 172.28.0.0/14"))?);
    }
    let has_ipv6 = subnets.iter().any(|subnet| subnet.address().is_ipv6());
    if settings.families == crate::bridge::Families::Both && !has_ipv6 {
        subnets.push(local_subnet(random, &taken).ok_or_else(|| full("fd00::/8"))?);
    }
    Ok(subnets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Families;

    fn network(name: &str) -> BridgeNetwork {
        BridgeNetwork::new(name).unwrap()
    }

    fn endpoint() -> Endpoint {
        Endpoint::new("eth0").unwrap()
    }

    fn link(name: &str) -> LinkName {
        LinkName::new(name).unwrap()
    }

    fn with(settings: &BridgeNetwork) -> State {
        let mut state = State::default();
        state.require(settings, || Ok(Vec::new()), [7; 5]).unwrap();
        state
    }

    #[test]
    fn states_come_back() {
        let settings = network("a").families(Families::Both);
        let mut state = with(&settings);
        let lease = state.lease(&settings.name, &endpoint(), link("amp0")).unwrap();
        assert_eq!(lease.addresses.len(), 2);
        let bytes = state.to_bytes().unwrap();
        assert_eq!(State::parse(&bytes), Some(state));
        assert_eq!(State::parse(b"{}"), None);
        let newer = String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":2");
        assert_eq!(State::parse(newer.as_bytes()), None);
    }

    #[test]
    fn networks_do_not_overlap() {
        let mut state = with(&network("a"));
        let mut require = |settings: &BridgeNetwork, routes: Vec<Cidr>| {
            state.require(settings, || Ok(routes), [7; 5]).map_err(|error| error.kind())
        };
        let overlapping = network("b").subnet("10.0.0.0/8".parse().unwrap());
        assert_eq!(require(&overlapping, Vec::new()), Err(ErrorKind::SubnetOverlaps));
        let route = network("c").subnet("10.1.0.0/16".parse().unwrap());
        let routes = vec!["10.1.2.0/24".parse().unwrap()];
        assert_eq!(require(&route, routes), Err(ErrorKind::SubnetOverlaps));
        assert_eq!(require(&network("a").mtu(1400), Vec::new()), Err(ErrorKind::AlreadyExists));
        assert_eq!(require(&network("a"), Vec::new()), Ok(()));
        let everything = vec!["0.0.0.0/1".parse().unwrap(), "128.0.0.0/1".parse().unwrap()];
        assert_eq!(require(&network("d"), everything), Err(ErrorKind::PoolExhausted));
    }

    #[test]
    fn a_network_runs_full() {
        let settings = network("a").subnet("10.1.0.0/29".parse().unwrap());
        let mut state = with(&settings);
        for index in 0..5 {
            let name = link(&format!("amp{index}"));
            state.lease(&settings.name, &endpoint(), name).unwrap();
        }
        let error = state.lease(&settings.name, &endpoint(), link("amp5")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoolExhausted);
        assert_eq!(state.networks[&settings.name].leases.len(), 5);
    }

    #[test]
    fn wishes_are_checked() {
        let settings = network("a").subnet("10.1.0.0/24".parse().unwrap());
        let mut state = with(&settings);
        let wish = |address: &str| endpoint().address(address.parse().unwrap());
        let mut lease = |endpoint: &Endpoint, name: &str| {
            state.lease(&settings.name, endpoint, link(name)).map_err(|error| error.kind())
        };
        assert!(lease(&wish("10.1.0.9"), "a").is_ok());
        assert_eq!(lease(&wish("10.1.0.9"), "b"), Err(ErrorKind::AddressInUse));
        assert_eq!(lease(&wish("10.1.0.1"), "b"), Err(ErrorKind::InvalidAddress));
        assert_eq!(lease(&wish("10.2.0.9"), "b"), Err(ErrorKind::InvalidAddress));
        let port = |text: &str| endpoint().publish(text.parse().unwrap());
        assert!(lease(&port("80-90:80-90"), "c").is_ok());
        assert_eq!(lease(&port("85:1"), "d"), Err(ErrorKind::PortInUse));
    }
}
