//! A container's end of a bridge network, as long as it is in use.
//!
//! Kernel objects: a veth pair, a lease, bound ports. Invariant: when it is dropped, the lease and the ports are free and
//! the pair is on no bridge; what cannot be taken away then is by the next [`Host::reconcile`].

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use crate::cidr::Cidr;
use crate::error::Result;
use crate::host::{Host, Pair};
use crate::name::{LinkName, NetworkName};
use crate::state::Lease;

/// What [`Host::attach`] gives. Dropping it is [`Attachment::unplug`] without an answer.
#[derive(Debug)]
pub struct Attachment {
    host: Host,
    network: NetworkName,
    link: LinkName,
    lease: Lease,
    gateways: Vec<Cidr>,
    /// The published ports, so that no program of the host takes them.
    _ports: Vec<OwnedFd>,
    held: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    No,
}

impl Attachment {
    pub(crate) fn new(
        host: Host,
        network: NetworkName,
        link: LinkName,
        lease: Lease,
        gateways: Vec<Cidr>,
        ports: Vec<OwnedFd>,
    ) -> Self {
        Self { host, network, link, lease, gateways, _ports: ports, held: Held::Yes }
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &NetworkName {
        &self.network
    }

    /// The host's end of the pair.
    #[must_use]
    pub fn host_link(&self) -> &LinkName {
        &self.link
    }

    /// The container's addresses, one for each subnet.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.lease.addresses
    }

    /// The bridge's addresses with the prefixes of the subnets.
    #[must_use]
    pub fn gateways(&self) -> &[Cidr] {
        &self.gateways
    }

    /// Takes everything away, from a container that goes on without it. The kernel waits for a grace period to delete
    /// the pair, some 10 to 40 ms; where the container has ended, [`Self::unplug`] does not.
    ///
    /// # Errors
    /// What the kernel says; the lease stays for [`Host::reconcile`] then.
    pub fn detach(mut self) -> Result<()> {
        self.held = Held::No;
        self.host.release(&self.network, &self.link, Pair::Delete)
    }

    /// Takes everything away but the pair, which is off its bridge, down and without use from then on: the kernel deletes
    /// it with the container's network namespace, soon after the last process and descriptor of that. Should the
    /// namespace go on, [`Host::reconcile`] deletes it, or the last user of any network.
    ///
    /// # Errors
    /// As [`Self::detach`].
    pub fn unplug(mut self) -> Result<()> {
        self.held = Held::No;
        self.host.release(&self.network, &self.link, Pair::Unplug)
    }

    /// Leaves everything to the container: its link and its lease stay until its network namespace is gone and somebody
    /// calls [`Host::reconcile`]. Published ports are no longer bound on the host, though they still lead to it.
    pub fn leave(mut self) {
        self.held = Held::No;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.held == Held::Yes {
            // There is nobody to tell; the state says what is left.
            drop(self.host.release(&self.network, &self.link, Pair::Unplug));
        }
    }
}
