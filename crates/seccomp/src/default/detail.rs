//! What depends on arguments in the default profile and the presets, each with its reason.
//!
//! Kernel objects: flags of clone(2) and unshare(2), families of socket(2), requests of ioctl(2), personality(2).
//! Invariant: an argument that the kernel takes as `int` is compared in its lower 32 bits, so that no upper half hides it.

use crate::action::Action;
use crate::condition::{Condition, arg};

/// What happens to calls with some arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detail {
    /// A short name.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The calls.
    pub calls: &'static [&'static str],
    /// What one argument has to be: one of these conditions has to hold.
    pub any: &'static [Condition],
    /// What happens.
    pub action: Action,
    /// Who has one of these capabilities need not meet it: the calls are allowed.
    pub unless: &'static [&'static str],
    /// Only with one of these capabilities; empty is everybody.
    pub only_with: &'static [&'static str],
}

/// `CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET`.
const NAMESPACES: u64 = 0x7e02_0000;
/// `CLONE_NEWTIME`, which is a part of the exit signal in clone(2).
const NEWTIME: u64 = 0x80;

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const AF_PACKET: u32 = 17;

const PLAIN: Detail = Detail {
    name: "",
    reason: "",
    calls: &[],
    any: &[],
    action: Action::Allow,
    unless: &[],
    only_with: &[],
};

pub(super) const TERMINAL: Detail = Detail {
    name: "terminal input",
    reason: "types into the terminal of who started the container (TIOCSTI, TIOCLINUX)",
    calls: &["ioctl"],
    any: &[arg(1).int_eq(TIOCSTI), arg(1).int_eq(TIOCLINUX)],
    action: Action::NOT_PERMITTED,
    ..PLAIN
};
pub(super) const IOCTL: Detail = Detail {
    name: "other device operations",
    reason: "the device decides",
    calls: &["ioctl"],
    ..PLAIN
};
pub(super) const CLONE: Detail = Detail {
    name: "new processes and threads",
    reason: "without new namespaces, in which much of the kernel is open that is closed here",
    calls: &["clone"],
    any: &[arg(0).masked_eq(NAMESPACES, 0)],
    unless: &["SYS_ADMIN"],
    ..PLAIN
};
pub(super) const UNSHARE: Detail = Detail {
    name: "unsharing",
    reason: "of descriptors and the working directory, without new namespaces",
    calls: &["unshare"],
    any: &[arg(0).masked_eq(NAMESPACES | NEWTIME, 0)],
    unless: &["SYS_ADMIN"],
    ..PLAIN
};
pub(super) const PERSONALITY: Detail = Detail {
    name: "personality",
    reason: "Linux, 32 bits, an old release's name, or a question; none that turns address randomisation off",
    calls: &["personality"],
    any: &[
        arg(0).int_eq(0),
        arg(0).int_eq(0x8),
        arg(0).int_eq(0x2_0000),
        arg(0).int_eq(0x2_0008),
        arg(0).int_eq(0xffff_ffff),
    ],
    ..PLAIN
};
pub(super) const LOCAL_SOCKETS: Detail = Detail {
    name: "local sockets",
    reason: "Unix sockets reach what the root shows, netlink what the network namespace has",
    calls: &["socket", "socketpair"],
    any: &[arg(0).int_eq(AF_UNIX), arg(0).int_eq(AF_NETLINK)],
    ..PLAIN
};
pub(super) const INTERNET_SOCKETS: Detail = Detail {
    name: "Internet sockets",
    reason: "the network namespace decides what they reach",
    calls: &["socket", "socketpair"],
    any: &[arg(0).int_eq(AF_INET), arg(0).int_eq(AF_INET6)],
    ..PLAIN
};
pub(super) const PACKET_SOCKETS: Detail = Detail {
    name: "packet sockets",
    reason: "whole frames of the network namespace",
    calls: &["socket", "socketpair"],
    any: &[arg(0).int_eq(AF_PACKET)],
    only_with: &["NET_RAW"],
    ..PLAIN
};
pub(super) const OTHER_SOCKETS: Detail = Detail {
    name: "other sockets",
    reason: "AF_ALG (the kernel's ciphers), AF_VSOCK (the host of a virtual machine) and rare protocols, whose modules \
             would be loaded",
    calls: &["socket", "socketpair"],
    action: Action::Errno(97),
    ..PLAIN
};

/// The details of the default profile, in order: the first one that holds counts.
pub const DETAILS: &[Detail] = &[
    TERMINAL,
    IOCTL,
    CLONE,
    UNSHARE,
    PERSONALITY,
    LOCAL_SOCKETS,
    INTERNET_SOCKETS,
    PACKET_SOCKETS,
    OTHER_SOCKETS,
];
