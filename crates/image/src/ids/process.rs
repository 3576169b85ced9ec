//! A process for some milliseconds in the user namespace, in which steps run that need its ids.
//!
//! Kernel objects: a process as user 0 of the user namespace, in a pid namespace of its own; what remains are the descriptors
//! that the steps send. Invariant: when a run returns, the process has ended.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch, process};
use ampoule_init::{Draft, Error, Launch, PidNamespace, Program, Step, above_stdio, start};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::MappedIds;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);

const NEW_PID: u64 = 0x2000_0000;
const NEW_USER: u64 = 0x1000_0000;

/// Steps that come before those of a caller: the launcher's, and the first process's up to its ids.
const BEFORE: usize = 6;

/// What failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    pub(crate) operation: &'static str,
    pub(crate) errno: Errno,
    /// The position of the step among the caller's, if it was one of them.
    pub(crate) step: Option<usize>,
}

impl Failed {
    /// A call of this process failed.
    pub(crate) fn here(operation: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { operation, errno, step: None }
    }
}

/// The calls that can fail there, for errors.
const CALLS: &[&str] =
    &["setns", "clone3", "setresuid", "openat2", "fchown", "fchmod", "fsetxattr"];

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let text = error.subject();
        let known = CALLS.iter().find(|call| text.starts_with(**call));
        Self {
            operation: known.copied().unwrap_or("a process in the user namespace"),
            errno: error.errno().map_or(Errno::IO, Errno::from_raw_os_error),
            step: error.step().and_then(|step| step.checked_sub(BEFORE)),
        }
    }
}

/// Runs steps as user 0 of the namespace; gives the descriptors that they send.
pub(crate) fn run(
    ids: &MappedIds,
    mut draft: Draft,
    steps: impl IntoIterator<Item = Step>,
) -> Result<Vec<(u32, OwnedFd)>, Failed> {
    let namespace = rustix::io::fcntl_dupfd_cloexec(ids.namespace(), 3);
    let namespace = draft.inherit(namespace.map_err(Failed::here("fcntl"))?);
    draft.launcher(launch::join(namespace, NEW_USER, "CLONE_NEWUSER"));
    draft.launcher(launch::clone_first(NEW_PID, "CLONE_NEWPID", None));
    draft.launcher(launch::release());
    draft.first_all([launch::wait_for_release(), process::setgid(0), process::setuid(0)]);
    draft.first_all(steps);
    draft.first_all([launch::become_reaper(None)]);
    let program = Program::seal(draft)?;
    // It ends with this process, should that be killed meanwhile.
    let host = pidfd_open(getpid(), PidfdFlags::empty()).map_err(Failed::here("pidfd_open"))?;
    let host = above_stdio(host)?;
    let launch = Launch::idle(host.as_fd(), PidNamespace::New, Instant::now() + LIMIT);
    let started = start(&program, &launch)?;
    let ended = ampoule_init::process::end(&started.pidfd, Instant::now() + LIMIT);
    let ended = ended.map_err(|error| crate::error::errno_of(&error));
    match ended.map_err(Failed::here("waitid"))? {
        true => Ok(started.fds),
        false => Err(Failed::here("waitid")(Errno::TIMEDOUT)),
    }
}
