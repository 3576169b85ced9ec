//! Tables: how one is sent, replaced, deleted, and how its counters are read.
//!
//! Kernel objects: one table of the family `inet` for each call. Invariant: `replace` and `delete` do everything or
//! nothing, and do not fail because the table is there, or is not.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NlasIterator};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook as HookAttribute, HookNumber, InetHookNumber, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::error::{ErrorKind, Result};
use crate::nft::Rule;
use crate::socket::{Request, Socket};

type NftRequest = Request<NetfilterMessage>;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;

/// A table with its chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) chains: Vec<Chain>,
}

/// A chain that packets come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) kind: ChainKind,
    pub(crate) hook: Hook,
    /// Lower ones come first.
    pub(crate) priority: i32,
    pub(crate) policy: Policy,
    pub(crate) rules: Vec<Rule>,
}

/// What a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainKind {
    Filter,
    Nat,
}

/// Where packets are when they come to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

/// What becomes of a packet that no rule decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Accept,
    Drop,
}

/// Makes a table, in place of one of its name.
pub(crate) fn replace(socket: &mut Socket, table: Table) -> Result<()> {
    // Deleting needs one to be there, making needs none.
    let mut requests = vec![new_table(&table.name), delete_table(&table.name)];
    requests.extend(new_content(table));
    send(socket, requests)
}

/// Makes a table whose name nobody has. When something was deleted through a socket, closing that waits for a grace
/// period of the kernel (`nft_rcv_nl_event`); this deletes nothing.
pub(crate) fn create(socket: &mut Socket, table: Table) -> Result<()> {
    send(socket, new_content(table))
}

/// The table with its chains and rules.
fn new_content(table: Table) -> Vec<NftRequest> {
    let name = table.name;
    let mut requests = vec![new_table(&name)];
    for chain in table.chains {
        requests.push(new_chain(&name, &chain));
        for rule in chain.rules {
            requests.push(new_rule(&name, chain.name, rule));
        }
    }
    requests
}

/// Deletes a table, if it is there.
pub(crate) fn delete(socket: &mut Socket, name: &str) -> Result<()> {
    match send(socket, vec![new_table(name), delete_table(name)]) {
        // Without nf_tables the kernel has no table.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

/// One batch. Only the last one is answered, and those that fail.
fn send(socket: &mut Socket, requests: Vec<NftRequest>) -> Result<()> {
    let last = requests.len().saturating_sub(1);
    let mut batch = vec![mark(ControlMessage::BatchBegin)];
    batch.extend(requests.into_iter().enumerate().map(|(index, request)| match index == last {
        true => request,
        false => request.unanswered(),
    }));
    batch.push(mark(ControlMessage::BatchEnd));
    socket.send(batch)
}

fn mark(message: ControlMessage) -> NftRequest {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
    Request::new("nftables", "", NetfilterMessage::new(header, message), 0).unanswered()
}

fn request(
    operation: &'static str,
    object: &str,
    message: NfTablesMessage,
    flags: u16,
) -> NftRequest {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    Request::new(operation, object, NetfilterMessage::new(header, message), flags)
}

fn new_table(name: &str) -> NftRequest {
    let attributes = vec![TableAttribute::Name(name.to_owned())];
    let message = NfTablesMessage::NewTable(TableMessage { attributes });
    request("add table", name, message, NLM_F_CREATE)
}

fn delete_table(name: &str) -> NftRequest {
    let attributes = vec![TableAttribute::Name(name.to_owned())];
    request("delete table", name, NfTablesMessage::DeleteTable(TableMessage { attributes }), 0)
}

fn new_chain(table: &str, chain: &Chain) -> NftRequest {
    let kind = match chain.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    };
    let policy = match chain.policy {
        Policy::Drop => 0,
        Policy::Accept => 1,
    };
    let attributes = vec![
        ChainAttribute::Table(table.to_owned()),
        ChainAttribute::Name(chain.name.to_owned()),
        ChainAttribute::Hook(vec![
            HookAttribute::Number(HookNumber::Inet(chain.hook.number())),
            HookAttribute::Priority(chain.priority.cast_unsigned()),
        ]),
        ChainAttribute::Policy(policy),
        ChainAttribute::Type(kind.to_owned()),
    ];
    let message = NfTablesMessage::NewChain(ChainMessage { attributes });
    request("add chain", chain.name, message, NLM_F_CREATE)
}

impl Hook {
    fn number(self) -> InetHookNumber {
        match self {
            Self::Prerouting => InetHookNumber::PreRouting,
            Self::Forward => InetHookNumber::Forward,
            Self::Output => InetHookNumber::LocalOut,
            Self::Postrouting => InetHookNumber::PostRouting,
        }
    }
}

fn new_rule(table: &str, chain: &str, rule: Rule) -> NftRequest {
    let expressions = rule.into_expressions().into_iter().map(ListAttribute::from).collect();
    let attributes = vec![
        RuleAttribute::Table(table.to_owned()),
        RuleAttribute::Chain(chain.to_owned()),
        RuleAttribute::Expressions(expressions),
    ];
    let message = NfTablesMessage::NewRule(RuleMessage { attributes });
    request("add rule", chain, message, NLM_F_CREATE | NLM_F_APPEND)
}

/// What a counter has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// The counters of a table, in the order of the rules that have one.
pub(crate) fn counters(socket: &mut Socket, table: &str) -> Result<Vec<Counted>> {
    let attributes = vec![RuleAttribute::Table(table.to_owned())];
    let message = NfTablesMessage::GetRule(RuleMessage { attributes });
    let answers = socket.dump(request("list rules", table, message, 0))?;
    Ok(answers.iter().flat_map(|(_, payload)| parse_counters(table, payload)).collect())
}

/// Those of one rule of the table.
pub(crate) fn parse_counters(table: &str, payload: &[u8]) -> Vec<Counted> {
    /// Bytes of `struct nfgenmsg`; `NFTA_RULE_TABLE`, `NFTA_RULE_EXPRESSIONS`.
    const HEADER: usize = 4;
    const TABLE: u16 = 1;
    const EXPRESSIONS: u16 = 4;
    let attributes = payload.get(HEADER..).unwrap_or_default();
    let name = value(attributes, TABLE).unwrap_or_default();
    if name.strip_suffix(b"\0").unwrap_or(&name) != table.as_bytes() {
        return Vec::new();
    }
    let expressions = value(attributes, EXPRESSIONS).unwrap_or_default();
    let each = NlasIterator::new(&expressions[..]).map_while(std::result::Result::ok);
    each.filter_map(|nla| parse_counter(nla.value())).collect()
}

fn parse_counter(expression: &[u8]) -> Option<Counted> {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    if value(expression, NAME)? != b"counter\0" {
        return None;
    }
    let data = value(expression, DATA)?;
    let number = |kind| Some(u64::from_be_bytes(value(&data, kind)?.try_into().ok()?));
    Some(Counted { bytes: number(1)?, packets: number(2)? })
}

fn value(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    crate::link::attribute(attributes, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_answer_is_read(payload: Vec<u8>) {
            prop_assert!(parse_counters("t", &payload).len() <= payload.len());
        }
    }
}
