//! What is made for a container's networks, and taken away with it.
//!
//! Kernel objects: those of `ampoule-net` for one container. Invariant: it is all there before the payload runs, or
//! the launch fails and nothing is; it goes when the container has ended.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use ampoule_init::Refused;
use ampoule_net::{
    Attachment, Cidr, Connected, Egress, Error as NetError, Host, Moved, Netns, UserNetwork, cni,
    prepared,
};

use super::names::HOSTS_FILE;
use super::{Network, Planned};
use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};

/// The host's part of one launch.
#[derive(Debug)]
pub(crate) struct Attaching<'plan> {
    plan: &'plan Planned,
    id: &'plan str,
    attached: Attached,
    failed: Option<Error>,
}

/// What was made; it is taken away when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    held: Vec<Held>,
    /// Where something has to be asked or done in the namespace later.
    netns: Option<Mutex<Netns>>,
}

#[derive(Debug)]
enum Held {
    Bridge(Attachment),
    Veth(Connected),
    Device(Moved),
    /// It ends with this.
    User(#[expect(dead_code, reason = "its end is what counts")] UserNetwork),
    /// The plugins delete with this.
    Cni(Box<cni::Added>),
}

impl<'plan> Attaching<'plan> {
    pub(crate) fn new(plan: &'plan Planned, id: &'plan str) -> Self {
        Self { plan, id, attached: Attached::default(), failed: None }
    }

    /// Attaches everything, while the first process waits.
    pub(crate) fn attach(&mut self, sent: &mut Vec<(u32, OwnedFd)>) -> Result<(), Refused> {
        self.try_attach(sent).map_err(|error| {
            self.failed = Some(error);
            Refused
        })
    }

    fn try_attach(&mut self, sent: &mut Vec<(u32, OwnedFd)>) -> Result<(), Error> {
        let position = sent.iter().position(|(what, _)| *what == HOSTS_FILE);
        let file = position.map(|position| sent.swap_remove(position).1);
        let own = self.connect_all(sent).map_err(|error| Error::from_net(Stage::Setup, error))?;
        let (Some(file), Some(hosts)) = (file, &self.plan.hosts) else { return Ok(()) };
        let failed = |error| Error::io(Stage::Setup, "write", &error).about("/etc/hosts");
        hosts.write(file, &own).map_err(failed)
    }

    /// Makes what the networks need; gives the container's addresses.
    fn connect_all(&mut self, sent: &mut Vec<(u32, OwnedFd)>) -> Result<Vec<IpAddr>, NetError> {
        let mut netns = prepared::handed_over(sent)?;
        let mut own = Vec::new();
        // Before there is a way out.
        self.plan.egress.iter().try_for_each(|egress| egress.enforce(&mut netns))?;
        for network in &self.plan.networks {
            let held = connect(network, self.id, &mut netns);
            // Also what was made before a failure: a device goes back through its namespace.
            match held {
                Ok(held) => {
                    own.extend(held.iter().flat_map(|held| held.addresses_by(network)));
                    self.attached.held.extend(held);
                }
                Err(error) => {
                    self.attached.keep(netns);
                    return Err(error);
                }
            }
        }
        let has_device = self.attached.held.iter().any(|held| matches!(held, Held::Device(_)));
        if has_device || self.plan.egress.is_some() {
            self.attached.keep(netns);
        }
        Ok(own)
    }

    /// The reason of a launch that failed here.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
        self.failed.take().unwrap_or(error)
    }

    pub(crate) fn attached(self) -> Attached {
        self.attached
    }
}

/// Makes what one network needs.
fn connect(network: &Network, id: &str, netns: &mut Netns) -> Result<Option<Held>, NetError> {
    Ok(match network {
        Network::Bridge { network, endpoint: Some(endpoint) } => {
            Some(Held::Bridge(Host::new()?.attach(network, endpoint, netns)?))
        }
        Network::Veth(veth) => Some(Held::Veth(veth.connect(netns)?)),
        Network::Device(device) => Some(Held::Device(device.move_into(netns)?)),
        Network::User(user) => Some(Held::User(user.start(netns)?)),
        Network::Cni(network) => Some(Held::Cni(Box::new(network.add(id, netns)?))),
        // The plan gives every bridge its endpoint.
        Network::Bridge { endpoint: None, .. } | Network::None => None,
        Network::Host | Network::Join(_) => None,
    })
}

impl Held {
    /// The addresses that it was given.
    fn given(&self) -> Vec<IpAddr> {
        match self {
            Self::Bridge(attachment) => attachment.addresses().to_vec(),
            Self::Cni(added) => {
                added.answer().addresses().iter().map(|it| it.address.address()).collect()
            }
            Self::Veth(_) | Self::Device(_) | Self::User(_) => Vec::new(),
        }
    }

    /// All that the container has by a network.
    fn addresses_by(&self, network: &Network) -> Vec<IpAddr> {
        match (self, network) {
            (Self::Device(moved), _) => moved.addresses().iter().map(Cidr::address).collect(),
            (Self::Veth(_), Network::Veth(veth)) => {
                veth.addresses().iter().map(Cidr::address).collect()
            }
            _ => self.given(),
        }
    }
}

impl Attached {
    fn keep(&mut self, netns: Netns) {
        self.netns = Some(Mutex::new(netns));
    }

    /// Takes everything away; what cannot be is taken by the next `reconcile`.
    pub(crate) fn detach(&mut self) {
        for held in self.held.drain(..).rev() {
            if let (Held::Device(moved), Some(netns)) = (&held, &self.netns) {
                let mut netns = netns.lock().unwrap_or_else(PoisonError::into_inner);
                // The container may have deleted it.
                let _gone = moved.give_back(&mut netns).is_err();
            }
        }
        self.netns = None;
    }

    /// Leaves everything to a container that goes on alone.
    pub(crate) fn leave(&mut self) {
        for held in self.held.drain(..) {
            match held {
                Held::Bridge(attachment) => attachment.leave(),
                Held::Veth(connected) => connected.leave(),
                // These go with the handle: nobody else would end them.
                Held::Device(_) | Held::User(_) | Held::Cni(_) => {}
            }
        }
        self.netns = None;
    }

    /// The ends of bridge networks, in the order of the networks.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.held.iter().filter_map(|held| match held {
            Held::Bridge(attachment) => Some(attachment),
            _ => None,
        })
    }

    /// What bridge networks and plugins gave.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.held.iter().flat_map(Held::given).collect()
    }

    /// What the egress policy refused.
    pub(crate) fn egress_refused(&self) -> Result<ampoule_net::Refused, Error> {
        let off = || Error::new(ErrorKind::Network, Stage::Running).about("no egress policy");
        let netns = self.netns.as_ref().ok_or_else(off)?;
        let mut netns = netns.lock().unwrap_or_else(PoisonError::into_inner);
        Egress::refused(&mut netns).map_err(|error| Error::from_net(Stage::Running, error))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detach();
    }
}

impl Container {
    /// Its ends of bridge networks, in the order in which the networks were named; none once it has ended.
    pub fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.networks.attachments()
    }

    /// The addresses that bridge networks and plugins gave it.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.networks.addresses()
    }

    /// What its [egress policy](crate::Builder::egress) has refused.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] without a policy, when the container has ended, or when the payload took it away.
    pub fn egress_refused(&self) -> Result<ampoule_net::Refused, Error> {
        self.networks.egress_refused()
    }
}

impl Error {
    /// An error of the network crate.
    pub(crate) fn from_net(stage: Stage, error: NetError) -> Self {
        use ampoule_net::ErrorKind as Net;
        let kind = match error.kind() {
            Net::Denied => ErrorKind::PermissionDenied,
            Net::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Network,
        };
        let (errno, hint) = (error.errno(), error.hint());
        let made = Self::new(kind, stage).about(error.to_string()).caused_by(error);
        let made = match errno {
            Some(errno) => made.with_errno(rustix::io::Errno::from_raw_os_error(errno)),
            None => made,
        };
        match hint {
            Some(hint) => made.with_hint(hint),
            None => made,
        }
    }
}
