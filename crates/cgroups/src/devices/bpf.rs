//! The device program at a group.
//!
//! Kernel objects: programs attached to a directory of the v2 hierarchy; see bpf(2). Invariant: only
//! programs of this crate's name are replaced or detached, others of the group stay.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ampoule_init::sys::bpf as sys;
use rustix::io::Errno;

use super::program::Program;
use crate::DeviceRule;
use crate::error::{Error, Result};

/// The name by which a program of this crate is known again.
const NAME: [u8; sys::NAME_LEN] = *b"ampoule_devices\0";

/// A device program that is attached to a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Attached {
    /// The kernel's number of the program, as `bpftool cgroup show` prints it.
    pub id: u32,
    /// Its name; `None` when the caller may not look.
    pub name: Option<String>,
    /// Whether this crate attached it.
    pub ours: bool,
}

/// Puts the rules in force for the processes of a v2 group and of all groups below it; rules that were
/// put in force before are replaced in one step.
///
/// What other programs of the group, or of a group above, deny stays denied.
///
/// # Errors
/// `Denied` without `CAP_BPF` and `CAP_NET_ADMIN` (and, for a group that has a program,
/// `CAP_SYS_ADMIN`), or where a group above wants no programs below it; `System` with `EINVAL` where
/// the kernel has no `CONFIG_CGROUP_BPF` and with `EBADF` for a group of v1.
pub fn attach(group: impl AsFd, rules: &[DeviceRule]) -> Result<()> {
    let group = group.as_fd();
    let instructions = Program::new(rules).encode();
    let program = sys::load(&instructions, &NAME).map_err(error("bpf(BPF_PROG_LOAD)"))?;
    let mut old = ours(group)?.into_iter();
    let replaced = old.next();
    let replaced = replaced.as_ref().map(AsFd::as_fd);
    sys::attach(group, program.as_fd(), replaced).map_err(error("bpf(BPF_PROG_ATTACH)"))?;
    old.try_for_each(|program| detach_one(group, &program))
}

/// Takes the rules that [`attach`] put in force away from a v2 group.
///
/// # Errors
/// `Denied` as for [`attach`].
pub fn detach(group: impl AsFd) -> Result<()> {
    let group = group.as_fd();
    ours(group)?.into_iter().try_for_each(|program| detach_one(group, &program))
}

/// The device programs of a v2 group itself; those of groups above are not listed.
///
/// # Errors
/// `Denied` without `CAP_NET_ADMIN`, `System` with `EBADF` for a group of v1.
pub fn attached(group: impl AsFd) -> Result<Vec<Attached>> {
    let ids = sys::attached(group.as_fd()).map_err(error("bpf(BPF_PROG_QUERY)"))?;
    let describe = |id| {
        let name = sys::open(id).and_then(|program| sys::name(program.as_fd())).ok();
        let text = |name: [u8; sys::NAME_LEN]| {
            String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
        };
        Attached { id, ours: name == Some(NAME), name: name.map(text) }
    };
    Ok(ids.into_iter().map(describe).collect())
}

/// The programs of this crate at the group.
fn ours(group: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let ids = sys::attached(group).map_err(error("bpf(BPF_PROG_QUERY)"))?;
    let mut programs = Vec::new();
    for id in ids {
        let program = match sys::open(id) {
            Ok(program) => program,
            // It went away in between.
            Err(gone) if gone.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => continue,
            Err(denied) => return Err(error("bpf(BPF_PROG_GET_FD_BY_ID)")(denied)),
        };
        let name = sys::name(program.as_fd()).map_err(error("bpf(BPF_OBJ_GET_INFO_BY_FD)"))?;
        if name == NAME {
            programs.push(program);
        }
    }
    Ok(programs)
}

fn detach_one(group: BorrowedFd<'_>, program: &OwnedFd) -> Result<()> {
    sys::detach(group, program.as_fd()).map_err(error("bpf(BPF_PROG_DETACH)"))
}

fn error(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::system(operation, Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
