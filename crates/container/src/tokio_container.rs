//! The same container for tokio: streams are `AsyncRead` and `AsyncWrite`, waiting is a future.
//!
//! Kernel objects: the pidfd and the pipes, registered with tokio's reactor; no thread per container. Invariant:
//! a dropped future or handle leaves no process.

use ampoule_cgroups::Bytes;
use ampoule_cgroups::events::Event;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::command::Command;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};
use crate::events::Events;
use crate::exit::{ExitStatus, Outcome};
use crate::launch::Launch;
use crate::output::Output;
use crate::tokio_listener::AsyncListener;

/// A running container with asynchronous streams; dropping it kills and reaps every process.
#[derive(Debug)]
pub struct AsyncContainer {
    /// The host's end of standard input, if it was piped.
    pub stdin: Option<Sender>,
    /// The host's end of standard output, if it was piped.
    pub stdout: Option<Receiver>,
    /// The host's end of standard error, if it was piped.
    pub stderr: Option<Receiver>,
    /// Where calls wait that the filter lets the host decide, if it notifies; see
    /// [`Container::listener`](crate::Container::listener).
    pub listener: Option<AsyncListener>,
    end: AsyncFd<OwnedFd>,
    container: Container,
}

/// An error of the runtime's registration.
pub(crate) fn runtime(error: &std::io::Error) -> Error {
    Error::io(Stage::Launch, "register with the runtime", error)
}

/// Registers a descriptor that becomes readable.
#[allow(
    deprecated,
    reason = "an OwnedFd upholds I/O safety; the replacement is an unsafe function"
)]
pub(crate) fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    AsyncFd::with_interest(fd, Interest::READABLE).map_err(|error| runtime(&error))
}

impl AsyncContainer {
    /// Takes a container over; its pipes become asynchronous.
    ///
    /// # Errors
    /// [`ErrorKind::System`] when the runtime cannot register a descriptor.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver enabled.
    pub fn new(mut container: Container) -> Result<Self, Error> {
        let receiver = |fd: OwnedFd| Receiver::from_owned_fd(fd).map_err(|error| runtime(&error));
        let stdin = container.stdin.take().map(|stdin| Sender::from_owned_fd(stdin.into()));
        let stdin = stdin.transpose().map_err(|error| runtime(&error))?;
        let stdout = container.stdout.take().map(|stdout| receiver(stdout.into())).transpose()?;
        let stderr = container.stderr.take().map(|stderr| receiver(stderr.into())).transpose()?;
        let listener = container.listener.take().map(AsyncListener::new).transpose()?;
        let pidfd = container.pidfd().try_clone_to_owned().map_err(|error| runtime(&error))?;
        let end = watch(pidfd)?;
        Ok(Self { stdin, stdout, stderr, listener, end, container })
    }

    /// The handle for everything that does not wait.
    #[must_use]
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Waits for the end of everything in the container; standard input is closed first.
    ///
    /// Cancelling the future loses nothing: it can be waited for again.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        drop(self.stdin.take());
        loop {
            if let Some(limit) = self.container.time_left() {
                let look = limit.min(LOOK);
                if timeout(look, self.ended()).await.is_err() && look == limit {
                    return self.container.kill_with(Outcome::TimedOut);
                }
            } else if self.container.joined.children.living()?.is_empty() {
                self.ended().await?;
            } else {
                // The first process ends only when those that joined are reaped, which the look below does.
                drop(timeout(LOOK, self.ended()).await);
            }
            if let Some(status) = self.container.try_wait()? {
                return Ok(status);
            }
        }
    }

    async fn ended(&self) -> Result<(), Error> {
        let mut guard = self.end.readable().await.map_err(|error| runtime(&error))?;
        guard.retain_ready();
        Ok(())
    }

    /// What happens to it from now on; see [`Container::events`].
    ///
    /// # Errors
    /// As [`Container::events`], and [`ErrorKind::System`] when the runtime cannot register a descriptor.
    pub fn events(&self) -> Result<AsyncEvents, Error> {
        let events = self.container.events()?;
        let ready = events.as_fd().try_clone_to_owned().map_err(|error| runtime(&error))?;
        Ok(AsyncEvents { ready: watch(ready)?, events })
    }

    /// Sends the stop signal, waits for the grace period, then kills everything.
    ///
    /// # Errors
    /// As [`Container::stop`].
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus, Error> {
        self.container.ask_to_stop()?;
        match timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.container.kill_all()?;
                self.wait().await
            }
        }
    }

    /// Collects what is written until the end; more than the limit in one stream kills the payload.
    async fn output(mut self, limit: Bytes) -> Result<Output, Error> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let read = tokio::try_join!(read_limited(stdout, limit), read_limited(stderr, limit));
        match read {
            Ok((stdout, stderr)) => {
                let status = self.wait().await?;
                Ok(Output { status, stdout, stderr })
            }
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                let status = self.container.kill_with(Outcome::OutputExceeded)?;
                Ok(Output { status, stdout: Vec::new(), stderr: Vec::new() })
            }
            Err(error) => Err(error),
        }
    }
}

/// The events of a container as futures.
#[derive(Debug)]
pub struct AsyncEvents {
    ready: AsyncFd<OwnedFd>,
    events: Events,
}

/// Between two looks at the processes that joined a container.
const LOOK: Duration = Duration::from_millis(20);

/// How often a group is looked for whose removal wakes nobody.
const REMOVAL: Duration = Duration::from_secs(1);

impl AsyncEvents {
    /// Waits for the next event; `None` after [`Event::Removed`]. Cancelling the future loses nothing.
    ///
    /// # Errors
    /// As [`Events::try_next`].
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            // Taken before the look: what happens after it wakes again.
            let ready = timeout(REMOVAL, self.ready.readable()).await.ok().transpose();
            let ready = ready.map_err(|error| runtime(&error))?;
            if let Some(event) = self.events.try_next()? {
                return Ok(Some(event));
            }
            if self.events.is_over() {
                return Ok(None);
            }
            if let Some(mut ready) = ready {
                ready.clear_ready();
            }
        }
    }
}

/// Reads to the end of a stream; one byte more than the limit is [`ErrorKind::TooLarge`].
async fn read_limited(
    stream: Option<impl AsyncRead + Unpin>,
    limit: Bytes,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let Some(stream) = stream else { return Ok(bytes) };
    let mut limited = stream.take(limit.get().saturating_add(1));
    let read = limited.read_to_end(&mut bytes).await;
    read.map_err(|error| Error::io(Stage::Running, "read from the payload", &error))?;
    if bytes.len() as u64 > limit.get() {
        return Err(Error::new(ErrorKind::TooLarge, Stage::Running));
    }
    Ok(bytes)
}

/// Launches on the runtime's blocking threads, because a launch waits for the kernel; a result that nobody waits
/// for any more is dropped there, which ends it.
async fn launch(
    start: impl FnOnce() -> Result<Container, Error> + Send + 'static,
) -> Result<AsyncContainer, Error> {
    let started = spawn_blocking(start).await;
    let container = started
        .map_err(|error| Error::new(ErrorKind::System, Stage::Launch).caused_by(error))??;
    AsyncContainer::new(container)
}

impl Command {
    /// Starts it, as [`Command::spawn`].
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub async fn spawn_async(self) -> Result<AsyncContainer, Error> {
        launch(move || self.spawn()).await
    }

    /// Runs it to its end and collects what it writes, as [`Command::output`].
    ///
    /// # Errors
    /// As [`Command::output`].
    pub async fn output_async(self) -> Result<Output, Error> {
        let limit = self.output_limit();
        launch(move || self.into_launch()?.for_output()).await?.output(limit).await
    }

    /// Runs it to its end, as [`Command::status`].
    ///
    /// # Errors
    /// As [`Command::status`].
    pub async fn status_async(self) -> Result<ExitStatus, Error> {
        self.spawn_async().await?.wait().await
    }
}

impl Launch {
    /// Starts it, as [`Launch::spawn`].
    ///
    /// # Errors
    /// As [`Launch::spawn`].
    pub async fn spawn_async(self) -> Result<AsyncContainer, Error> {
        launch(move || self.spawn()).await
    }

    /// Runs it to its end and collects what it writes, as [`Launch::output`].
    ///
    /// # Errors
    /// As [`Launch::output`].
    pub async fn output_async(self) -> Result<Output, Error> {
        let limit = self.output_limit();
        launch(move || self.for_output()).await?.output(limit).await
    }
}
