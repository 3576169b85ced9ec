//! A process for some milliseconds in a mount namespace of its own, in which steps run that need one.
//!
//! Kernel objects: a mount namespace, a pid namespace, perhaps a user namespace; what remains are the descriptors that the
//! steps send. Invariant: when a run returns, the process has ended and nothing is mounted anywhere.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch, process};
use ampoule_init::{Draft, Error, Launch, PidNamespace, Program, Step, above_stdio, start};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getegid, geteuid, getpid, pidfd_open};

use crate::error::ErrorKind;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);

const NEW_NAMESPACES: u64 = 0x2002_0000;
const NEW_USER: u64 = 0x1000_0000;

/// Whose ids the process has.
#[derive(Clone, Debug)]
pub(crate) enum Users {
    /// This process's: it may mount in the namespaces that it stands in.
    Own,
    /// Those of a new user namespace, in which this process's user is 0.
    New,
    /// Those of a user namespace that is there.
    Of(Arc<OwnedFd>),
}

impl Users {
    /// This process's, if it may mount in a new mount namespace without a new user namespace.
    pub(crate) fn default_ones() -> Self {
        let sets = rustix::thread::capabilities(None);
        let needed = rustix::thread::CapabilitySet::SYS_ADMIN;
        match sets.is_ok_and(|sets| sets.effective.contains(needed)) {
            true => Self::Own,
            false => Self::New,
        }
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A call of this process failed.
    Host(Errno),
    /// A step failed, or the process could not be made.
    Init(Error),
}

impl Failure {
    /// What a failure at a call that is not the overlay's own comes to.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Init(error) if error.kind() == ampoule_init::ErrorKind::Step => {
                let call = error.step_text().unwrap_or_default();
                let denied = ["clone3", "write_map", "setns"];
                match denied.iter().any(|name| call.starts_with(name)) {
                    true => ErrorKind::NamespacesDenied,
                    false => ErrorKind::MountRefused,
                }
            }
            _ => ErrorKind::MountRefused,
        }
    }
}

impl Failure {
    /// The error number.
    pub(crate) fn errno(&self) -> Errno {
        match self {
            Self::Host(errno) => *errno,
            Self::Init(error) => error.errno().map_or(Errno::IO, Errno::from_raw_os_error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Init(error)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Host(errno)
    }
}

/// Runs steps; gives the descriptors that they send.
pub(crate) fn run(
    mut draft: Draft,
    steps: impl IntoIterator<Item = Step>,
    users: &Users,
) -> Result<Vec<(u32, OwnedFd)>, Failure> {
    enter(&mut draft, users)?;
    draft.first_all(steps);
    draft.first_all([launch::become_reaper(None)]);
    let program = Program::seal(draft)?;
    // It ends with this process, should that be killed meanwhile.
    let host = above_stdio(pidfd_open(getpid(), PidfdFlags::empty())?)?;
    let launch = Launch::idle(host.as_fd(), PidNamespace::New, Instant::now() + LIMIT);
    let started = start(&program, &launch)?;
    let ended = ampoule_init::process::end(&started.pidfd, Instant::now() + LIMIT);
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    if !ended.map_err(errno)? {
        return Err(Failure::Host(Errno::TIMEDOUT));
    }
    Ok(started.fds)
}

/// The namespaces, and the ids in them.
fn enter(draft: &mut Draft, users: &Users) -> Result<(), Failure> {
    let clone = |flags, names| launch::clone_first(flags, names, None);
    let kinds = "CLONE_NEWNS|CLONE_NEWPID";
    match users {
        Users::Own => draft.launcher(clone(NEW_NAMESPACES, kinds)),
        Users::Of(namespace) => {
            let namespace = draft.inherit(rustix::io::fcntl_dupfd_cloexec(namespace, 3)?);
            draft.launcher(launch::join(namespace, NEW_USER, "CLONE_NEWUSER"));
            draft.launcher(clone(NEW_NAMESPACES, kinds));
        }
        Users::New => {
            draft.launcher(clone(
                NEW_NAMESPACES | NEW_USER,
                "CLONE_NEWUSER|CLONE_NEWNS|CLONE_NEWPID",
            ));
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let proc = draft.inherit(openat(CWD, "/proc", flags, Mode::empty())?);
            let map = |id: u32| format!("0 {id} 1\n").into_bytes();
            draft.launcher(launch::child_file(proc, c"setgroups", b"deny"));
            draft.launcher(launch::child_file(proc, c"uid_map", &map(geteuid().as_raw())));
            draft.launcher(launch::child_file(proc, c"gid_map", &map(getegid().as_raw())));
        }
    }
    draft.launcher(launch::release());
    draft.first_all([launch::wait_for_release()]);
    if !matches!(users, Users::Own) {
        // What it makes belongs to an id that the namespace has.
        draft.first_all([process::setgid(0), process::setuid(0)]);
    }
    Ok(())
}
