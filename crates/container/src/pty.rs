//! A terminal for the payload.
//!
//! Kernel objects: a pty pair of the container's own devpts (pty(7), `TIOCGPTPEER`: Linux 4.13). Invariant: the
//! peer is opened through the master's descriptor, never by a path of the container.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{Winsize, tcsetwinsize};

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Default for WindowSize {
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

/// The host's end of a payload's terminal.
#[derive(Debug)]
pub struct Pty(OwnedFd);

impl Pty {
    pub(crate) fn new(master: OwnedFd) -> Self {
        Self(master)
    }

    /// Tells the payload a new size (`SIGWINCH`).
    ///
    /// # Errors
    /// What `TIOCSWINSZ` answered (ioctl_tty(2)).
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.0, size)?)
    }

    /// The descriptor, for event loops of the caller.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Pty {
    /// Reads; the hang-up after the payload's end (`EIO`) reads as the end of the file.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.0, buffer) {
            Err(rustix::io::Errno::IO) => Ok(0),
            other => Ok(other?),
        }
    }
}

impl Write for Pty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
