//! The host's side of networks: bridges, leases, and what is done for a container that comes or goes.
//!
//! Kernel objects: links, addresses, nftables tables and sysctls of the caller's network namespace. Invariant: the lock
//! is held while any of it is changed, and the state says what before.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use netlink_packet_route::link::InfoBridgePort;

use crate::attachment::Attachment;
use crate::bridge::{BridgeNetwork, Device, Endpoint, Neighbours};
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::link::{self, End};
use crate::mac::Mac;
use crate::name::{LinkName, NetworkName};
use crate::netns::Netns;
use crate::random::{hexadecimal, random};
use crate::reconciled::Reconciled;
use crate::socket::Socket;
use crate::state::{Lease, Phase, Record};
use crate::store::{Locked, Store};
use crate::{filter, sysctl};

/// What becomes of a pair of links when its lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// It is deleted.
    Delete,
    /// It is taken off its bridge, and goes with the container's namespace.
    Unplug,
}

/// The network namespace of the caller, in which bridges are made.
#[derive(Clone, Debug)]
pub struct Host {
    store: Store,
}

impl Host {
    /// With the state in `/run/ampoule/net`, in a directory for this network namespace.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) without a procfs.
    pub fn new() -> Result<Self> {
        let path = Path::new("/proc/thread-self/ns/net");
        let namespace = fs::metadata(path).map_err(|error| Error::io("stat", path, &error))?;
        let name = format!("netns-{}", namespace.ino());
        Ok(Self::at(&Path::new("/run/ampoule/net").join(name)))
    }

    /// With the state in this directory, which is made when it is needed and removed when nothing is in use. All who use
    /// bridges of one network namespace have to name the same one.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { store: Store::at(PathBuf::from(directory)) }
    }

    /// Where the state is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.store.directory()
    }

    /// Gives a container a link to a network; makes the bridge if nobody has yet.
    ///
    /// # Errors
    /// What [`BridgeNetwork::check`] and [`Endpoint::check`] say; [`SubnetOverlaps`](ErrorKind::SubnetOverlaps),
    /// [`PoolExhausted`](ErrorKind::PoolExhausted), [`AddressInUse`](ErrorKind::AddressInUse),
    /// [`PortInUse`](ErrorKind::PortInUse), [`AlreadyExists`](ErrorKind::AlreadyExists) for a network of other settings
    /// or a link of that name, [`Denied`](ErrorKind::Denied) without `CAP_NET_ADMIN`,
    /// [`Unsupported`](ErrorKind::Unsupported) without a kernel module. Nothing is left of what was begun.
    pub fn attach(
        &self,
        network: &BridgeNetwork,
        endpoint: &Endpoint,
        netns: &mut Netns,
    ) -> Result<Attachment> {
        network.check()?;
        endpoint.check()?;
        let mut session = Session::begin(&self.store)?;
        let attached = session.attach(network, endpoint, netns);
        let (link, lease, sockets) = match attached {
            Ok(attached) => attached,
            Err(error) => {
                // What a pending lease left is what a killed process would have left.
                let undone = session.recover().and_then(|()| session.finish());
                return Err(match undone {
                    Ok(()) => error,
                    Err(second) => Error::several(vec![error.clone(), second]).unwrap_or(error),
                });
            }
        };
        let record = session.record(&network.name)?;
        let gateways = record.gateways().collect();
        Ok(Attachment::new(self.clone(), network.name.clone(), link, lease, gateways, sockets))
    }

    /// Takes away what an attachment made.
    pub(crate) fn release(&self, network: &NetworkName, link: &LinkName, pair: Pair) -> Result<()> {
        let mut session = Session::begin(&self.store)?;
        session.release(network, link, pair)?;
        session.finish()
    }

    /// As [`Attachment::unplug`], for an attachment that was left ([`Attachment::leave`]), also by another process. One
    /// that is not there is no error.
    ///
    /// # Errors
    /// As [`Attachment::unplug`].
    pub fn unplug(&self, network: &NetworkName, link: &LinkName) -> Result<()> {
        if !self.store.directory().exists() {
            return Ok(());
        }
        self.release(network, link, Pair::Unplug)
    }

    /// As [`Self::reconcile`], without running plugins: what belongs to bridge networks.
    ///
    /// # Errors
    /// As there.
    pub fn reconcile_bridges(&self) -> Result<Reconciled> {
        Socket::route()?.send(vec![link::delete_unplugged()])?;
        if !self.store.directory().exists() {
            return Ok(Reconciled::default());
        }
        let mut session = Session::begin(&self.store)?;
        let before: Vec<_> = session.locked.state.networks.keys().cloned().collect();
        let addresses = session.release_gone()?;
        session.finish()?;
        let is_gone = |name: &NetworkName| !session.locked.state.networks.contains_key(name);
        let networks = before.into_iter().filter(is_gone).collect();
        Ok(Reconciled { addresses, networks, ..Reconciled::default() })
    }

    /// The networks in use, with the number of their containers.
    ///
    /// # Errors
    /// [`DamagedState`](ErrorKind::DamagedState).
    pub fn networks(&self) -> Result<Vec<(NetworkName, usize)>> {
        if !self.store.directory().exists() {
            return Ok(Vec::new());
        }
        let session = Session::begin(&self.store)?;
        let networks = session.locked.state.networks.iter();
        let found = networks.map(|(name, record)| (name.clone(), record.leases.len())).collect();
        // Looking makes no files.
        session.finish_unchanged()?;
        Ok(found)
    }
}

/// What is done under the lock.
struct Session {
    locked: Locked,
    route: Socket,
}

impl Session {
    /// Takes the lock and clears what a killed process left half done.
    fn begin(store: &Store) -> Result<Self> {
        let mut session = Self { locked: store.lock()?, route: Socket::route()? };
        session.recover()?;
        Ok(session)
    }

    fn record(&self, network: &NetworkName) -> Result<&Record> {
        let missing = || Error::text(ErrorKind::NotFound, network, Reason::Missing);
        self.locked.state.networks.get(network).ok_or_else(missing)
    }

    fn attach(
        &mut self,
        network: &BridgeNetwork,
        endpoint: &Endpoint,
        netns: &mut Netns,
    ) -> Result<(LinkName, Lease, Vec<OwnedFd>)> {
        let host = LinkName::new(format!("amp{}", hexadecimal(random::<6>()?)))?;
        // Nobody has this name: where that is not what the kernel says, nothing can be made, nor taken away again.
        self.route.send(vec![link::delete(&host)])?;
        let route = &mut self.route;
        self.locked.state.require(network, || link::routes(route), random()?)?;
        let mut lease = self.locked.state.lease(&network.name, endpoint, host.clone());
        if lease.as_ref().is_err_and(|error| error.kind() == ErrorKind::PoolExhausted) {
            self.release_gone()?;
            lease = self.locked.state.lease(&network.name, endpoint, host.clone());
        }
        let lease = lease?;
        let mut sockets = Vec::new();
        for port in &endpoint.ports {
            sockets.extend(port.reserve(&lease.addresses)?);
        }
        self.locked.save()?;
        let bridge = self.require_bridge(&network.name)?;
        self.connect(network, bridge, (&host, &lease), endpoint, netns)?;
        link::await_up(&mut self.route, &host)?;
        link::await_up(&mut netns.route, &endpoint.link)?;
        self.start_bridge(&network.name, bridge)?;
        if !lease.ports.is_empty() {
            filter::publish(&host, &lease)?;
        }
        self.set_phase(&network.name, &host, Phase::Ready);
        self.locked.save()?;
        Ok((host, lease, sockets))
    }

    /// The bridge's index; it is made, with all that belongs to the network, if this is its first container.
    fn require_bridge(&mut self, network: &NetworkName) -> Result<u32> {
        let record = self.record(network)?.clone();
        let device = record.settings.device.clone();
        let found = link::index_of(&mut self.route, device.name())?;
        if record.leases.len() > 1
            && let Some(index) = found
        {
            return Ok(index);
        }
        let index = match (&device, found) {
            (Device::Existing(_), Some(index)) => index,
            (Device::Existing(name), None) => return link::require(&mut self.route, name),
            (Device::Own(name), Some(_)) => {
                return Err(Error::text(ErrorKind::AlreadyExists, name, Reason::Foreign));
            }
            (Device::Own(name), None) => self.make_bridge(name, &record)?,
        };
        sysctl::update(&mut self.locked)?;
        filter::protect(&record)?;
        filter::guard(&self.locked.state)?;
        Ok(index)
    }

    fn make_bridge(&mut self, name: &LinkName, record: &Record) -> Result<u32> {
        let mac = record.gateways().next().map(|gateway| Mac::of(gateway.address()));
        let mac = mac.unwrap_or_else(|| Mac::of([0, 0, 0, 1].into()));
        self.route.send(vec![link::create_bridge(name, mac, record.settings.mtu)])?;
        link::require(&mut self.route, name)
    }

    /// Sets an own bridge up and gives it its addresses, when its first port works.
    fn start_bridge(&mut self, network: &NetworkName, index: u32) -> Result<()> {
        let record = self.record(network)?;
        if record.leases.len() > 1 || matches!(record.settings.device, Device::Existing(_)) {
            return Ok(());
        }
        let addresses = record.gateways().map(|gateway| link::add_address(index, gateway));
        let requests = std::iter::once(link::set_up(index)).chain(addresses).collect();
        self.route.send(requests)
    }

    /// The pair of links, and everything inside the container.
    fn connect(
        &mut self,
        network: &BridgeNetwork,
        bridge: u32,
        (host, lease): (&LinkName, &Lease),
        endpoint: &Endpoint,
        netns: &mut Netns,
    ) -> Result<()> {
        let record = self.record(&network.name)?;
        let addresses = record.with_prefixes(&lease.addresses);
        let routes = record.routes(endpoint);
        let mac = endpoint.mac.or_else(|| lease.addresses.first().map(|first| Mac::of(*first)));
        let outer = End { name: host, mac: None, mtu: network.mtu, bridge: Some(bridge) };
        let inner = End { name: &endpoint.link, mac, mtu: network.mtu, bridge: None };
        let mut requests = vec![
            link::create_veth(&outer, &inner, netns.as_fd())?,
            // A port of a bridge needs none.
            link::without_addresses(host),
        ];
        let mut port = Vec::new();
        if network.neighbours == Neighbours::Isolated {
            port.push(InfoBridgePort::Isolated(true));
        }
        if !lease.ports.is_empty() {
            // Where bridges call the packet filter, a container reaches its own published port through its own link.
            port.push(InfoBridgePort::HairpinMode(true));
        }
        if !port.is_empty() {
            requests.push(link::set_port(host, port));
        }
        requests.push(link::set_up_named(host));
        self.route.send(requests)?;
        netns.configure(&endpoint.link, &addresses, &routes)
    }

    fn set_phase(&mut self, network: &NetworkName, link: &LinkName, phase: Phase) {
        let record = self.locked.state.networks.get_mut(network);
        if let Some(lease) = record.and_then(|record| record.leases.get_mut(link)) {
            lease.phase = phase;
        }
    }

    /// Takes one lease away; one that is gone already is no error.
    fn release(&mut self, network: &NetworkName, link: &LinkName, pair: Pair) -> Result<()> {
        let record = self.locked.state.networks.get(network);
        let Some(lease) = record.and_then(|record| record.leases.get(link)) else { return Ok(()) };
        let published = !lease.ports.is_empty();
        if lease.phase == Phase::Ready {
            self.set_phase(network, link, Phase::Pending);
            self.locked.save()?;
        }
        self.route.send(vec![match pair {
            Pair::Delete => link::delete(link),
            Pair::Unplug => link::unplug(link),
        }])?;
        if published {
            filter::unpublish(link)?;
        }
        if let Some(record) = self.locked.state.networks.get_mut(network) {
            record.leases.remove(link);
        }
        Ok(())
    }

    /// Takes away what a killed process left pending, and networks without a container.
    fn recover(&mut self) -> Result<()> {
        let pending = self.leases(|lease| lease.phase == Phase::Pending);
        let empty = self.locked.state.networks.values().any(|record| record.leases.is_empty());
        if pending.is_empty() && !empty {
            return Ok(());
        }
        for (network, link) in pending {
            self.release(&network, &link, Pair::Delete)?;
        }
        self.finish()
    }

    /// The leases that fit.
    fn leases(&self, fits: impl Fn(&Lease) -> bool) -> Vec<(NetworkName, LinkName)> {
        let networks = self.locked.state.networks.iter();
        let leases = networks.flat_map(|(network, record)| {
            record.leases.iter().map(move |(link, lease)| (network, link, lease))
        });
        let fitting = leases.filter(|(_, _, lease)| fits(lease));
        fitting.map(|(network, link, _)| (network.clone(), link.clone())).collect()
    }

    /// Takes away the leases whose link has gone with its container.
    fn release_gone(&mut self) -> Result<Vec<std::net::IpAddr>> {
        let links: std::collections::BTreeSet<String> =
            link::list(&mut self.route)?.into_iter().map(|link| link.name).collect();
        let mut addresses = Vec::new();
        for (network, link) in self.leases(|lease| lease.phase == Phase::Ready) {
            if links.contains(link.as_str()) {
                continue;
            }
            let lease = self.record(&network)?.leases.get(&link).cloned();
            addresses.extend(lease.into_iter().flat_map(|lease| lease.addresses));
            self.release(&network, &link, Pair::Delete)?;
        }
        Ok(addresses)
    }

    /// Takes away networks without a container, undoes what they needed, and writes the state.
    fn finish(&mut self) -> Result<()> {
        let empty: Vec<Record> = {
            let records = self.locked.state.networks.values();
            records.filter(|record| record.leases.is_empty()).cloned().collect()
        };
        for record in &empty {
            filter::unprotect(&record.settings.name)?;
            if let Device::Own(name) = &record.settings.device
                && let Some(found) = link::find(&mut self.route, name)?
                && found.group == link::OWN_GROUP
            {
                self.route.send(vec![link::delete(name)])?;
            }
            self.locked.state.networks.remove(&record.settings.name);
        }
        if !empty.is_empty() {
            self.route.send(vec![link::delete_unplugged()])?;
            sysctl::update(&mut self.locked)?;
            filter::guard(&self.locked.state)?;
        }
        self.locked.save()
    }

    fn finish_unchanged(&self) -> Result<()> {
        match self.locked.state.is_empty() {
            true => self.locked.save(),
            false => Ok(()),
        }
    }
}
