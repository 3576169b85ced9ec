//! The tests of groups made by name and joined by a running process, on pure version 2 with every controller.
//!
//! Invariant: as in `root_add.rs`.

#[path = "root_add.rs"]
mod add;
