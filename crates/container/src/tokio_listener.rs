//! The listener of a filter for tokio: the next call that waits is a future.
//!
//! Kernel objects: the listener's descriptor, registered with tokio's reactor. Invariant: no thread waits; a future that is
//! dropped has taken no call.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ampoule_seccomp::notify::{Listener, Received, Request};
use tokio::io::unix::AsyncFd;

use crate::error::{Error, Stage};
use crate::tokio_container::{runtime, watch};

/// The calls of a container, or of a process that joined one, that the filter lets the host decide.
///
/// Made of [`Container::listener`](crate::Container::listener) or [`Process::listener`](crate::Process::listener). One task
/// takes the calls; answers may come from anywhere.
#[derive(Debug)]
pub struct AsyncListener {
    ready: AsyncFd<OwnedFd>,
    listener: Listener,
}

impl AsyncListener {
    /// Takes a listener over.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the runtime cannot register a descriptor.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn new(listener: Listener) -> Result<Self, Error> {
        let ready = listener.as_fd().try_clone_to_owned().map_err(|error| runtime(&error))?;
        Ok(Self { ready: watch(ready)?, listener })
    }

    /// What answers the calls; that does not wait.
    #[must_use]
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Waits for the next call; `None` when nobody has the filter any more. Cancelling the future loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the listener fails.
    pub async fn next(&mut self) -> Result<Option<Request>, Error> {
        loop {
            // Taken before the look: what comes after it wakes again.
            let mut ready = self.ready.readable().await.map_err(|error| runtime(&error))?;
            let received = self.listener.receive(Some(Duration::ZERO));
            match received.map_err(|error| Error::from_seccomp(Stage::Running, error))? {
                Received::Request(request) => return Ok(Some(request)),
                Received::TimedOut => ready.clear_ready(),
                _ => return Ok(None),
            }
        }
    }
}
