//! What happens to a running container: out of memory, limits met, its processes come and go.
//!
//! Kernel objects: one epoll descriptor over files of the container's group. Invariant: events are differences of
//! counters, so that none is lost between two looks.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ampoule_cgroups::events::{Event, EventStream};

use crate::container::Container;
use crate::error::{Error, Stage};

/// The events of a container from the moment on when it was asked for; see [`Container::events`].
///
/// As an iterator it waits for each one and ends after [`Event::Removed`]. Its descriptor is for poll(2) or a reactor:
/// when it is readable, [`Events::try_next`] is called until it gives `None`. The kernel tells nobody that a group
/// was removed (after [`Container::wait`]): a waiting reader notices it within a second, the descriptor does not.
#[derive(Debug)]
pub struct Events {
    stream: EventStream,
    end: End,
}

/// Whether the last event has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ahead,
    Seen,
}

impl Container {
    /// What happens to it from now on.
    ///
    /// Which events there are depends on the controllers of its group: those of memory and processes need a limit
    /// ([`Builder::memory_max`](crate::Builder::memory_max), …) or pure cgroup v2 in the root group. On v1 the kernel
    /// wakes the reader for memory; the other files are looked at ten times a second.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`](crate::ErrorKind::Limits) without a group, or when it has ended.
    pub fn events(&self) -> Result<Events, Error> {
        let stream = self.grouped()?.events().map_err(failed)?;
        Ok(Events { stream, end: End::Ahead })
    }
}

fn failed(error: ampoule_cgroups::Error) -> Error {
    Error::from_cgroups(Stage::Running, error)
}

impl Events {
    /// The next event if it has happened already.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`](crate::ErrorKind::Limits) when the group's files cannot be read.
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        self.next_timeout(Duration::ZERO)
    }

    /// Waits at most this long for the next event; `None` when nothing happened, or after [`Event::Removed`].
    ///
    /// # Errors
    /// As [`Events::try_next`].
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Event>, Error> {
        self.wait(Some(limit))
    }

    /// Waits for the next event until then; `None` when nothing happened, or after [`Event::Removed`].
    ///
    /// # Errors
    /// As [`Events::try_next`].
    pub fn next_until(&mut self, deadline: Instant) -> Result<Option<Event>, Error> {
        self.wait(Some(deadline.saturating_duration_since(Instant::now())))
    }

    /// Whether the last event was given.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_over(&self) -> bool {
        self.end == End::Seen
    }

    fn wait(&mut self, limit: Option<Duration>) -> Result<Option<Event>, Error> {
        if self.end == End::Seen {
            return Ok(None);
        }
        let event = self.stream.next(limit).map_err(failed)?;
        if event == Some(Event::Removed) {
            self.end = End::Seen;
        }
        Ok(event)
    }
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.wait(None).transpose()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
