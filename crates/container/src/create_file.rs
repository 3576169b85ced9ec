//! Makes a file in a container whose ids the host's user does not have.
//!
//! Kernel objects: a process that lives for about a millisecond, in the container's user namespace and in a pid namespace
//! of its own. Invariant: nothing of the container can see that process, and it has ended when the function returns.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ampoule_init::steps::{file, launch as l, process as p};
use ampoule_init::{Draft, Launch, PidNamespace, Program, process, start};
use ampoule_ns::Namespace;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::error::{Error, ErrorKind, Stage};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// What the file is called among the descriptors that come back.
const FILE: u32 = 1;

/// Makes a file (mode 0644), or empties the one that is there, below a container's root as one of its users.
pub(crate) fn create(
    root: OwnedFd,
    path: &Path,
    user_namespace: OwnedFd,
    owner: (u32, u32),
) -> Result<OwnedFd, Error> {
    let failed = |error: ampoule_init::Error| match error.errno().map(Errno::from_raw_os_error) {
        Some(errno) => Error::call(Stage::Running, "make a file", errno).caused_by(error),
        None => Error::from(error),
    };
    let program = program(root, path, user_namespace, owner)?;
    // It ends with this process, should that be killed meanwhile.
    let host = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|errno| Error::call(Stage::Running, "pidfd_open", errno))?;
    let launch = Launch::idle(host.as_fd(), PidNamespace::New, Instant::now() + LIMIT);
    let started = start(&program, &launch).map_err(failed)?;
    let file = started.fds.into_iter().find(|(what, _)| *what == FILE);
    process::end(&started.pidfd, Instant::now() + LIMIT)
        .map_err(|error| Error::io(Stage::Running, "end a process", &error))?;
    let (_, file) = file.ok_or_else(|| Error::new(ErrorKind::InitDied, Stage::Running))?;
    Ok(ampoule_init::above_stdio(file)?)
}

/// A process that joins, becomes the owner, makes the file and sends it.
fn program(
    root: OwnedFd,
    path: &Path,
    user_namespace: OwnedFd,
    (uid, gid): (u32, u32),
) -> Result<Program, Error> {
    let path = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::call(Stage::Running, "a path with a NUL byte", Errno::INVAL))?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut draft = Draft::default();
    let (root, user_namespace) = (draft.inherit(root), draft.inherit(user_namespace));
    let made = draft.slots.take();
    draft.launcher(p::umask(0));
    draft.launcher(l::join(user_namespace, Namespace::User.clone_flag(), "CLONE_NEWUSER"));
    draft.launcher(l::clone_first(Namespace::Pid.clone_flag(), "CLONE_NEWPID", None));
    draft.launcher(l::release());
    draft.first_all([
        l::wait_for_release(),
        p::undumpable(),
        p::setgid(gid),
        p::setuid(uid),
        file::create(root, &path, 0o644, resolve.bits(), made),
        l::send_fd(FILE, made),
        l::become_reaper(None),
    ]);
    Ok(Program::seal(draft)?)
}
