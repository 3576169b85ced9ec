//! Networks of containers over netlink, without a program and without entering another namespace.

mod attachment;
mod bridge;
mod cidr;
mod device;
mod egress;
mod error;
mod filter;
mod host;
mod link;
mod mac;
mod name;
mod netns;
mod nft;
mod pool;
mod ports;
mod socket;
mod state;
mod store;
mod sysctl;
mod veth;

pub use attachment::Attachment;
pub use bridge::{
    BridgeNetwork, DefaultRoute, Device, Endpoint, Families, Neighbours, Reach, Route,
};
pub use cidr::Cidr;
pub use device::{HostDevice, Moved};
pub use egress::{Allow, Egress, EgressProtocol, Refused};
pub use error::{Error, ErrorKind, Result};
pub use host::{Host, Reconciled};
pub use mac::Mac;
pub use name::{LinkName, NetworkName};
pub use netns::Netns;
pub use pool::{Pool, free_subnet, local_subnet};
pub use ports::{Port, Protocol};
pub use veth::{Connected, Veth};
