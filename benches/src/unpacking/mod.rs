//! How long does it take to unpack a layer, verified, beside tar and the peers?
//!
//! Touches a directory on a tmpfs. Invariant: every sample is a process of its own that unpacks the same layer into an
//! empty directory, and all contenders take turns.

pub mod contender;
pub mod layer;
pub mod report;
pub mod sample;
