//! The networks of a plan: checked, with a name for every link.
//!
//! Invariant: what cannot be is a problem of the settings, found without asking the kernel.

use std::fmt::Display;
use std::path::Path;

use ampoule_init::steps::launch;
use ampoule_init::{Fd, Slots, Step};
use ampoule_net::{DefaultRoute, Egress, Endpoint, Port, Reach, prepared};
use ampoule_ns::{Namespace, NamespaceSet, Setting};
use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{Attaching, Network, Networking};
use crate::builder::{Builder, Origin};
use crate::error::Problem;

/// There only with IPv6.
const ACCEPT_RA: &str = "/proc/sys/net/ipv6/conf/default/accept_ra";

/// What is attached at each launch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planned {
    pub(super) networks: Vec<Network>,
    pub(super) egress: Option<Egress>,
    ipv6: Ipv6,
}

/// Whether router advertisements have to be refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ipv6 {
    #[default]
    Absent,
    Present,
}

impl Planned {
    /// Whether the host has a part in launches.
    fn is_needed(&self) -> bool {
        !self.networks.is_empty() || self.egress.is_some()
    }

    /// The steps of the first process, up to where the host's part is done.
    pub(crate) fn steps(&self, proc: Fd, slots: &mut Slots) -> Vec<Step> {
        if !self.is_needed() {
            return Vec::new();
        }
        let refuse =
            (self.ipv6 == Ipv6::Present).then(|| prepared::refuse_router_advertisements(proc));
        let mut steps: Vec<Step> = refuse.into_iter().collect();
        steps.extend(prepared::hand_over(proc, slots));
        steps.push(launch::wait_for_host());
        steps
    }

    /// For one launch.
    pub(crate) fn begin(&self) -> Attaching<'_> {
        Attaching::new(self)
    }
}

/// Checks a builder's networks.
pub(crate) fn plan(
    builder: &Builder,
    namespaces: &NamespaceSet,
    problems: &mut Vec<Problem>,
) -> Planned {
    let networking = &builder.networking;
    let attached: Vec<Network> =
        networking.networks.iter().filter(|network| network.is_attached()).cloned().collect();
    let egress = networking.egress.clone();
    if networking.networks.len() > 1 && attached.len() < networking.networks.len() {
        let reason = "none, the host's or a joined one is not combined with others";
        problems.push(Problem::new("network", reason));
    }
    let own = *namespaces.get(Namespace::Net) == Setting::New;
    let others = [("network", !attached.is_empty()), ("egress", egress.is_some())];
    for (setting, _) in others.iter().filter(|(_, wanted)| *wanted && !own) {
        problems.push(Problem::new(setting, "it needs a network namespace of its own"));
    }
    problems.extend(super::names::problems(networking));
    let mut planned = Planned { networks: attached, egress, ipv6: Ipv6::Absent };
    planned.networks = resolved(planned.networks, networking, problems);
    if planned.is_needed() && accepts_advertisements(builder) {
        planned.ipv6 = Ipv6::Present;
    }
    planned
}

/// Gives the links their names, and the published ports to the first network that takes them.
fn resolved(
    networks: Vec<Network>,
    networking: &Networking,
    problems: &mut Vec<Problem>,
) -> Vec<Network> {
    let mut ports = networking.ports.as_slice();
    let mut way_out = DefaultRoute::Set;
    let mut resolved = Vec::new();
    for (index, network) in networks.into_iter().enumerate() {
        resolved.push(match network {
            Network::Bridge { network, endpoint } => {
                let made = match endpoint {
                    Some(endpoint) => Ok(endpoint),
                    None => Endpoint::new(&format!("eth{index}"))
                        .map(|endpoint| endpoint.default_route(way_out)),
                };
                if network.leads() == Reach::Outside {
                    way_out = DefaultRoute::Leave;
                }
                let Some(endpoint) = keep(made, problems) else { continue };
                let endpoint = std::mem::take(&mut ports).iter().fold(endpoint, publish);
                keep(network.check().and_then(|()| endpoint.check()), problems);
                Network::Bridge { network, endpoint: Some(endpoint) }
            }
            other => other,
        });
    }
    if let Some(port) = ports.first() {
        let reason = format!("{port}: there is no network that can publish a port");
        problems.push(Problem::new("publish", reason));
    }
    resolved
}

fn publish(endpoint: Endpoint, port: &Port) -> Endpoint {
    endpoint.publish(*port)
}

/// Keeps a value, or notes why there is none.
fn keep<T>(made: Result<T, impl Display>, problems: &mut Vec<Problem>) -> Option<T> {
    made.map_err(|error| problems.push(Problem::new("network", error.to_string()))).ok()
}

/// Whether there is IPv6, and a procfs through which its settings can be written.
fn accepts_advertisements(builder: &Builder) -> bool {
    let writable =
        || statvfs(ACCEPT_RA).is_ok_and(|mount| !mount.f_flag.contains(StatVfsMountFlags::RDONLY));
    // A root of its own comes with a procfs of its own.
    if builder.origin == Origin::Bare { writable() } else { Path::new(ACCEPT_RA).exists() }
}
