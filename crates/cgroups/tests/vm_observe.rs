//! The tests of statistics, events, pressure and device rules on pure version 2, with every controller.
//!
//! Invariant: as in the files of the tier root.
#![expect(clippy::duplicate_mod, reason = "each file has its groups, to stand alone in its tier")]

#[path = "root_devices.rs"]
mod devices;
#[path = "root_events.rs"]
mod events;
#[path = "root_observe.rs"]
mod observe;
#[path = "root_pressure.rs"]
mod pressure;
#[path = "root_stat.rs"]
mod stat;
