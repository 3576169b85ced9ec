//! Expressions: what a rule matches, and what it does.
//!
//! Kernel objects: none. Those that `netlink-packet-netfilter` has are used; ct, fib, nat, masq, counter and reject are
//! added here (include/uapi/linux/netfilter/nf_tables.h). Invariant: a rule that looks into the header of a family or a
//! protocol has matched that one before.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, Expressions, Immediate, Meta, MetaKey, Operator, Payload,
    Register, Verdict, VerdictAttribute,
};

use crate::cidr::{Cidr, octets};
use crate::name::LinkName;

/// Bytes of an interface name as it is compared.
const NAME: usize = 16;

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// Headers that packets are looked at from (`NFT_PAYLOAD_…`).
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// Bits of a connection's state and status.
const ESTABLISHED_RELATED: u32 = 2 | 4;
const DESTINATION_CHANGED: u32 = 1 << 5;

/// A rule in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    expressions: Vec<Expressions>,
}

/// Source or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// In or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

impl Rule {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn into_expressions(self) -> Vec<Expressions> {
        self.expressions
    }

    fn with(mut self, expression: Expressions) -> Self {
        self.expressions.push(expression);
        self
    }

    fn meta(self, key: MetaKey) -> Self {
        self.with(Expressions::Meta(vec![
            Meta::DestinationRegister(Register::Reg1),
            Meta::Key(key),
        ]))
    }

    fn compare(self, operator: Operator, value: Vec<u8>) -> Self {
        self.with(Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value)),
        ]))
    }

    fn mask(self, mask: Vec<u8>) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or_default();
        let none = vec![0; mask.len()];
        self.with(Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(length),
            Bitwise::Mask(DataAttribute::Value(mask)),
            Bitwise::Xor(DataAttribute::Value(none)),
        ]))
    }

    fn payload(self, base: u32, offset: u32, length: u32) -> Self {
        self.with(Expressions::Payload(vec![
            Payload::DestinationRegister(Register::Reg1),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(length),
        ]))
    }

    fn other(self, name: &str, attributes: Vec<DefaultNla>) -> Self {
        self.with(Expressions::Other { expression_type: name.to_owned(), attributes })
    }

    fn link(self, way: Way, operator: Operator, name: &LinkName) -> Self {
        let key = match way {
            Way::In => MetaKey::Iifname,
            Way::Out => MetaKey::Oifname,
        };
        let mut value = name.as_str().as_bytes().to_vec();
        value.resize(NAME, 0);
        self.meta(key).compare(operator, value)
    }

    /// Through this link.
    pub(crate) fn through(self, way: Way, name: &LinkName) -> Self {
        self.link(way, Operator::Equal, name)
    }

    /// Not through this link.
    pub(crate) fn not_through(self, way: Way, name: &LinkName) -> Self {
        self.link(way, Operator::NotEqual, name)
    }

    /// Of the family of an address.
    pub(crate) fn family_of(self, address: IpAddr) -> Self {
        let family = if address.is_ipv4() { IPV4 } else { IPV6 };
        self.meta(MetaKey::Nfproto).compare(Operator::Equal, vec![family])
    }

    /// From or to a subnet.
    pub(crate) fn address(self, side: Side, subnet: Cidr) -> Self {
        let network = octets(subnet.network().address());
        let length = u32::try_from(network.len()).unwrap_or_default();
        let offset = match (subnet.address(), side) {
            (IpAddr::V4(_), Side::Source) => 12,
            (IpAddr::V4(_), Side::Destination) => 16,
            (IpAddr::V6(_), Side::Source) => 8,
            (IpAddr::V6(_), Side::Destination) => 24,
        };
        let family = self.family_of(subnet.address());
        let loaded = family.payload(NETWORK_HEADER, offset, length);
        loaded.mask(subnet.mask_bytes()).compare(Operator::Equal, network)
    }

    /// Of a protocol, by its number.
    pub(crate) fn protocol(self, number: u8) -> Self {
        self.meta(MetaKey::L4Proto).compare(Operator::Equal, vec![number])
    }

    /// To a port of a range; the protocol has ports.
    pub(crate) fn ports(self, first: u16, last: u16) -> Self {
        let loaded = self.payload(TRANSPORT_HEADER, 2, 2);
        loaded.between(first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec())
    }

    /// Of a type of messages; the protocol is ICMP for IPv6.
    pub(crate) fn icmp_types(self, first: u8, last: u8) -> Self {
        self.payload(TRANSPORT_HEADER, 0, 1).between(vec![first], vec![last])
    }

    fn between(self, first: Vec<u8>, last: Vec<u8>) -> Self {
        match first == last {
            true => self.compare(Operator::Equal, first),
            false => self
                .compare(Operator::GreatherThanEqual, first)
                .compare(Operator::LessThanEqual, last),
        }
    }

    /// Part of a connection that is there, or belonging to one.
    pub(crate) fn established(self) -> Self {
        const STATE: u32 = 0;
        self.connection(STATE, ESTABLISHED_RELATED)
    }

    /// Of a connection whose destination was changed: to a published port.
    pub(crate) fn redirected(self) -> Self {
        const STATUS: u32 = 2;
        self.connection(STATUS, DESTINATION_CHANGED)
    }

    /// Any of these bits is set.
    fn connection(self, key: u32, bits: u32) -> Self {
        let attributes = vec![number(1, register(Register::Reg1)), number(2, key)];
        let loaded = self.other("ct", attributes);
        loaded.mask(bits.to_ne_bytes().to_vec()).compare(Operator::NotEqual, vec![0; 4])
    }

    /// To an address of the host itself.
    pub(crate) fn local_destination(self) -> Self {
        const ADDRESS_TYPE: u32 = 3;
        const DESTINATION: u32 = 2;
        const LOCAL: u32 = 2;
        let attributes = vec![
            number(1, register(Register::Reg1)),
            number(2, ADDRESS_TYPE),
            number(3, DESTINATION),
        ];
        self.other("fib", attributes).compare(Operator::Equal, LOCAL.to_ne_bytes().to_vec())
    }

    /// Goes to this address, and this port if it is given.
    pub(crate) fn redirect(self, address: IpAddr, port: Option<u16>) -> Self {
        const DESTINATION: u32 = 1;
        let family = if address.is_ipv4() { IPV4 } else { IPV6 };
        let mut rule = self.load(Register::Reg1, octets(address));
        let mut attributes = vec![
            number(1, DESTINATION),
            number(2, u32::from(family)),
            number(3, register(Register::Reg1)),
        ];
        if let Some(port) = port {
            rule = rule.load(Register::Reg2, port.to_be_bytes().to_vec());
            attributes.push(number(5, register(Register::Reg2)));
        }
        rule.other("nat", attributes)
    }

    fn load(self, register: Register, value: Vec<u8>) -> Self {
        self.with(Expressions::Immediate(vec![
            Immediate::DestinationRegister(register),
            Immediate::Data(DataAttribute::Value(value)),
        ]))
    }

    /// Leaves under the address of the link that it leaves through.
    pub(crate) fn masquerade(self) -> Self {
        self.other("masq", Vec::new())
    }

    /// Is counted.
    pub(crate) fn counted(self) -> Self {
        let zero = |kind| DefaultNla::new(kind, vec![0; 8]);
        self.other("counter", vec![zero(1), zero(2)])
    }

    /// Is refused, and the sender is told (`EACCES`).
    pub(crate) fn reject(self) -> Self {
        const ICMPX: u32 = 2;
        const PROHIBITED: u8 = 3;
        self.other("reject", vec![number(1, ICMPX), DefaultNla::new(2, vec![PROHIBITED])])
    }

    /// Goes on.
    pub(crate) fn accept(self) -> Self {
        self.verdict(1)
    }

    /// Is forgotten.
    pub(crate) fn drop(self) -> Self {
        self.verdict(0)
    }

    fn verdict(self, code: u32) -> Self {
        let verdict = vec![VerdictAttribute::Code(Verdict::Other(code))];
        self.with(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(verdict)),
        ]))
    }
}

fn register(register: Register) -> u32 {
    register.into()
}

/// An attribute with a number.
fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}
