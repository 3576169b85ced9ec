//! Measures how long it takes to start an isolated process, beside the floor and the peers.
//!
//! The table of `cargo xtask bench spawn` comes from [`schedule`], which asks one worker process per row
//! ([`worker`]) in turn for a few samples, so that drift of the machine hits all rows alike. What is
//! measured is a [`contender::Contender`]; which rows there are stands in [`lineup`]. [`cgroups`] is the same for
//! making, reading and removing control groups, [`unpacking`] for unpacking a layer, [`networks`] for bridges.

pub mod bundle;
pub mod cgroups;
pub mod command_line;
pub mod configuration;
pub mod contender;
pub mod conversation;
pub mod failure;
pub mod floor;
pub mod floor_calls;
pub mod floor_group;
pub mod floor_recipe;
pub mod host_size;
pub mod lineup;
pub mod machine;
pub mod network_teardown;
#[cfg(feature = "ours")]
pub mod networks;
#[cfg(feature = "ours")]
pub mod ours;
pub mod peers;
pub mod protocol;
pub mod remote;
pub mod report;
pub mod rootfs;
pub mod schedule;
pub mod statistics;
mod system_call;
pub mod table;
pub mod throughput;
#[cfg(feature = "ours")]
pub mod unpacking;
pub mod worker;
