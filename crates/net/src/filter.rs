//! The rules of networks and of published ports on the host.
//!
//! Kernel objects: nftables tables `ampoule_NETWORK`, `ampoule_LINK` for a container with published ports, and
//! `ampoule_guard`. Invariant: each table follows from the state alone, so that making it again changes nothing.

use std::net::{IpAddr, Ipv4Addr};

use crate::bridge::Reach;
use crate::cidr::Cidr;
use crate::error::Result;
use crate::name::{LinkName, NetworkName};
use crate::nft::expression::{Side, Way};
use crate::nft::{Chain, ChainKind, Hook, Policy, Rule, Table, create, delete, replace};
use crate::ports::Port;
use crate::socket::Socket;
use crate::state::{Lease, Record, State};

/// Priorities: before connections are tracked, destinations are changed, packets filtered, sources changed.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;

/// The table that keeps the host from forwarding for others.
const GUARD: &str = "ampoule_guard";

fn chain(
    name: &'static str,
    kind: ChainKind,
    hook: Hook,
    priority: i32,
    rules: Vec<Rule>,
) -> Chain {
    Chain { name, kind, hook, priority, policy: Policy::Accept, rules }
}

/// 127.0.0.0/8.
fn loopback() -> Option<Cidr> {
    Cidr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8).ok()
}

fn table_of(network: &NetworkName) -> String {
    // A dot cannot be in the name of a lease's table, a network's has one.
    format!("ampoule_net.{network}")
}

fn table_of_link(link: &LinkName) -> String {
    format!("ampoule_{link}")
}

/// Makes a network's table.
pub(crate) fn protect(record: &Record) -> Result<()> {
    replace(&mut Socket::netfilter()?, network(record))
}

/// Deletes it.
pub(crate) fn unprotect(network: &NetworkName) -> Result<()> {
    delete(&mut Socket::netfilter()?, &table_of(network))
}

/// Makes the table of a container's published ports.
pub(crate) fn publish(link: &LinkName, lease: &Lease) -> Result<()> {
    // The link's name is random.
    create(&mut Socket::netfilter()?, ports(link, lease))
}

/// Deletes it.
pub(crate) fn unpublish(link: &LinkName) -> Result<()> {
    delete(&mut Socket::netfilter()?, &table_of_link(link))
}

/// Makes the table that forwards for networks only, if the host did not forward before; deletes it otherwise.
pub(crate) fn guard(state: &State) -> Result<()> {
    let changed = |name: &str| state.sysctls.contains_key(name);
    let families = [
        (changed("net/ipv4/ip_forward"), IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (changed("net/ipv6/conf/all/forwarding"), IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)),
    ];
    let mut rules = Vec::new();
    for bridge in state.bridges() {
        rules.push(Rule::new().through(Way::In, bridge).accept());
        rules.push(Rule::new().through(Way::Out, bridge).accept());
    }
    let guarded: Vec<_> = families.iter().filter(|(changed, _)| *changed).collect();
    rules.extend(guarded.iter().map(|(_, family)| Rule::new().family_of(*family).drop()));
    let mut socket = Socket::netfilter()?;
    if guarded.is_empty() {
        return delete(&mut socket, GUARD);
    }
    let forward = chain("forward", ChainKind::Filter, Hook::Forward, FILTER, rules);
    replace(&mut socket, Table { name: GUARD.to_owned(), chains: vec![forward] })
}

/// The rules of a network.
fn network(record: &Record) -> Table {
    let bridge = record.settings.device.name();
    let mut raw = Vec::new();
    // The bridge routes 127.0.0.0/8 for published ports; nobody in a container may send there.
    raw.extend(loopback().map(|loopback| {
        Rule::new().through(Way::In, bridge).address(Side::Destination, loopback).drop()
    }));
    let mut postrouting = Vec::new();
    for subnet in &record.subnets {
        if record.settings.reach == Reach::Outside {
            let leaving = Rule::new().address(Side::Source, *subnet).not_through(Way::Out, bridge);
            postrouting.push(leaving.masquerade());
        }
        // To a published port of a neighbour or its own: the answer has to come back this way.
        let hairpin = Rule::new().address(Side::Source, *subnet).through(Way::Out, bridge);
        postrouting.push(hairpin.redirected().masquerade());
    }
    // From 127.0.0.1 to a published port.
    postrouting.extend(loopback().map(|loopback| {
        Rule::new().address(Side::Source, loopback).through(Way::Out, bridge).masquerade()
    }));
    let chains = vec![
        chain("raw", ChainKind::Filter, Hook::Prerouting, RAW, raw),
        chain("forward", ChainKind::Filter, Hook::Forward, FILTER, forward(record)),
        chain("postrouting", ChainKind::Nat, Hook::Postrouting, SOURCE_NAT, postrouting),
    ];
    Table { name: table_of(&record.settings.name), chains }
}

/// What is forwarded from and to a network's bridge: nobody comes in but to published ports.
fn forward(record: &Record) -> Vec<Rule> {
    let bridge = record.settings.device.name();
    let into = || Rule::new().not_through(Way::In, bridge).through(Way::Out, bridge);
    let mut rules = Vec::new();
    if record.settings.reach == Reach::Internal {
        rules.push(Rule::new().through(Way::In, bridge).not_through(Way::Out, bridge).drop());
    }
    rules.push(into().established().accept());
    if record.settings.reach == Reach::Outside {
        rules.push(into().redirected().accept());
    }
    rules.push(into().drop());
    rules
}

/// The rules of a container's published ports.
fn ports(link: &LinkName, lease: &Lease) -> Table {
    let mut rules = Vec::new();
    for port in &lease.ports {
        for address in lease.addresses.iter().filter(|address| port.covers(**address)) {
            rules.extend(redirects(port, *address));
        }
    }
    let nat = |name, hook| chain(name, ChainKind::Nat, hook, DESTINATION_NAT, rules.clone());
    let chains = vec![nat("prerouting", Hook::Prerouting), nat("output", Hook::Output)];
    Table { name: table_of_link(link), chains }
}

/// One rule for a range that keeps its numbers, else one for each port.
fn redirects(port: &Port, address: IpAddr) -> Vec<Rule> {
    let (first, last) = port.host_range();
    let (inside, _) = port.container_range();
    let to = |first: u16, last: u16| {
        let rule = match port.host_address() {
            Some(host) => Rule::new().address(Side::Destination, Cidr::host(host)),
            None => Rule::new().family_of(address).local_destination(),
        };
        rule.protocol(port.number()).ports(first, last)
    };
    match first == inside {
        true => vec![to(first, last).redirect(address, None)],
        false => (first..=last)
            .zip(inside..)
            .map(|(host, inside)| to(host, host).redirect(address, Some(inside)))
            .collect(),
    }
}
