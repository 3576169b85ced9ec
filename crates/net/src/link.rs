//! Links, addresses and routes: requests of rtnetlink(7) and what is read of the answers.
//!
//! Kernel objects: network devices, addresses, routes of the namespace of the socket. Invariant: every function is one
//! message; who needs several sends them in one go.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NlasIterator};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoKind,
    InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use crate::cidr::Cidr;
use crate::error::{Error, Result};
use crate::mac::Mac;
use crate::name::LinkName;
use crate::socket::{Request, Socket};
use crate::statistics::Statistics;

pub(crate) type RouteRequest = Request<RouteNetlinkMessage>;

/// A link that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `IFLA_OPERSTATE`.
    pub(crate) state: u8,
    /// `IFLA_GROUP`.
    pub(crate) group: u32,
}

/// `RTM_NEWLINK`, `RTM_NEWROUTE`, and the attributes that are read.
const NEW_LINK: u16 = 16;
const NEW_ROUTE: u16 = 24;
const NAME: u16 = 3;
const GROUP: u16 = 27;
const STATE: u16 = 16;
const DESTINATION: u16 = 1;

/// The group of bridges that this crate made; no other is ever deleted.
pub(crate) const OWN_GROUP: u32 = 0x0061_6d70;

/// The group of links that were taken off their bridge, and go with their container's namespace.
const UNPLUGGED_GROUP: u32 = 0x0061_6d71;

/// Bytes of `struct ifinfomsg` and `struct rtmsg`.
pub(crate) const LINK_HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;

/// All links.
pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Link>> {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answers = socket.dump(Request::new("list links", "", message, 0))?;
    let links = answers.iter().filter(|(kind, _)| *kind == NEW_LINK);
    Ok(links.filter_map(|(_, payload)| parse_link(payload)).collect())
}

/// The index of a link by its name, if it is there (if_nametoindex(3)).
pub(crate) fn index_of(socket: &mut Socket, name: &LinkName) -> Result<Option<u32>> {
    Ok(find(socket, name)?.map(|link| link.index))
}

/// A link by its name, if it is there.
pub(crate) fn find(socket: &mut Socket, name: &LinkName) -> Result<Option<Link>> {
    let attributes = vec![LinkAttribute::IfName(name.to_string())];
    let message = RouteNetlinkMessage::GetLink(link(0, attributes));
    let answer = socket.ask(Request::new("find link", name, message, 0), Errno::NODEV)?;
    Ok(answer.and_then(|payload| parse_link(&payload)))
}

/// Waits until a link works: the kernel says so some time after its other end is up. One that does not in time is not
/// waited for any longer.
pub(crate) fn await_up(socket: &mut Socket, name: &LinkName) -> Result<()> {
    /// `IF_OPER_UP`.
    const UP: u8 = 6;
    const TRIES: usize = 200;
    for _ in 0..TRIES {
        if find(socket, name)?.is_none_or(|link| link.state == UP) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    Ok(())
}

/// As [`index_of`]; a link that is not there is an error.
pub(crate) fn require(socket: &mut Socket, name: &LinkName) -> Result<u32> {
    index_of(socket, name)?.ok_or_else(|| Error::system("find link", name, Errno::NODEV))
}

/// `struct rtnl_link_stats64` of a link, by its name.
pub(crate) fn statistics(socket: &mut Socket, name: &LinkName) -> Result<Statistics> {
    let attributes = vec![LinkAttribute::IfName(name.to_string())];
    let message = RouteNetlinkMessage::GetLink(link(0, attributes));
    let answer = socket.ask(Request::new("find link", name, message, 0), Errno::NODEV)?;
    let found = answer.and_then(|payload| Statistics::parse(&payload));
    found.ok_or_else(|| Error::system("find link", name, Errno::NODEV))
}

/// The destinations of all routes but the default ones and the local ones.
pub(crate) fn routes(socket: &mut Socket) -> Result<Vec<Cidr>> {
    let message = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let answers = socket.dump(Request::new("list routes", "", message, 0))?;
    let routes = answers.iter().filter(|(kind, _)| *kind == NEW_ROUTE);
    Ok(routes.filter_map(|(_, payload)| parse_route(payload)).collect())
}

pub(crate) fn parse_link(payload: &[u8]) -> Option<Link> {
    let word = |at: usize| payload.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let attributes = payload.get(LINK_HEADER..)?;
    let name = attribute(attributes, NAME)?;
    let name = name.strip_suffix(b"\0").unwrap_or(&name);
    let name = String::from_utf8_lossy(name).into_owned();
    let group = attribute(attributes, GROUP).and_then(|value| value.try_into().ok());
    let state = attribute(attributes, STATE).and_then(|value| value.first().copied());
    let state = state.unwrap_or_default();
    Some(Link { index: word(4)?, name, state, group: group.map_or(0, u32::from_ne_bytes) })
}

pub(crate) fn parse_route(payload: &[u8]) -> Option<Cidr> {
    let &[family, prefix, _, _, table, _, _, ..] = payload else { return None };
    /// `RT_TABLE_LOCAL`.
    const LOCAL: u8 = 255;
    let address = attribute(payload.get(ROUTE_HEADER..)?, DESTINATION)?;
    let address = match i32::from(family) {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
        _ => return None,
    };
    let everywhere = address.is_multicast() || prefix == 0 || table == LOCAL;
    let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if everywhere || link_local { None } else { Cidr::new(address, prefix).ok() }
}

/// The value of the first attribute of a kind.
pub(crate) fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let found = NlasIterator::new(attributes).map_while(std::result::Result::ok);
    found.filter(|nla| nla.kind() == kind).map(|nla| nla.value().to_vec()).next()
}

/// A link message by name or index, with attributes.
fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

/// A request that makes a link.
fn new_link(operation: &'static str, name: &LinkName, message: LinkMessage) -> RouteRequest {
    let message = RouteNetlinkMessage::NewLink(message);
    Request::new(operation, name, message, NLM_F_CREATE | NLM_F_EXCL)
}

/// A bridge, which is set up when it has a port: the kernel is slow to say that one without gets its first.
pub(crate) fn create_bridge(name: &LinkName, mac: Mac, mtu: Option<u32>) -> RouteRequest {
    let mut message = link(
        0,
        vec![
            LinkAttribute::IfName(name.to_string()),
            // Without, it would change with the links that come and go.
            LinkAttribute::Address(mac.octets().to_vec()),
            LinkAttribute::Group(OWN_GROUP),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                // No delay before a port forwards.
                LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::ForwardDelay(0)])),
            ]),
        ],
    );
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    new_link("create bridge", name, message)
}

/// One end of a veth pair.
#[derive(Clone, Debug)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a LinkName,
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: Option<u32>,
    /// The bridge, by index.
    pub(crate) bridge: Option<u32>,
}

/// A number for the host's end. Were it the same as that of the inner end in its namespace, the kernel would take the
/// link for no pair, and be slow to say that it is up (`linkwatch_urgent_event`).
fn host_index() -> Result<u32> {
    let bits = u32::from_ne_bytes(crate::random::random()?);
    Ok((bits >> 1) | 0x0100_0000)
}

/// A veth pair: one end here, the other in the namespace (veth(4)).
pub(crate) fn create_veth(
    host: &End<'_>,
    peer: &End<'_>,
    namespace: BorrowedFd<'_>,
) -> Result<RouteRequest> {
    let mut inside = peer.attributes();
    inside.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let inside = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(link(0, inside))));
    let mut attributes = host.attributes();
    attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), inside]));
    Ok(new_link("create veth", host.name, link(host_index()?, attributes)))
}

impl End<'_> {
    fn attributes(&self) -> Vec<LinkAttribute> {
        let mut attributes = vec![LinkAttribute::IfName(self.name.to_string())];
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec())));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        attributes.extend(self.bridge.map(LinkAttribute::Controller));
        attributes
    }
}

/// What a port of a bridge does other than usual.
pub(crate) fn set_port(name: &LinkName, settings: Vec<InfoBridgePort>) -> RouteRequest {
    let data = InfoPortData::BridgePort(settings);
    let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(data)];
    let attributes = vec![LinkAttribute::IfName(name.to_string()), LinkAttribute::LinkInfo(info)];
    // RTM_SETLINK takes no settings of a port.
    let message = RouteNetlinkMessage::NewLink(link(0, attributes));
    Request::new("set bridge port", name, message, 0)
}

/// Gives a link no address of its own for IPv6, while it is down.
pub(crate) fn without_addresses(name: &LinkName) -> RouteRequest {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let mode = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
    let attributes = vec![LinkAttribute::IfName(name.to_string()), mode];
    let message = RouteNetlinkMessage::SetLink(link(0, attributes));
    // A kernel without IPv6 gives it none anyway.
    Request::new("set addrgenmode", name, message, 0).tolerate(Errno::AFNOSUPPORT)
}

/// Sets a link up by its name.
pub(crate) fn set_up_named(name: &LinkName) -> RouteRequest {
    let mut message = link(0, vec![LinkAttribute::IfName(name.to_string())]);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    Request::new("set link up", name, RouteNetlinkMessage::SetLink(message), 0)
}

/// Sets a link up.
pub(crate) fn set_up(index: u32) -> RouteRequest {
    let mut message = link(index, Vec::new());
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    Request::new("set link up", index, RouteNetlinkMessage::SetLink(message), 0)
}

/// Moves a link to another namespace under a name; it comes down by that.
pub(crate) fn move_to(index: u32, namespace: BorrowedFd<'_>, name: &LinkName) -> RouteRequest {
    let attributes = vec![
        LinkAttribute::IfName(name.to_string()),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
    ];
    let message = RouteNetlinkMessage::SetLink(link(index, attributes));
    Request::new("move link", name, message, 0)
}

/// Deletes a link by its name; one that is gone already counts.
pub(crate) fn delete(name: &LinkName) -> RouteRequest {
    let message = link(0, vec![LinkAttribute::IfName(name.to_string())]);
    let message = RouteNetlinkMessage::DelLink(message);
    Request::new("delete link", name, message, 0).tolerate(Errno::NODEV)
}

/// Takes a link off its bridge and sets it down; one that is gone already counts. Deleting it would wait for a grace
/// period of the kernel (`rcu_barrier` in `netdev_run_todo`), this does not.
pub(crate) fn unplug(name: &LinkName) -> RouteRequest {
    let attributes = vec![
        LinkAttribute::IfName(name.to_string()),
        LinkAttribute::Controller(0),
        LinkAttribute::Group(UNPLUGGED_GROUP),
    ];
    let mut message = link(0, attributes);
    message.header.change_mask = LinkFlags::Up;
    let message = RouteNetlinkMessage::SetLink(message);
    Request::new("unplug link", name, message, 0).tolerate(Errno::NODEV)
}

/// Deletes all links that were unplugged, in one transaction; none is no error.
pub(crate) fn delete_unplugged() -> RouteRequest {
    let message = link(0, vec![LinkAttribute::Group(UNPLUGGED_GROUP)]);
    let message = RouteNetlinkMessage::DelLink(message);
    Request::new("delete links", "", message, 0).tolerate(Errno::NODEV)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Adds an address; an IPv6 one can be used at once, as nobody else on the link has it.
pub(crate) fn add_address(index: u32, address: Cidr) -> RouteRequest {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address());
    message.header.prefix_len = address.prefix();
    message.header.index = index;
    if address.address().is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes.push(AddressAttribute::Local(address.address()));
    message.attributes.push(AddressAttribute::Address(address.address()));
    if let (IpAddr::V4(_), Some(IpAddr::V4(last))) =
        (address.address(), address.nth(address.last_position()))
        && address.prefix() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(last));
    }
    let message = RouteNetlinkMessage::NewAddress(message);
    Request::new("add address", address, message, NLM_F_CREATE | NLM_F_EXCL)
}

/// Adds a route; without gateway what it leads to is on the link itself.
pub(crate) fn add_route(index: u32, destination: Cidr, gateway: Option<IpAddr>) -> RouteRequest {
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination.address());
    message.header.destination_prefix_length = destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.header.scope = match gateway {
        Some(_) => RouteScope::Universe,
        None => RouteScope::Link,
    };
    if destination.prefix() > 0 {
        let address = RouteAddress::from(destination.network().address());
        message.attributes.push(RouteAttribute::Destination(address));
    }
    message.attributes.extend(gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    message.attributes.push(RouteAttribute::Oif(index));
    let message = RouteNetlinkMessage::NewRoute(message);
    Request::new("add route", destination, message, NLM_F_CREATE | NLM_F_EXCL)
}
