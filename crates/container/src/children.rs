//! The processes that joined a container, until they are reaped.
//!
//! Kernel objects: their pidfds; they are children of the host, in the container's pid namespace. Invariant: the end of
//! that namespace waits until every process in it is reaped (pid_namespaces(7)), so that the container's handle can
//! reap each of them, whoever else holds it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ampoule_init::process::{self, WaitStatus, wait_readable};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::error::{Error, ErrorKind, Stage};

/// A process that joined; reaped once, by whoever comes first.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pidfd: OwnedFd,
    end: Mutex<End>,
}

/// Whether it has been reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ahead,
    /// With its status, unless somebody else reaped it and the kernel does not know it any more.
    Reaped(Option<WaitStatus>),
}

impl Child {
    pub(crate) fn new(pid: u32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, end: Mutex::new(End::Ahead) }
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The descriptor to poll: how the end shows.
    pub(crate) fn poll(&self) -> PollFd<'_> {
        PollFd::new(&self.pidfd, PollFlags::IN)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        process::signal(&self.pidfd, signal).map_err(|error| failed("pidfd_send_signal", &error))
    }

    /// Waits until it has ended; false when that time passed.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Result<bool, Error> {
        wait_readable(&self.pidfd, until).map_err(|error| failed("poll", &error))
    }

    /// Reaps it if it has ended; false if it has not.
    pub(crate) fn reap(&self) -> Result<bool, Error> {
        let mut end = self.end();
        if *end != End::Ahead {
            return Ok(true);
        }
        if !self.wait(Some(Instant::now()))? {
            return Ok(false);
        }
        let status = process::reap(&self.pidfd).map_err(|error| failed("waitid", &error))?;
        *end = End::Reaped(status);
        Ok(true)
    }

    /// Its status, once it is reaped.
    pub(crate) fn status(&self) -> Option<WaitStatus> {
        match *self.end() {
            End::Reaped(status) => status,
            End::Ahead => None,
        }
    }

    /// Kills and reaps it.
    pub(crate) fn end_until(&self, deadline: Instant) -> Result<(), Error> {
        if self.reap()? {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        if self.wait(Some(deadline))? && self.reap()? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotEnding, Stage::Running).about("a process of the container"))
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(what: &'static str, error: &std::io::Error) -> Error {
    Error::io(Stage::Running, what, error)
}

/// All of a container's.
#[derive(Debug, Default)]
pub(crate) struct Children(Mutex<Vec<Arc<Child>>>);

impl Children {
    /// Adds one; those that were reaped meanwhile are forgotten.
    pub(crate) fn add(&self, child: Child) -> Arc<Child> {
        let child = Arc::new(child);
        let mut all = self.all();
        all.retain(|known| *known.end() == End::Ahead);
        all.push(Arc::clone(&child));
        child
    }

    /// Reaps those that have ended; gives those that live.
    pub(crate) fn living(&self) -> Result<Vec<Arc<Child>>, Error> {
        let mut all = self.all();
        let mut living = Vec::with_capacity(all.len());
        for child in std::mem::take(&mut *all) {
            if !child.reap()? {
                living.push(child);
            }
        }
        all.clone_from(&living);
        Ok(living)
    }

    /// Kills and reaps all; the first error is the one to tell, after all have been tried.
    pub(crate) fn end(&self, deadline: Instant) -> Result<(), Error> {
        let all = std::mem::take(&mut *self.all());
        all.iter().map(|child| child.end_until(deadline)).fold(Ok(()), Result::and)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Child>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
