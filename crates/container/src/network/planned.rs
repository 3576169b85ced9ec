//! The networks of a plan: checked, with a name for every link.
//!
//! Invariant: what cannot be is a problem of the settings, found without asking the kernel.

use std::ffi::{CStr, OsStr};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ampoule_init::steps::{file, launch};
use ampoule_init::{Fd, Slot, Slots, Step};
use ampoule_net::{DefaultRoute, Egress, Endpoint, Port, Reach, prepared};
use ampoule_ns::{Namespace, NamespaceSet, Setting};
use rustix::fs::{StatVfsMountFlags, statvfs};

use super::names::{self, Hosts};
use super::{Attaching, Network, Networking};
use crate::builder::Builder;
use crate::container::OnDrop;
use crate::error::Problem;
use crate::origin::{Defaults, Origin, WithHost};

/// No link takes router advertisements, and every user of the container may serve every port: there is no other user's
/// program to stand in for.
const SYSCTLS: [(&CStr, &[u8]); 2] = [
    (c"sys/net/ipv6/conf/default/accept_ra", b"0"),
    (c"sys/net/ipv4/ip_unprivileged_port_start", b"0"),
];

/// What is attached at each launch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planned {
    pub(super) networks: Vec<Network>,
    pub(super) egress: Option<Egress>,
    /// What `/etc/hosts` says when the addresses are known.
    pub(super) hosts: Option<Hosts>,
    /// Files below `/proc/sys/net` with what is written to them.
    sysctls: Vec<(&'static CStr, &'static [u8])>,
}

impl Planned {
    /// Whether the host has a part in launches.
    fn is_needed(&self) -> bool {
        !self.networks.is_empty() || self.egress.is_some()
    }

    /// Settings of the new namespace that are the default; those of the caller come after.
    pub(crate) fn sysctls(&self, proc: Fd) -> impl Iterator<Item = Step> + '_ {
        self.sysctls.iter().map(move |(path, value)| file::write_existing(proc, path, value))
    }

    /// The last steps of the first process's preparation, up to where the host's part is done.
    pub(crate) fn steps(&self, proc: Fd, hosts: Option<Slot>, slots: &mut Slots) -> Vec<Step> {
        if !self.is_needed() {
            return Vec::new();
        }
        let mut steps = prepared::hand_over(proc, slots);
        let send = |file| [launch::send_fd(names::HOSTS_FILE, file), file::close(file)];
        steps.extend(hosts.into_iter().flat_map(send));
        steps.push(launch::wait_for_host());
        steps
    }

    /// For one launch.
    pub(crate) fn begin<'plan>(&'plan self, id: &'plan str) -> Attaching<'plan> {
        Attaching::new(self, id)
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
        problems.push(Problem::new(*setting, "it needs a network namespace of its own"));
    }
    problems.extend(names::problems(networking));
    problems.extend(carried(builder));
    let networks = resolved(attached, networking, problems);
    let hosts = names::later_file(builder).map(|_| Hosts::of(builder));
    let mut planned = Planned { networks, egress, hosts, sysctls: Vec::new() };
    let usual = builder.defaults == Defaults::Usual;
    if own && usual && (planned.is_needed() || !networking.networks.is_empty()) {
        planned.sysctls =
            SYSCTLS.into_iter().filter(|(path, _)| can_be_set(builder, path)).collect();
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
            Network::User(user) => {
                let ports = std::mem::take(&mut ports);
                Network::User(ports.iter().fold(user, |user, port| user.publish(*port)))
            }
            Network::Cni(network) => {
                let network = network.named(&format!("eth{index}"));
                let network = match network.publishes() {
                    true => network.publish(std::mem::take(&mut ports)),
                    false => network,
                };
                keep(network.check(), problems);
                Network::Cni(network)
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

/// What cannot be for networks that live only with this process's handle.
fn carried(builder: &Builder) -> Vec<Problem> {
    let networks = &builder.networking.networks;
    let user = networks.iter().any(|network| matches!(network, Network::User(_)));
    let plugins = networks.iter().any(|network| matches!(network, Network::Cni(_)));
    let outlives = builder.on_drop == OnDrop::Detach || builder.with_host == WithHost::Survives;
    let mut problems = Vec::new();
    if user && networks.len() > 1 {
        problems.push(Problem::new("network", "that of a user is not combined with others"));
    }
    if (user || plugins) && outlives {
        let reason =
            "that of a user or of plugins ends with this process, and the container does not";
        problems.push(Problem::new("network", reason));
    }
    problems
}

fn publish(endpoint: Endpoint, port: &Port) -> Endpoint {
    endpoint.publish(*port)
}

/// Keeps a value, or notes why there is none.
fn keep<T>(made: Result<T, impl Display>, problems: &mut Vec<Problem>) -> Option<T> {
    made.map_err(|error| problems.push(Problem::new("network", error.to_string()))).ok()
}

/// Whether the setting is there, and a procfs through which it can be written.
fn can_be_set(builder: &Builder, path: &CStr) -> bool {
    let path = Path::new("/proc").join(OsStr::from_bytes(path.to_bytes()));
    let writable =
        || statvfs(&path).is_ok_and(|mount| !mount.f_flag.contains(StatVfsMountFlags::RDONLY));
    // A root of its own comes with a procfs of its own.
    if builder.origin == Origin::Bare { writable() } else { path.exists() }
}
