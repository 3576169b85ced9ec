//! A pair of links whose one end is in a container and whose other end is the caller's.
//!
//! Kernel objects: a veth pair (veth(4)). Invariant: both ends are made in one request, the inner one in the container's
//! namespace, so that it never has a name on the host.

use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use crate::bridge::Route;
use crate::cidr::Cidr;
use crate::error::Result;
use crate::link::{self, End};
use crate::mac::Mac;
use crate::name::LinkName;
use crate::netns::Netns;
use crate::socket::Socket;

/// A pair of links. What becomes of the host's end, which is up and has no address, is for the caller to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    host: LinkName,
    container: LinkName,
    mac: Option<Mac>,
    mtu: Option<u32>,
    host_addresses: Vec<Cidr>,
    addresses: Vec<Cidr>,
    routes: Vec<Route>,
}

impl Veth {
    /// With these names on the host and in the container.
    ///
    /// # Errors
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn new(host: &str, container: &str) -> Result<Self> {
        let (host, container) = (LinkName::new(host)?, LinkName::new(container)?);
        let (host_addresses, addresses, routes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { host, container, mac: None, mtu: None, host_addresses, addresses, routes })
    }

    /// The hardware address of the container's end.
    #[must_use]
    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The MTU of both ends, in bytes.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Adds an address of the host's end.
    #[must_use]
    pub fn host_address(mut self, address: Cidr) -> Self {
        self.host_addresses.push(address);
        self
    }

    /// Adds an address of the container's end.
    #[must_use]
    pub fn address(mut self, address: Cidr) -> Self {
        self.addresses.push(address);
        self
    }

    /// The addresses of the container's end.
    #[must_use]
    pub fn addresses(&self) -> &[Cidr] {
        &self.addresses
    }

    /// Adds a route of the container; one that a gateway depends on comes before.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Makes the pair.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) for a name that is used, [`Denied`](crate::ErrorKind::Denied)
    /// without `CAP_NET_ADMIN` here and there, [`Unsupported`](crate::ErrorKind::Unsupported) without the kernel module
    /// `veth`. Nothing is left then.
    pub fn connect(&self, netns: &mut Netns) -> Result<Connected> {
        let mut route = Socket::route()?;
        let host = End { name: &self.host, mac: None, mtu: self.mtu, bridge: None };
        let container = End { name: &self.container, mac: self.mac, mtu: self.mtu, bridge: None };
        let make = link::create_veth(&host, &container, netns.as_fd())?;
        route.send(vec![make, link::set_up_named(&self.host)])?;
        let connected = Connected { host: Some(self.host.clone()) };
        if !self.host_addresses.is_empty() {
            let index = link::require(&mut route, &self.host)?;
            let addresses = self.host_addresses.iter();
            route.send(addresses.map(|address| link::add_address(index, *address)).collect())?;
        }
        let routes: Vec<_> =
            self.routes.iter().map(|route| (route.destination, route.gateway)).collect();
        netns.configure(&self.container, &self.addresses, &routes)?;
        link::await_up(&mut route, &self.host)?;
        link::await_up(&mut netns.route, &self.container)?;
        Ok(connected)
    }
}

/// A pair that is there; it is deleted when this is dropped.
#[derive(Debug)]
pub struct Connected {
    host: Option<LinkName>,
}

impl Connected {
    /// Deletes the pair. One that has gone with its container is no error.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn disconnect(mut self) -> Result<()> {
        self.host.take().map_or(Ok(()), |host| delete(&host))
    }

    /// Leaves the pair to the container: it goes with its network namespace.
    pub fn leave(mut self) {
        self.host = None;
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            // There is nobody to tell.
            drop(delete(&host));
        }
    }
}

fn delete(name: &LinkName) -> Result<()> {
    Socket::route()?.send(vec![link::delete(name)])
}
