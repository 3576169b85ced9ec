//! Networks of containers over netlink, without entering another namespace. Programs are run for [`cni`] and [`User`] only.
//!
//! | I want … | Here |
//! |---|---|
//! | a network that several containers share | [`BridgeNetwork`], [`Host::attach`] |
//! | a container's end of it: addresses, routes, published ports | [`Endpoint`], [`Port`] |
//! | to clear what killed processes left | [`Host::reconcile`] |
//! | a pair of links whose other end is mine | [`Veth`] |
//! | a device of the host in a container | [`HostDevice`] |
//! | to say what a container may reach | [`Egress`] |
//! | a network without privilege | [`User`] |
//! | a chain of CNI plugins | [`cni::Plugins`] |
//! | a namespace, to configure it from outside | [`Netns`] |
//!
//! What is done to the host, and undone with the last user of it: bridges and links, tables `ampoule_…` of nftables,
//! `ip_forward` and its sibling for IPv6 for networks that reach outside (others are then kept from being forwarded
//! for), and the state below `/run/ampoule/net`.

mod attachment;
mod bridge;
mod cidr;
pub mod cni;
mod device;
mod egress;
mod error;
mod filter;
#[doc(hidden)]
pub mod fuzz;
mod host;
mod link;
mod mac;
mod name;
mod netns;
mod nft;
mod pool;
mod ports;
pub mod prepared;
mod program;
mod random;
mod reconciled;
mod socket;
mod state;
mod statistics;
mod store;
mod sysctl;
mod user;
mod veth;

pub use attachment::Attachment;
pub use bridge::{
    BridgeNetwork, DefaultRoute, Device, Endpoint, Families, Neighbours, Reach, Route,
};
pub use cidr::Cidr;
pub use device::{HostDevice, Moved};
pub use egress::{Allow, Egress, EgressProtocol, Refused};
pub use error::{Error, ErrorKind, Result};
pub use host::Host;
pub use mac::Mac;
pub use name::{LinkName, NetworkName};
pub use netns::Netns;
pub use pool::{Pool, free_subnet, local_subnet};
pub use ports::{Port, Protocol};
pub use reconciled::Reconciled;
pub use statistics::Statistics;
pub use user::{User, UserNetwork};
pub use veth::{Connected, Veth};
