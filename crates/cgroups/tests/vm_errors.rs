//! What is refused on pure version 2, with every controller.
//!
//! Invariant: as in the files of the tiers root and fault.

#[path = "root_confined.rs"]
mod confined;
#[path = "root_deep.rs"]
mod deep;
#[path = "root_errors.rs"]
mod errors;
#[path = "root_every_limit.rs"]
mod every_limit;
#[path = "root_rare_limits.rs"]
mod rare_limits;
#[path = "root_update.rs"]
mod update;
