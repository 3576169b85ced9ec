//! An ordinary user in a scope of its session that was delegated to it.
//!
//! Invariant: as in `user_groups.rs`.

#[path = "user_groups.rs"]
mod groups;
