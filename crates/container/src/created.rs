//! A container in two phases: created, then started.
//!
//! Kernel objects: the payload's process, which has done everything but its exec and waits; the host's end of the socket
//! on which it is told to go on. Invariant: a container that was created ends with its handle, as one that runs does;
//! what can be found out before the exec is an error of `create`.

use std::ffi::CString;
use std::fmt;
use std::time::{Duration, Instant};

use ampoule_init::{Held, Tail, Went};
use ampoule_seccomp::notify::Listener;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::joining;
use crate::launch::Launch;
use crate::launch_error::explain_named;
use crate::syscalls;

/// Where a container is in its life; printed as the `status` of OCI runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// It is being made.
    Creating,
    /// Everything is done but the start of its program.
    Created,
    /// Its program was started.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl fmt::Display for RunState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// What starts the payload of a created container, and names what its errors are about.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) held: Held,
    pub(crate) program: Option<CString>,
    pub(crate) directory: CString,
    pub(crate) timeout: Option<Duration>,
    pub(crate) start_timeout: Duration,
}

impl Waiting {
    /// Lets the payload go on.
    pub(crate) fn go(self, tail: &Tail) -> Result<Went, Error> {
        let deadline = Instant::now() + self.start_timeout;
        self.held.go(tail, deadline).map_err(|error| {
            explain_named(error, Some(Stage::Process), self.program.as_ref(), Some(&self.directory))
        })
    }
}

impl Command {
    /// Makes the container without starting its program: see [`Launch::create`].
    ///
    /// # Errors
    /// As [`Command::plan`] and [`Launch::create`].
    pub fn create(self) -> Result<Container, Error> {
        self.into_launch()?.create()
    }
}

impl Launch {
    /// Makes the container without starting its program, which [`Container::start`] does. Its namespaces, mounts and group
    /// are there, and its payload's process has its ids, limits and capabilities, so that for example its network can be
    /// configured from outside meanwhile (with [`Pid1::Payload`](crate::Pid1::Payload) by root alone: there is no init to
    /// give it out). A time limit counts from the start.
    ///
    /// # Errors
    /// As [`Launch::spawn`]; a program that is not there or may not be executed is found here, one that the kernel cannot
    /// execute by [`Container::start`]. [`ErrorKind::InvalidSettings`] for a container without a program.
    pub fn create(self) -> Result<Container, Error> {
        if self.is_idle() {
            let reason = "there is no program to be started: an idle container runs at once";
            return Err(Error::invalid(vec![Problem::new("create", reason)]));
        }
        self.hold()
    }
}

impl Container {
    /// Where it is in its life, as the kernel shows it now.
    #[must_use]
    pub fn state(&self) -> RunState {
        match () {
            () if self.alive().is_err() => RunState::Stopped,
            () if self.waiting.is_some() => RunState::Created,
            () if joining::is_frozen(self.freeze_state().as_ref()) => RunState::Paused,
            () => RunState::Running,
        }
    }

    /// Starts the program of a created container; it runs when this returns `Ok`. When it returns `Err`, the container has
    /// ended.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] unless it is [`RunState::Created`]; those of the program, of its filter and
    /// [`ErrorKind::StartTimeout`] as [`Launch::spawn`].
    pub fn start(&mut self) -> Result<(), Error> {
        let state = self.state();
        let waiting = match self.waiting.take() {
            Some(waiting) if state == RunState::Created => waiting,
            _ => return Err(wrong_state("start", state)),
        };
        let (begun, timeout) = (Instant::now(), waiting.timeout);
        let started = waiting.go(&self.plan.tail()).and_then(|went| {
            self.begun = begun;
            self.deadline = timeout.and_then(|limit| begun.checked_add(limit));
            self.take(went);
            match self.plan.settings.apparmor.clone() {
                Some(profile) => profile.verify(self),
                None => Ok(()),
            }
        });
        if started.is_err() {
            // The first error is the one to tell.
            drop(self.kill_all().and_then(|()| self.collect()));
        }
        started
    }

    /// Takes what the start sent.
    pub(crate) fn take(&mut self, went: Went) {
        for (what, fd) in went.fds {
            if what == syscalls::LISTENER {
                self.listener = Some(Listener::from(fd));
            }
        }
    }
}

/// What cannot be done in this state.
pub(crate) fn wrong_state(operation: &str, state: RunState) -> Error {
    Error::new(ErrorKind::WrongState, Stage::Running)
        .about(format!("cannot {operation} a container that is {state}"))
}
