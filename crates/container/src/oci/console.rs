//! The console socket: the engine, not the runtime, has the terminal. And the pidfd socket.
//!
//! Kernel objects: a connection to a Unix socket (unix(7)). Invariant: the engine gets one message, with one descriptor.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::listener::send;
use crate::error::{Error, Stage};
use crate::pty::Pty;

/// What engines take for the name of the terminal.
const NAME: &[u8] = b"/dev/ptmx";

impl Pty {
    /// Sends this end to whoever listens at a Unix socket, as `--console-socket` of a runtime says it.
    ///
    /// # Errors
    /// [`System`](crate::ErrorKind::System) or [`PermissionDenied`](crate::ErrorKind::PermissionDenied) when nobody listens
    /// there, or the connection ends.
    pub fn send(self, socket: &Path) -> Result<(), Error> {
        let engine = UnixStream::connect(socket)
            .map_err(|error| Error::io(Stage::Running, "connect to the console socket", &error))?;
        send(&engine, NAME, self.as_fd())
            .map_err(|errno| Error::call(Stage::Running, "send to the console socket", errno))
    }
}

/// What comes with a pidfd.
const PIDFD: &[u8] = b"pidfd";

/// Sends a process's descriptor to whoever listens at a Unix socket, as `--pidfd-socket` of a runtime says it: the engine
/// then waits for exactly this process, and signals it.
///
/// # Errors
/// As [`Pty::send`].
pub fn send_pidfd(socket: &Path, pidfd: BorrowedFd<'_>) -> Result<(), Error> {
    let engine = UnixStream::connect(socket)
        .map_err(|error| Error::io(Stage::Running, "connect to the pidfd socket", &error))?;
    send(&engine, PIDFD, pidfd)
        .map_err(|errno| Error::call(Stage::Running, "send to the pidfd socket", errno))
}
