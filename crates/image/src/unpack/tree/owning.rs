//! When files get their owners.
//!
//! Kernel objects: none. Invariant: whatever is made is the caller's first.

use crate::unpack::Unpack;
use crate::unpack::options::Ownership;

/// When and where the owners that a layer says are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owning {
    /// At once, by the caller.
    Real,
    /// At once, in an attribute; the caller stays the owner.
    Single,
    /// When all is there, by a process with other ids; the caller is the owner until then.
    Later,
}

impl Owning {
    pub(crate) fn of(unpack: &Unpack) -> Self {
        match (unpack.ownership, &unpack.ids) {
            (Ownership::Single, _) => Self::Single,
            (Ownership::Real, None) => Self::Real,
            (Ownership::Real, Some(_)) => Self::Later,
        }
    }
}
