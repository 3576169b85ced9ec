//! Containers that share their network, their host name and System V IPC.
//!
//! Kernel objects: one network, one ipc and one uts namespace, held by descriptors without a process; for an ordinary
//! user also the user namespace that they belong to; a control group above those of the containers. Invariant: when
//! the pod is dropped its containers end, the last one that was started first, and nothing of it is left.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use ampoule_cgroups::{Group, GroupPath, Hierarchies, Life, Limits, Place, owned_name, reconcile};
use ampoule_net::{Attachment, Egress, Port};
use ampoule_ns::{Namespace, Setting, Target, User};

use crate::builder::Builder;
use crate::command::Command;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};
use crate::exit::ExitStatus;
use crate::host::{self, Privilege};
use crate::network::{Attached, Network, Networking, PinnedNetwork};
use crate::placement::ACCOUNTED;

/// Where groups of pods are made in the caller's group.
const PLACE: &str = "ampoule-pod";

/// What a pod is: pure data.
#[derive(Clone, Debug, PartialEq)]
pub struct PodBuilder {
    builder: Builder,
    limits: Limits,
}

/// Namespaces that several containers share, and these containers (feature `net`).
///
/// ```no_run
/// use ampoule::{Container, Network, Pod};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut pod = Pod::builder().hostname("shop").network(Network::bridge("web")?).create()?;
/// let (database, server) = (Container::from_rootfs("/srv/db"), Container::from_rootfs("/srv/web"));
/// pod.start(pod.join(database).command("db"))?;
/// pod.start(pod.join(server).command("server"))?; // reaches the first one at 127.0.0.1
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Pod {
    containers: Vec<Container>,
    namespaces: Vec<(Namespace, OwnedFd)>,
    networks: Attached,
    names: Networking,
    group: Option<(Group, String)>,
}

impl Pod {
    /// A pod without network, limits and containers.
    #[must_use]
    pub fn builder() -> PodBuilder {
        let new = [Namespace::Net, Namespace::Ipc, Namespace::Uts, Namespace::Pid];
        let fresh = |builder: Builder, kind| builder.namespace(kind, Setting::New);
        let builder = new.into_iter().fold(Container::bare(), fresh);
        PodBuilder { builder: builder.hostname("ampoule"), limits: Limits::default() }
    }

    /// A container of the pod: it joins the namespaces, and its group is below the pod's. The plan of it has to be made
    /// while the pod is there. For an ordinary user its payload is user 0 of the pod, which is the caller, unless it says
    /// otherwise.
    #[must_use]
    pub fn join(&self, builder: Builder) -> Builder {
        let own = std::process::id();
        let join = |builder: Builder, (kind, fd): &(Namespace, OwnedFd)| {
            let path = PathBuf::from(format!("/proc/{own}/fd/{}", fd.as_raw_fd()));
            builder.namespace(*kind, Setting::Join(Target::Path(path)))
        };
        let mut builder = self.namespaces.iter().fold(builder, join);
        let has_user = self.namespaces.iter().any(|(kind, _)| *kind == Namespace::User);
        if has_user && builder.user.is_none() {
            builder = builder.user(User::ids(0, 0));
        }
        let names = std::mem::replace(&mut builder.networking, self.names.clone());
        builder.networking.hosts.extend(names.hosts);
        match &self.group {
            Some((_, path)) => builder.cgroup_parent(path.as_str()),
            None => builder,
        }
    }

    /// Starts a container that ends with the pod; `command` is one of [`Pod::join`].
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn start(&mut self, command: Command) -> Result<&mut Container, Error> {
        let container = command.spawn()?;
        self.containers.push(container);
        let missing = || Error::new(ErrorKind::System, Stage::Running);
        self.containers.last_mut().ok_or_else(missing)
    }

    /// Its containers, in the order in which they were started.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter()
    }

    /// As [`Pod::containers`], to wait for them.
    pub fn containers_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        self.containers.iter_mut()
    }

    /// Stops its containers, the last one that was started first: the stop signal, then after the grace period of each
    /// `SIGKILL`. The statuses are in the order of the start.
    ///
    /// # Errors
    /// As [`Container::stop`]; the others are stopped all the same.
    pub fn stop(&mut self, grace: Duration) -> Result<Vec<ExitStatus>, Error> {
        let stopped: Vec<_> =
            self.containers.iter_mut().rev().map(|container| container.stop(grace)).collect();
        stopped.into_iter().rev().collect()
    }

    /// Its ends of bridge networks.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.networks.attachments()
    }

    /// The addresses that bridge networks and plugins gave it.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.networks.addresses()
    }

    /// What its egress policy has refused.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] without a policy.
    pub fn egress_refused(&self) -> Result<ampoule_net::Refused, Error> {
        self.networks.egress_refused()
    }

    /// As [`Container::pin_network`].
    ///
    /// # Errors
    /// As there.
    pub fn pin_network(&self, name: &str) -> Result<PinnedNetwork, Error> {
        let net = self.namespaces.iter().find(|(kind, _)| *kind == Namespace::Net);
        let missing = || Error::new(ErrorKind::Network, Stage::Running);
        PinnedNetwork::new(net.ok_or_else(missing)?.1.as_fd(), name)
    }

    /// The group above those of its containers, if the pod has limits.
    #[must_use]
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref().map(|(group, _)| group)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        while let Some(last) = self.containers.pop() {
            drop(last);
        }
        self.networks.detach();
        self.namespaces.clear();
        if let Some((group, _)) = self.group.take() {
            crate::grouped::end_group(group);
        }
    }
}

impl PodBuilder {
    /// Connects it to a network, as [`Builder::network`].
    #[must_use]
    pub fn network(mut self, network: impl Into<Network>) -> Self {
        self.builder = self.builder.network(network);
        self
    }

    /// Publishes a port, as [`Builder::publish`].
    #[must_use]
    pub fn publish(mut self, port: Port) -> Self {
        self.builder = self.builder.publish(port);
        self
    }

    /// What its containers may reach, as [`Builder::egress`].
    #[must_use]
    pub fn egress(mut self, egress: Egress) -> Self {
        self.builder = self.builder.egress(egress);
        self
    }

    /// Adds a name server for its containers, as [`Builder::dns`].
    #[must_use]
    pub fn dns(mut self, server: IpAddr) -> Self {
        self.builder = self.builder.dns(server);
        self
    }

    /// Adds a line to `/etc/hosts` of its containers, as [`Builder::host_entry`].
    #[must_use]
    pub fn host_entry(mut self, address: IpAddr, name: impl Into<String>) -> Self {
        self.builder = self.builder.host_entry(address, name);
        self
    }

    /// The host name of its containers, `ampoule` unless set.
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.builder = self.builder.hostname(name);
        self
    }

    /// A kernel parameter of its namespaces, as [`Builder::sysctl`].
    #[must_use]
    pub fn sysctl(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.builder = self.builder.sysctl(name, value);
        self
    }

    /// Limits of all its containers together; each can have its own as well.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes the namespaces, connects them to the networks, and makes the group. The process that does it has ended
    /// when this returns.
    ///
    /// # Errors
    /// As [`Command::spawn`] and [`ErrorKind::Limits`]; then nothing is left.
    pub fn create(self) -> Result<Pod, Error> {
        let mut kinds = vec![Namespace::Net, Namespace::Ipc, Namespace::Uts];
        let mut builder = self.builder;
        if builder.networking.networks.is_empty() {
            builder = builder.network(Network::None);
        }
        if host::privilege() == Privilege::None {
            // Its one id is 0, which roots and init need.
            builder = builder.namespace(Namespace::User, Setting::New).user(User::ids(0, 0));
            kinds.push(Namespace::User);
        }
        let names = Networking {
            // Its containers are connected as the pod is.
            ports: Vec::new(),
            egress: None,
            networks: joined(&builder.networking.networks),
            hostname: builder.hostname.clone(),
            ..builder.networking.clone()
        };
        let group = (!self.limits.is_empty()).then(|| make_group(&self.limits)).transpose();
        let group = group.map_err(|error| Error::from_cgroups(Stage::Launch, error))?;
        let (containers, namespaces) = (Vec::new(), Vec::new());
        // From here on its end takes everything away.
        let mut pod = Pod { containers, namespaces, networks: Attached::default(), names, group };
        let mut maker = builder.idle()?;
        for kind in kinds {
            pod.namespaces.push((kind, maker.namespace(kind)?));
        }
        pod.networks = std::mem::take(&mut maker.networks);
        pod.names.own = pod.networks.addresses();
        Ok(pod)
    }
}

/// What its containers are connected to, so that they have files with names where the pod has a network.
fn joined(networks: &[Network]) -> Vec<Network> {
    let connected = networks.iter().any(|network| *network != Network::None);
    connected.then_some(Network::Join(Target::AtLaunch)).into_iter().collect()
}

/// A group for the groups of containers, and the path that leads to it in each hierarchy.
fn make_group(limits: &Limits) -> ampoule_cgroups::Result<(Group, String)> {
    let hierarchies = Hierarchies::detect()?;
    let mut all = hierarchies.iter();
    let (place, path) = match (all.next(), all.next()) {
        // In the only hierarchy, that of v2, a group with processes cannot hand on controllers: one is found that can.
        (Some(only), None) => {
            let builder = Container::bare().limits(limits.clone());
            let place = crate::placement::choose(&hierarchies, &builder, ACCOUNTED)?;
            let path = place.paths().next().and_then(|path| path.strip_prefix(&only.mount).ok());
            let path = format!("/{}", path.unwrap_or(PLACE.as_ref()).display());
            (place, path)
        }
        _ => (Place::open(&hierarchies, &GroupPath::new(PLACE)?)?, PLACE.to_owned()),
    };
    // What killed programs left, with the groups of the containers in it; who cannot clear it now does so next time.
    let _left = reconcile(&place).is_err();
    // A container of it may outlive this process; its group goes with the first pod after all have ended.
    let name = owned_name(Some(&crate::id::fresh()), Life::Detached)?;
    let group = Group::create_in(&place, &name, limits, ACCOUNTED)?;
    let path = format!("{}/{name}", path.trim_end_matches('/'));
    Ok((group, path))
}
