//! Settings turned into steps.
//!
//! Each function decides; none makes a system call except to open what the steps need. The order of the groups
//! is the caller's: namespaces, id maps, then attributes and credentials of the process.

pub mod attributes;
pub mod credentials;
pub mod id_maps;
pub mod namespaces;
