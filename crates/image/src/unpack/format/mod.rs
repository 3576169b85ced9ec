//! The tar format, read strictly: from a stream to members. No file is touched.
//!
//! Kernel objects: none. Invariant: no input panics, loops or takes memory beyond the quotas.

pub(crate) mod header;
pub(crate) mod member;
pub(crate) mod members;
pub(crate) mod number;
pub(crate) mod pax;
pub(crate) mod source;
pub(crate) mod sparse;
