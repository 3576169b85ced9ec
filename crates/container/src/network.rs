//! Networks of a container: what it is connected to, as data.
//!
//! Kernel objects: none here; [`attached`] makes them for each launch, between the container's new namespace and its
//! payload. Invariant: the host's network is not changed by a container that names no network.

mod attached;
mod cni;
mod left;
mod names;
mod pinned;
mod planned;

use std::net::IpAddr;

use ampoule_net::{BridgeNetwork, Egress, Endpoint, HostDevice, Port, User, Veth};
use ampoule_ns::{Namespace, Setting, Target};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::container::Container;

pub(crate) use attached::{Attached, Attaching};
pub use cni::CniNetwork;
pub(crate) use left::Left;
pub(crate) use names::{later_file, name_files};
pub use pinned::PinnedNetwork;
pub(crate) use planned::{Planned, plan};

/// What a container is connected to (feature `net`).
///
/// ```
/// use ampoule::{Container, Network};
///
/// let web = Container::host_view().network(Network::bridge("web")?).publish("8080:80".parse()?);
/// # Ok::<(), ampoule::net::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// To nothing: a namespace of its own with `lo`, which is up. The default of all but [`Container::bare`].
    None,
    /// To what the host is: its namespace.
    Host,
    /// As the processes of an existing namespace are. One of a user namespace that the caller does not own cannot be
    /// joined.
    Join(Target),
    /// To a bridge of the host that all containers share which name the network. Needs `CAP_NET_ADMIN`.
    Bridge {
        /// The network.
        network: BridgeNetwork,
        /// The container's end; otherwise `eth0`, `eth1` … with free addresses, and the first of them leads out.
        endpoint: Option<Endpoint>,
    },
    /// To the caller, who does with the host's end what it likes. Needs `CAP_NET_ADMIN`.
    Veth(Veth),
    /// By a device of the host, which the container has as long as it runs. Needs `CAP_NET_ADMIN`.
    Device(HostDevice),
    /// To what the caller reaches, by a program that carries it over the caller's sockets: `pasta` (package passt), or
    /// else `slirp4netns`, which cannot publish ports. Needs no privilege, but `/dev/net/tun`. The program ends with the
    /// container's handle, so that a container which outlives this process cannot have it; and it is the only network.
    User(User),
    /// To a network of the Container Network Interface: plugins add the container, and delete it when its handle goes.
    /// Needs what the plugins need. A container that outlives this process cannot have it.
    Cni(CniNetwork),
}

impl Network {
    /// A bridge network of this name, as [`BridgeNetwork::new`] describes it.
    ///
    /// # Errors
    /// [`InvalidName`](ampoule_net::ErrorKind::InvalidName).
    pub fn bridge(name: &str) -> ampoule_net::Result<Self> {
        BridgeNetwork::new(name).map(Self::from)
    }

    /// A pair of links whose end on the host has this name; the container's is `eth0`.
    ///
    /// # Errors
    /// [`InvalidName`](ampoule_net::ErrorKind::InvalidName).
    pub fn veth(host_name: &str) -> ampoule_net::Result<Self> {
        Veth::new(host_name, "eth0").map(Self::Veth)
    }

    /// A device of the host, which keeps its name.
    ///
    /// # Errors
    /// [`InvalidName`](ampoule_net::ErrorKind::InvalidName).
    pub fn device(name: &str) -> ampoule_net::Result<Self> {
        HostDevice::new(name).map(Self::Device)
    }

    /// That of an ordinary user, as `eth0`.
    ///
    /// # Errors
    /// None with this name.
    pub fn user() -> ampoule_net::Result<Self> {
        User::new("eth0").map(Self::User)
    }

    /// That of a running container. The process is found by its id when the plan is launched; the container has to
    /// run then.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        Self::Join(Target::Pid(container.pid()))
    }

    /// What becomes of the container's network namespace.
    fn setting(&self) -> Setting {
        match self {
            Self::Host => Setting::Host,
            Self::Join(target) => Setting::Join(target.clone()),
            _ => Setting::New,
        }
    }

    /// Whether something is attached to the container's own namespace.
    fn is_attached(&self) -> bool {
        !matches!(self, Self::None | Self::Host | Self::Join(_))
    }
}

impl From<BridgeNetwork> for Network {
    fn from(network: BridgeNetwork) -> Self {
        Self::Bridge { network, endpoint: None }
    }
}

impl From<Veth> for Network {
    fn from(veth: Veth) -> Self {
        Self::Veth(veth)
    }
}

impl From<HostDevice> for Network {
    fn from(device: HostDevice) -> Self {
        Self::Device(device)
    }
}

impl From<User> for Network {
    fn from(user: User) -> Self {
        Self::User(user)
    }
}

impl From<CniNetwork> for Network {
    fn from(network: CniNetwork) -> Self {
        Self::Cni(network)
    }
}

/// A builder's networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Networking {
    pub(crate) networks: Vec<Network>,
    pub(crate) ports: Vec<Port>,
    pub(crate) egress: Option<Egress>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) hosts: Vec<(IpAddr, String)>,
    /// The name in a UTS namespace that is joined.
    pub(crate) hostname: Option<String>,
    /// The addresses of a network that is joined.
    pub(crate) own: Vec<IpAddr>,
}

impl Builder {
    /// Connects it to a network; several of [`Network::Bridge`] and the like are possible. Where a root of its own is
    /// made, `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` say what belongs to it, unless a
    /// [file](Builder::file) or a mount does. Its own name there is each address that the network gave it, or 127.0.1.1
    /// where that is not known ([`Network::User`]).
    #[must_use]
    pub fn network(mut self, network: impl Into<Network>) -> Self {
        let network = network.into();
        let setting = network.setting();
        self.networking.networks.push(network);
        self.namespace(Namespace::Net, setting)
    }

    /// Publishes a port on the host, of the first network that can.
    #[must_use]
    pub fn publish(mut self, port: Port) -> Self {
        self.networking.ports.push(port);
        self
    }

    /// Refuses every packet that leaves the container but those to these destinations, whatever network they would take.
    /// A payload with `CAP_NET_ADMIN` over its network can lift it; by default none has.
    #[must_use]
    pub fn egress(mut self, egress: Egress) -> Self {
        self.networking.egress = Some(egress);
        self
    }

    /// Adds a name server; without any, those of the host that the container can reach.
    #[must_use]
    pub fn dns(mut self, server: IpAddr) -> Self {
        self.networking.dns.push(server);
        self
    }

    /// Adds a domain in which short names are looked up (resolv.conf(5)).
    #[must_use]
    pub fn dns_search(mut self, domain: impl Into<String>) -> Self {
        self.networking.dns_search.push(domain.into());
        self
    }

    /// Adds a line to `/etc/hosts` (hosts(5)).
    #[must_use]
    pub fn host_entry(mut self, address: IpAddr, name: impl Into<String>) -> Self {
        self.networking.hosts.push((address, name.into()));
        self
    }
}
