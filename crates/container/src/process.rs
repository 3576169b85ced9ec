//! The handle of a process that joined a container: wait, signal, streams.
//!
//! Kernel objects: its pidfd. Invariant: when the handle is dropped the process does not live, unless it was detached.

use std::os::fd::BorrowedFd;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ampoule_seccomp::notify::Listener;
use rustix::process::Signal;

use crate::children::Child;
use crate::container::{END_LIMIT, OnDrop};
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::exit::{ExitStatus, Outcome, Usage};
use crate::pty::Pty;

/// A further process in a container, from [`Container::exec`](crate::Container::exec).
///
/// Dropping it kills and reaps the process, unless the container was started with [`OnDrop::Detach`]; what it started
/// goes on in the container. It ends with the container in any case.
#[derive(Debug)]
pub struct Process {
    /// The host's end of standard input, if it was piped.
    pub stdin: Option<ChildStdin>,
    /// The host's end of standard output, if it was piped.
    pub stdout: Option<ChildStdout>,
    /// The host's end of standard error, if it was piped.
    pub stderr: Option<ChildStderr>,
    /// The host's end of the terminal, if there is one.
    pub pty: Option<Pty>,
    /// Where this process's calls wait that the filter lets the host decide, if it notifies, as
    /// [`Container::listener`](crate::Container::listener): each process that joins loads the filter anew, and has one of its
    /// own. Its calls fail with `ENOSYS` when it is dropped.
    pub listener: Option<Listener>,
    pub(crate) child: Arc<Child>,
    pub(crate) begun: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) on_drop: OnDrop,
    pub(crate) ended: Option<ExitStatus>,
}

impl Process {
    /// Its id in the host's pid namespace; use [`Process::pidfd`] to act on it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// Its descriptor (pidfd_open(2)).
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Sends it a signal; a process that has ended already is not an error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSettings`] for a number that is none, [`ErrorKind::PermissionDenied`].
    pub fn kill(&self, signal: i32) -> Result<(), Error> {
        let invalid = || {
            let problem = Problem::new("kill", format!("there is no signal {signal}"));
            Error::invalid(vec![problem])
        };
        self.child.signal(Signal::from_named_raw(signal).ok_or_else(invalid)?)
    }

    /// Sends `SIGTERM`, waits for the grace period, then kills it.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, Error> {
        self.child.signal(Signal::TERM)?;
        if let Some(status) = self.wait_timeout(grace)? {
            return Ok(status);
        }
        self.child.signal(Signal::KILL)?;
        self.wait()
    }

    /// Waits for its end; standard input is closed first.
    ///
    /// # Errors
    /// [`ErrorKind::StatusLost`] when somebody else reaped it and the kernel does not keep its status,
    /// [`ErrorKind::NotEnding`] when it does not end at its time limit, as in a frozen container of cgroup v1.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        drop(self.stdin.take());
        loop {
            if let Some(status) = self.wait_until(None)? {
                return Ok(status);
            }
        }
    }

    /// The status if it has ended.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.wait_until(Some(Instant::now()))
    }

    /// Waits at most this long; `None` if it still runs.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        self.wait_until(Instant::now().checked_add(limit))
    }

    /// Lets it go on without this handle, to its own or the container's end.
    pub fn detach(mut self) {
        self.on_drop = OnDrop::Detach;
    }

    fn wait_until(&mut self, until: Option<Instant>) -> Result<Option<ExitStatus>, Error> {
        let own = match (until, self.deadline) {
            (Some(until), Some(deadline)) => Some(until.min(deadline)),
            (until, deadline) => until.or(deadline),
        };
        if self.child.wait(own)? {
            return self.collect().map(Some);
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.deadline = None;
            return self.kill_with(Outcome::TimedOut).map(Some);
        }
        Ok(None)
    }

    /// Kills it; the status says why.
    pub(crate) fn kill_with(&mut self, outcome: Outcome) -> Result<ExitStatus, Error> {
        self.child.end_until(Instant::now() + END_LIMIT)?;
        let status = self.collect()?.with_outcome(outcome);
        self.ended = Some(status.clone());
        Ok(status)
    }

    /// Takes the status once the end has been seen.
    fn collect(&mut self) -> Result<ExitStatus, Error> {
        if let Some(status) = &self.ended {
            return Ok(status.clone());
        }
        self.child.reap()?;
        let status = self.child.status().ok_or_else(|| {
            Error::new(ErrorKind::StatusLost, Stage::Running)
                .with_hint("somebody else waits for this process's children; Linux 6.15 keeps it")
        })?;
        let outcome = Outcome::from_wait_status(status);
        let status = ExitStatus::new(outcome, Usage::default(), self.begun.elapsed());
        Ok(self.ended.insert(status).clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Kill {
            // An error here has no one to go to; the process ends with the container at the latest.
            drop(self.child.end_until(Instant::now() + END_LIMIT));
        }
    }
}
