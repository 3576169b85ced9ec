//! The ids of a user namespace: what an ordinary user with ranges of ids (subuid(5)) owns files with.
//!
//! | I want … | Here |
//! |---|---|
//! | a store whose files have the owners of the images | [`Store::with_ids`](crate::Store::with_ids) |
//! | to unpack a layer so | [`Unpack::ids`](crate::unpack::Unpack::ids) |
//! | a layer from files that only these ids may read | [`Diff::ids`](crate::diff::Diff::ids) |
//!
//! Kernel objects: one user namespace, by a descriptor (user_namespaces(7)). What needs another id than the caller's is done
//! by a process in it, from steps that are prepared here: no code of the host runs there. Invariant: the caller is user and
//! group 0 of the namespace, so that what the caller made is root's there.

pub(crate) mod hand_over;
pub(crate) mod process;
pub(crate) mod read;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::process::{getegid, geteuid};

use crate::diff::OwnerRange;
use crate::error::{Error, Result};

/// User and group ids, and the user namespace that maps them. Clones share the namespace.
///
/// Two are equal if their maps are.
#[derive(Clone)]
pub struct MappedIds(Arc<Inner>);

struct Inner {
    namespace: OwnedFd,
    uid_map: Vec<OwnerRange>,
    gid_map: Vec<OwnerRange>,
}

/// Users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdKind {
    User,
    Group,
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

impl MappedIds {
    /// From a user namespace of the caller's and its maps: the calling process's user and group have to be 0 in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotMapped`](crate::ErrorKind::NotMapped) if they are not.
    pub fn new(
        namespace: OwnedFd,
        uid_map: Vec<OwnerRange>,
        gid_map: Vec<OwnerRange>,
    ) -> Result<Self> {
        let own = [
            (IdKind::User, &uid_map, geteuid().as_raw()),
            (IdKind::Group, &gid_map, getegid().as_raw()),
        ];
        for (kind, map, id) in own {
            if map.is_empty() || OwnerRange::find(map, id) != Some(0) {
                return Err(Error::caller_not_mapped(kind, id, map));
            }
        }
        Ok(Self(Arc::new(Inner { namespace, uid_map, gid_map })))
    }

    /// Which user ids of images are which of the host.
    #[must_use]
    pub fn uid_map(&self) -> &[OwnerRange] {
        &self.0.uid_map
    }

    /// Which group ids of images are which of the host.
    #[must_use]
    pub fn gid_map(&self) -> &[OwnerRange] {
        &self.0.gid_map
    }

    /// The user namespace.
    #[must_use]
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.0.namespace.as_fd()
    }

    /// What an owner and a group of the host are in images.
    pub(crate) fn inside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        OwnerRange::find(self.uid_map(), uid).zip(OwnerRange::find(self.gid_map(), gid))
    }

    /// Whether an image may have such a file; `Err` says which of its ids is none of these.
    pub(crate) fn check(&self, uid: u32, gid: u32) -> Result<(), (IdKind, u32, Vec<OwnerRange>)> {
        let ids = [(IdKind::User, self.uid_map(), uid), (IdKind::Group, self.gid_map(), gid)];
        for (kind, map, id) in ids {
            if !map.iter().any(|range| range.has_inside(id)) {
                return Err((kind, id, map.to_vec()));
            }
        }
        Ok(())
    }
}

impl PartialEq for MappedIds {
    fn eq(&self, other: &Self) -> bool {
        self.uid_map() == other.uid_map() && self.gid_map() == other.gid_map()
    }
}

impl Eq for MappedIds {}

impl fmt::Debug for MappedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MappedIds");
        shown.field("uid_map", &self.uid_map()).field("gid_map", &self.gid_map());
        shown.finish_non_exhaustive()
    }
}

/// Ranges as `users 0=1000 1-65536=100000-165535, groups …`: inside, and what that is outside.
impl fmt::Display for MappedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("users")?;
        self.uid_map().iter().try_for_each(|range| write!(f, " {range}"))?;
        f.write_str(", groups")?;
        self.gid_map().iter().try_for_each(|range| write!(f, " {range}"))
    }
}
