//! What a container's own process does for its network: it hands its namespace over to be configured from outside.
//!
//! Kernel objects: a network namespace, one rtnetlink and one netfilter socket made in it. Invariant: the process keeps
//! none of them.

use std::os::fd::OwnedFd;

use ampoule_init::steps::{file, launch};
use ampoule_init::{Fd, Slots, Step};

use crate::error::Result;
use crate::netns::{Netns, socket, take};

/// What descriptors say that are handed over; nothing else that the program sends may say the same.
const NAMESPACE: u32 = 0x6e00;
const ROUTE: u32 = 0x6e01;
const NETFILTER: u32 = 0x6e02;

/// The steps of a process that stands in a new network namespace and has every capability over it; `proc` is a procfs in
/// which it sees itself. What was sent is for [`handed_over`].
#[must_use]
pub fn hand_over(proc: Fd, slots: &mut Slots) -> Vec<Step> {
    const READ_CLOEXEC: u64 = 0o2_000_000;
    let [namespace, route, netfilter] = [slots.take(), slots.take(), slots.take()];
    let open = [
        file::open(proc, c"self/ns/net", READ_CLOEXEC, 0, namespace),
        socket(libc::NETLINK_ROUTE, "NETLINK_ROUTE", route),
        socket(libc::NETLINK_NETFILTER, "NETLINK_NETFILTER", netfilter),
    ];
    let sent = [(NAMESPACE, namespace), (ROUTE, route), (NETFILTER, netfilter)];
    let send = sent.into_iter().flat_map(|(what, fd)| [launch::send_fd(what, fd), file::close(fd)]);
    open.into_iter().chain(send).collect()
}

/// The namespace that a process handed over; what else was sent stays.
///
/// # Errors
/// [`System`](crate::ErrorKind::System) when something is missing or is no socket.
pub fn handed_over(sent: &mut Vec<(u32, OwnedFd)>) -> Result<Netns> {
    let namespace = take(sent, NAMESPACE)?;
    Netns::from_parts(namespace, take(sent, ROUTE)?, take(sent, NETFILTER)?)
}
