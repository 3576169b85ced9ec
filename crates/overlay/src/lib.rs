//! Root file systems for isolated processes.

mod assembly;
mod error;
mod file;
mod file_system;
mod flags;
mod identity;
mod layers;
mod mount;
mod mountinfo;
mod prepared;
mod propagation;
mod root;
mod situation;
mod target;
mod view;

pub use error::{Error, ErrorKind, Problem};
pub use file::{File, Link};
pub use file_system::FileSystem;
pub use flags::MountFlags;
pub use mount::{CopyUp, Depth, HidePid, IdMapped, Mount, MountKind, PidSubset};
pub use prepared::{Prepared, Substitution, prepare};
pub use propagation::Propagation;
pub use root::{Base, Root};
pub use situation::{Access, Namespace, Situation, TtyGroup, UserNamespace};
