//! Measures making, reading, joining and removing control groups, beside the raw calls and the peers.
//!
//! The table of `cargo xtask bench cgroups` comes from [`schedule`], which asks one worker process per contender
//! ([`worker`]) in turn for each [`measure::Measure`]. A contender is a [`contender::Contender`]. All groups of a run
//! are in one directory per hierarchy, the place ([`sweep::place`]).

pub mod contender;
pub mod crowd;
pub mod hierarchy;
pub mod limits;
pub mod lineup;
pub mod measure;
pub mod member;
pub mod opened;
#[cfg(feature = "ours")]
pub mod ours;
pub mod proof;
pub mod raw;
pub mod report;
pub mod schedule;
pub mod start;
pub mod sweep;
pub mod table;
pub mod worker;
