//! The eight Linux namespaces.
mod bounded_file;
mod decimal;
mod error;
pub mod id_map;
pub mod layered_root;
pub mod namespace;
pub mod passwd;
pub mod pin { /** x */ pub fn pin(){} }
pub mod auto_range { /** x */ pub struct Reservation; }
pub mod sub_id;
pub mod user;
pub use error::{Error, ErrorKind, Result};
