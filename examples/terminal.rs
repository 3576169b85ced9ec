//! The caller's terminal and the payload's: bytes both ways, and the window's size.
//!
//! Kernel objects: the caller's terminal (termios(3)), the payload's pty. Invariant: the caller's terminal has its
//! settings again when [`run`] returns, also by an error or a panic.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ampoule::{ExitStatus, Pty, WindowSize};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::arguments::Failure;
use crate::foreground::{Foreground, Signals, Window, deadline, end_of, ready};

/// End of input as typed: what a pipe's end becomes in a terminal.
const END_OF_INPUT: u8 = 4;

/// How long until a terminal that nobody held is looked at again.
const AGAIN: Duration = Duration::from_millis(100);

/// Size of the caller's terminal, or the usual one.
#[must_use]
pub fn window_size() -> WindowSize {
    let found = [stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .into_iter()
        .find_map(|fd| tcgetwinsize(fd).ok());
    match found {
        Some(size) if size.ws_row > 0 && size.ws_col > 0 => {
            WindowSize { rows: size.ws_row, columns: size.ws_col }
        }
        _ => WindowSize::default(),
    }
}

/// The caller's terminal without echo, line editing and signals; restored when dropped.
#[derive(Debug)]
pub struct Raw(Option<Termios>);

impl Raw {
    /// Where standard input is a terminal; else nothing is changed.
    ///
    /// # Errors
    /// What tcsetattr(3) answered.
    pub fn enter() -> io::Result<Self> {
        if !isatty(stdin()) {
            return Ok(Self(None));
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone needs no settings.
            tcsetattr(stdin(), OptionalActions::Drain, before).unwrap_or_default();
        }
    }
}

/// Copies both ways until the payload ends.
///
/// # Errors
/// As [`Foreground::try_wait`]; what the terminals answered.
pub fn run(
    container: &mut impl Foreground,
    signals: &mut Signals,
    limit: Option<Duration>,
) -> Result<ExitStatus, Failure> {
    let Some(pty) = container.take_pty() else {
        return crate::foreground::wait(container, signals, limit);
    };
    rustix::io::ioctl_fionbio(&pty, true)?;
    let _raw = Raw::enter()?;
    let deadline = deadline(limit);
    let mut copy = Copy { pty, pending: Vec::new(), input: Side::Open, output: Side::Open };
    loop {
        copy.wait(container, signals, deadline)?;
        if signals.forward(container)? == Window::Resized {
            copy.pty.resize(window_size())?;
        }
        copy.read_payload()?;
        if let Some(status) = container.try_wait()? {
            copy.read_payload()?;
            return Ok(status);
        }
    }
}

fn sooner(deadline: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(deadline.map_or(other, |deadline| deadline.min(other)))
}

/// Whether more may come from one side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    Ended,
}

/// Bytes under way.
struct Copy {
    pty: Pty,
    /// Read from the caller, not yet taken by the payload's terminal.
    pending: Vec<u8>,
    input: Side,
    /// Ended while nobody in the container holds the terminal.
    output: Side,
}

impl Copy {
    /// Waits for anything to do, and moves input.
    fn wait(
        &mut self,
        container: &impl Foreground,
        signals: &Signals,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let idle = self.pending.is_empty();
        let toward = if idle { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let (input, signal_fd) = (stdin(), signals.fd());
        // An event that is not waited for is one that is not reported.
        let wanted =
            if idle && self.input == Side::Open { PollFlags::IN } else { PollFlags::empty() };
        let mut polls = vec![
            PollFd::new(&input, wanted),
            PollFd::new(&signal_fd, PollFlags::IN),
            end_of(container),
        ];
        let mut until = deadline;
        match self.output {
            Side::Open => polls.push(PollFd::new(&self.pty, toward)),
            // Its hang-up would be reported again and again.
            Side::Ended => until = sooner(deadline, Instant::now() + AGAIN),
        }
        ready(&mut polls, until)?;
        let typed = wanted.intersects(PollFlags::IN) && !polls[0].revents().is_empty();
        drop(polls);
        if typed {
            self.read_caller()?;
        }
        self.write_payload()
    }

    fn read_caller(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        match rustix::io::read(stdin(), &mut chunk) {
            Ok(0) | Err(Errno::IO) => {
                self.input = Side::Ended;
                self.pending.push(END_OF_INPUT);
            }
            Ok(length) => self.pending.extend_from_slice(&chunk[..length]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    fn write_payload(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match rustix::io::write(self.pty.as_fd(), &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // Nobody holds the other end any more.
                Err(Errno::IO) => self.pending.clear(),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Hands on what the payload has written, as far as it is there.
    fn read_payload(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let mut out = io::stdout();
        self.output = Side::Open;
        loop {
            match self.pty.read(&mut chunk) {
                Ok(0) => {
                    self.output = Side::Ended;
                    break;
                }
                Ok(length) => out.write_all(&chunk[..length])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        out.flush()
    }
}
