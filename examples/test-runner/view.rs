//! The sandbox of a test process: the host's programs, the tree, and the caller's own ids.
//!
//! Touches nothing but to ask for the caller's ids and mask. Invariant: what the plain run may not write, the sandboxed
//! one may not write either.

use std::path::Path;

use ampoule::{Builder, Bytes, Container, Host, IdMap, IdMapping, Mount, Privilege, User};
use ampoule_examples::arguments::Failure;
use ampoule_ns::IdOrName;
use rustix::process::{getegid, geteuid, getgroups};

use crate::tree::Tree;

/// The private temporary directory.
pub(crate) const TMP: &str = "/tmp";
/// How much fits into each private directory; memory is taken for what is written only.
const PRIVATE: Bytes = Bytes::gib(4);

/// The sandbox without its command.
pub(crate) fn sandbox(tree: &Tree) -> Result<Builder, Failure> {
    let private = |path: &Path| Mount::tmpfs(path, PRIVATE.get());
    let home = tree.home.iter().filter(|home| home.parent().is_some());
    let mut mounts = vec![private(Path::new(TMP))];
    mounts.extend(home.map(|home| private(home)));
    mounts.extend(tree.read.iter().map(|path| Mount::bind(path, path)));
    mounts.extend(tree.write.iter().map(|path| Mount::bind_rw(path, path)));
    // The outer before the inner, whichever of them is private, read-only or writable.
    mounts.sort_by(|one, other| one.target.cmp(&other.target));
    let builder = Container::host_view().umask(mask());
    Ok(with_own_ids(mounts.into_iter().fold(builder, Builder::mount))?)
}

/// The payload is who the caller is. As root that takes a map of all ids, each to itself: with any other, files would
/// belong to nobody, and root could neither read what only root may read nor change owners.
fn with_own_ids(builder: Builder) -> Result<Builder, rustix::io::Errno> {
    let own = User::ids(geteuid().as_raw(), getegid().as_raw());
    if Host::probe().privilege == Privilege::None {
        return Ok(builder.user(own));
    }
    let groups = getgroups()?.into_iter().map(|group| IdOrName::Id(group.as_raw()));
    let user = groups.fold(own, User::supplementary);
    Ok(builder.user(user).id_mapping(IdMapping::Explicit(IdMap::identity())))
}

/// The caller's file mode creation mask, read and not changed (proc_pid_status(5), Linux 4.7).
fn mask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
}
