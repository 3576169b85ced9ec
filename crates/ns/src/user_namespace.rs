//! A user namespace by itself, with its maps and without a process.
//!
//! Kernel objects: one user namespace, kept by a descriptor; a process makes it and has ended when the function returns.
//! What it is good for: id-mapped mounts (mount_setattr(2), Linux 5.12), which take the maps from such a descriptor.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ampoule_init::steps::launch as l;
use ampoule_init::{Draft, Launch, PidNamespace, Program, process, start};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::error::{Error, Result};
use crate::id_map::IdMap;
use crate::namespace::Namespace;
use crate::prepared::id_maps::{self, Writer};

/// How long it may take to make one.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes a user namespace with these maps.
///
/// # Errors
/// [`Denied`](crate::ErrorKind::Denied) and the others of a failed system call;
/// [`HelperMissing`](crate::ErrorKind::HelperMissing).
pub fn create(map: &IdMap, writer: Writer) -> Result<OwnedFd> {
    let program = program(map, writer)?;
    // It ends with this process, should that be killed meanwhile.
    let host = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|errno| Error::system("pidfd_open", errno))?;
    let launch = Launch::idle(host.as_fd(), PidNamespace::New, Instant::now() + LIMIT);
    let started = start(&program, &launch).map_err(|error| Error::init(&error))?;
    let opened = crate::list::open(started.pid, Namespace::User);
    // It is a child of this process, so that its id cannot have been reused before this.
    process::end(&started.pidfd, Instant::now() + LIMIT)
        .map_err(|error| Error::io("end a process", &error))?;
    opened
}

/// A process that enters a new user namespace and stays.
fn program(map: &IdMap, writer: Writer) -> Result<Program> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = openat(CWD, "/proc", flags, Mode::empty())
        .map_err(|errno| Error::system("open /proc", errno))?;
    let mut draft = Draft::default();
    let proc = draft.inherit(proc);
    let kinds = Namespace::User.clone_flag() | Namespace::Pid.clone_flag();
    draft.launcher(l::clone_first(kinds, "CLONE_NEWUSER|CLONE_NEWPID", None));
    id_maps::prepare(map, writer, proc)?.into_iter().for_each(|step| draft.launcher(step));
    draft.launcher(l::release());
    draft.first_all([l::wait_for_release(), l::become_reaper(None)]);
    Program::seal(draft).map_err(|error| Error::init(&error))
}
