//! The tests of groups on pure version 2, with every controller.
//!
//! Invariant: as in `root_group.rs`.

#[path = "root_group.rs"]
mod group;
