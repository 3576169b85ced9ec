//! The process that keeps a scope: a scope is made with a process in it, and ends with the last one.
//!
//! Kernel objects: a child of this process that executes the embedded program, not a copy of this process. Invariant: it
//! ends when it is dropped, when this process ends, and when systemd stops the scope.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{Draft, Launch, PidNamespace, Program, Started, process, start};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::error::{Error, Result};

/// How long a killed process may take to end.
const LIMIT: Duration = Duration::from_secs(5);

/// The process; it is killed when dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    started: Started,
    ended: bool,
}

impl Keeper {
    pub(super) fn start(deadline: Instant) -> Result<Self> {
        // It ends with this process, should that be killed.
        let host = pidfd_open(getpid(), PidfdFlags::empty())
            .map_err(|errno| Error::system("pidfd_open", errno))?;
        let launch = Launch::idle(host.as_fd(), PidNamespace::Other, deadline);
        let started = start(&program()?, &launch).map_err(|error| failed(&error))?;
        Ok(Self { started, ended: false })
    }

    /// Its id. It is a child that is not reaped before its end, so that no other process gets the id meanwhile.
    pub(super) fn pid(&self) -> u32 {
        self.started.pid
    }

    pub(super) fn end(&mut self) {
        if !self.ended {
            // It cannot withstand a kill; one that hangs in the kernel ends later.
            self.ended = process::end(&self.started.pidfd, Instant::now() + LIMIT).is_ok();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

fn program() -> Result<Program> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, "/", flags, Mode::empty())
        .map_err(|errno| Error::at("open", Path::new("/"), errno))?;
    let mut draft = Draft::default();
    let root = draft.inherit(root);
    draft.launcher(l::clone_first(0, "", None));
    draft.launcher(l::release());
    draft.first_all([
        l::wait_for_release(),
        p::undumpable(),
        // A key on the host's terminal is not for it.
        p::setsid(),
        // systemd stops a scope with SIGTERM.
        l::reset_signals(),
        // It keeps no directory of the host busy.
        p::fchdir(root),
        l::become_reaper(None),
    ]);
    Program::seal(draft).map_err(|error| failed(&error))
}

fn failed(error: &ampoule_init::Error) -> Error {
    let errno = error.errno().map_or(Errno::IO, Errno::from_raw_os_error);
    Error::system("start the process of a scope", errno)
}
