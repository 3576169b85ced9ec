//! A device of the host that is moved into a container, as `netDevices` of the OCI runtime specification.
//!
//! Kernel objects: a network device and its addresses. Invariant: it is in one of both namespaces under one of its two
//! names; when the container's namespace goes before it is given back, the kernel gives a physical device to the first
//! namespace and deletes any other.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::fcntl_dupfd_cloexec;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::error::{Error, ErrorKind, Result};
use crate::link;
use crate::name::LinkName;
use crate::netns::Netns;
use crate::socket::{Request, Socket};

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDevice {
    host: LinkName,
    container: LinkName,
}

impl HostDevice {
    /// By its name, which it keeps.
    ///
    /// # Errors
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn new(name: &str) -> Result<Self> {
        let name = LinkName::new(name)?;
        Ok(Self { host: name.clone(), container: name })
    }

    /// Its name in the container.
    #[must_use]
    pub fn named(mut self, container: LinkName) -> Self {
        self.container = container;
        self
    }

    /// Moves it, with its addresses that are not of the link only, and sets it up.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such device,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) when the container has one of that name,
    /// [`Denied`](crate::ErrorKind::Denied) without `CAP_NET_ADMIN` here and there.
    pub fn move_into(&self, netns: &mut Netns) -> Result<Moved> {
        let path = Path::new("/proc/thread-self/ns/net");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| Error::at("open", path, errno))?;
        let mut route = Socket::route()?;
        let index = link::require(&mut route, &self.host)?;
        let addresses = addresses(&mut route, index)?;
        route.send(vec![link::move_to(index, netns.as_fd(), &self.container)])?;
        let moved = Moved { device: self.clone(), home, addresses };
        if let Err(error) = netns.configure(&self.container, &moved.addresses, &[]) {
            return Err(match moved.give_back(netns) {
                Ok(()) => error,
                Err(second) => Error::several(vec![error.clone(), second]).unwrap_or(error),
            });
        }
        Ok(moved)
    }
}

/// A device that was moved.
#[derive(Debug)]
pub struct Moved {
    device: HostDevice,
    home: OwnedFd,
    addresses: Vec<Cidr>,
}

impl Moved {
    /// The addresses that it brought along.
    #[must_use]
    pub fn addresses(&self) -> &[Cidr] {
        &self.addresses
    }

    /// Moves it back under its old name, with its addresses, and sets it up.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the container has deleted or renamed it; those of
    /// [`Netns::from_fd`] where the namespace is entered for it.
    pub fn give_back(&self, netns: &mut Netns) -> Result<()> {
        match self.send_home(&mut netns.route) {
            // Through a socket that a process of the container's user namespace opened, the kernel lets nothing go to
            // a namespace that is not below it.
            Err(error) if error.kind() == ErrorKind::Denied => {
                let own = fcntl_dupfd_cloexec(netns.as_fd(), 3)
                    .map_err(|errno| Error::system("fcntl", "F_DUPFD_CLOEXEC", errno))?;
                self.send_home(&mut Netns::from_fd(own)?.route)
            }
            sent => sent,
        }?;
        let mut route = Socket::route()?;
        let index = link::require(&mut route, &self.device.host)?;
        let addresses = self.addresses.iter().map(|address| link::add_address(index, *address));
        route.send(addresses.chain([link::set_up(index)]).collect())
    }

    fn send_home(&self, route: &mut Socket) -> Result<()> {
        let index = link::require(route, &self.device.container)?;
        route.send(vec![link::move_to(index, self.home.as_fd(), &self.device.host)])
    }
}

/// The addresses of a link, without those of the link's own scope.
fn addresses(route: &mut Socket, index: u32) -> Result<Vec<Cidr>> {
    let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answers = route.dump(Request::new("list addresses", index, message, 0))?;
    Ok(answers.iter().filter_map(|(_, payload)| parse_address(payload, index)).collect())
}

/// One of this link, of global scope.
pub(crate) fn parse_address(payload: &[u8], index: u32) -> Option<Cidr> {
    /// Bytes of `struct ifaddrmsg`; `IFA_ADDRESS` and, where the other end has its own, `IFA_LOCAL`.
    const HEADER: usize = 8;
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    let &[family, prefix, _, scope, ..] = payload else { return None };
    let of = u32::from_ne_bytes(payload.get(4..)?.first_chunk().copied()?);
    if of != index || scope != 0 {
        return None;
    }
    let attributes = payload.get(HEADER..)?;
    let address = link::attribute(attributes, LOCAL).or(link::attribute(attributes, ADDRESS))?;
    let address = match i32::from(family) {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
        _ => return None,
    };
    Cidr::new(address, prefix).ok()
}
