//! Id maps as steps of the launcher (user_namespaces(7)).
//!
//! Kernel objects: `uid_map`, `gid_map` and `setgroups` of the first process. Invariant: the maps are written by
//! the launcher, which stands in the parent user namespace and shares no memory with the host.

use std::ffi::CString;
use std::path::Path;

use ampoule_init::steps::launch;
use ampoule_init::{Fd, Step};

use crate::error::{Error, ErrorKind, Reason, Result};
use crate::id_map::{IdKind, IdMap};

/// Who writes the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The launcher, with `CAP_SETUID` and `CAP_SETGID` in the parent user namespace.
    Privileged,
    /// The launcher, its own single id only; supplementary groups are then fixed for ever.
    OwnId,
    /// `newuidmap` and `newgidmap` (newuidmap(1)).
    Helpers,
}

/// Who can write this map for a caller without privilege.
#[must_use]
pub fn writer(map: &IdMap, privileged: Writer, euid: u32, egid: u32) -> Writer {
    let own = |ranges: &[crate::id_map::IdRange], id: u32| matches!(ranges, [range] if range.count == 1 && range.outside == id);
    match privileged {
        Writer::Privileged => Writer::Privileged,
        _ if own(&map.uid, euid) && own(&map.gid, egid) => Writer::OwnId,
        _ => Writer::Helpers,
    }
}

/// The launcher's steps between the clone and the release.
///
/// # Errors
/// [`ErrorKind::HelperMissing`] when `newuidmap` or `newgidmap` is needed and not installed.
pub fn prepare(map: &IdMap, writer: Writer, proc: Fd) -> Result<Vec<Step>> {
    let kinds = [(IdKind::Gid, c"gid_map", "newgidmap"), (IdKind::Uid, c"uid_map", "newuidmap")];
    let mut steps = Vec::new();
    if writer == Writer::OwnId {
        steps.push(launch::child_file(proc, c"setgroups", b"deny"));
    }
    for (kind, file, program) in kinds {
        steps.push(match writer {
            Writer::Privileged | Writer::OwnId => {
                launch::child_file(proc, file, &map.to_bytes(kind))
            }
            Writer::Helpers => {
                let path = find_helper(program)?;
                let ranges: Vec<CString> = map
                    .helper_arguments(kind)
                    .into_iter()
                    .filter_map(|word| CString::new(word).ok())
                    .collect();
                launch::run_map_helper(&path, &ranges)
            }
        });
    }
    Ok(steps)
}

/// Finds a helper where distributions put it; the caller's `PATH` is not trusted with a set-user-id program.
fn find_helper(name: &str) -> Result<CString> {
    let found = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file());
    let missing = || Error::text(ErrorKind::HelperMissing, name, Reason::NotInstalled);
    let path = found.ok_or_else(missing)?;
    CString::new(path.into_os_string().into_encoded_bytes()).map_err(|_| missing())
}
