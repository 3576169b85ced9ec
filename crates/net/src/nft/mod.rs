//! Packet filters of nftables as data, and how they are sent.
//!
//! Kernel objects: tables, chains and rules of the namespace of the socket (Documentation/netlink/specs/nftables).
//! Invariant: a table is made or replaced as a whole, in one batch, or nothing of it.

pub(crate) mod expression;
pub(crate) mod table;

pub(crate) use expression::Rule;
pub(crate) use table::{Chain, ChainKind, Hook, Policy, Table, counters, create, delete, replace};
