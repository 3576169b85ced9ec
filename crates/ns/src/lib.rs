//! The eight Linux namespaces.
mod bounded_file;
mod decimal;
mod error;
pub mod id_map;
pub mod layered_root;
pub mod namespace;
pub mod passwd;
pub mod pin { /** x */ pub fn pin(){} }
pub mod auto_range;
pub mod capabilities;
pub mod capability;
pub mod cpu_set;
pub mod hostname;
pub mod io_priority;
pub mod personality;
pub mod rlimit;
pub mod scheduler;
pub mod sysctl;
pub mod time_offset;
pub mod sub_id;
pub mod user;
pub use error::{Error, ErrorKind, Result};
