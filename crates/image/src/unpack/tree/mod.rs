//! Writing members into a directory, by descriptor.
//!
//! Kernel objects: everything below the directory, and nothing else. Invariant: a member lands
//! where its name says, in the root, or there is an error.

pub(crate) mod directories;
mod file;
pub(crate) mod layer;
pub(crate) mod metadata;
pub(crate) mod owning;
mod remove;
pub(crate) mod taking;
mod whiteout;
