//! SELinux for containers: contexts, category pairs, labels of processes, mounts and files.

mod attribute;
mod categories;
mod context;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod label;
mod lease;
mod level;
#[cfg(feature = "libselinux")]
pub mod libselinux;
mod pair;
mod policy;
pub mod prepared;
mod problem;
mod relabel;
mod selinuxfs;
mod system;

pub use attribute::Attribute;
pub use categories::Categories;
pub use context::Context;
pub use error::{Error, ErrorKind, Result};
pub use label::FileLabels;
pub use lease::{Lease, Pairs};
pub use level::{Level, Range};
pub use pair::Pair;
pub use policy::ContainerContexts;
pub use problem::{Part, Problem};
pub use relabel::{Mounts, Relabel, Relabelled};
pub use selinuxfs::{SelinuxFs, State};
