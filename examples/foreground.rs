//! A container in the foreground of a shell: signals to this program go to the payload, and its end
//! becomes this program's exit code.
//!
//! Kernel objects: the container's pidfd, the pipe of the signal handlers. Invariant: this program
//! outlives the payload, whatever signal it can catch.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ampoule::{Container, ExitStatus, Outcome, Process, Pty};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::arguments::Failure;

/// The exit code of a program that was ended at its time limit, as timeout(1) has it.
pub const TIMED_OUT: u8 = 124;
/// The exit code when this program itself failed.
pub const FAILED: u8 = 125;

/// Signals that are handed on, and the change of the window's size.
const CAUGHT: [i32; 7] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];

/// The exit code that a shell would show.
#[must_use]
pub fn exit_code(status: &ExitStatus) -> u8 {
    match status.outcome() {
        Outcome::Exited(code) => code,
        Outcome::TimedOut => TIMED_OUT,
        _ => u8::try_from(128 + status.signal().unwrap_or(9)).unwrap_or(FAILED),
    }
}

/// What a shell has in the foreground: a container, or a further process in one.
pub trait Foreground {
    /// What is readable when its first process has ended.
    fn pidfd(&self) -> BorrowedFd<'_>;

    /// Its end of the terminal, if it has one that nobody took.
    fn take_pty(&mut self) -> Option<Pty>;

    /// Sends it a signal.
    ///
    /// # Errors
    /// As [`Container::kill`].
    fn kill(&self, signal: i32) -> Result<(), ampoule::Error>;

    /// Its status if it has ended.
    ///
    /// # Errors
    /// As [`Container::try_wait`].
    fn try_wait(&mut self) -> Result<Option<ExitStatus>, ampoule::Error>;
}

impl Foreground for Container {
    fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd()
    }

    fn take_pty(&mut self) -> Option<Pty> {
        self.pty.take()
    }

    fn kill(&self, signal: i32) -> Result<(), ampoule::Error> {
        self.kill(signal)
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, ampoule::Error> {
        self.try_wait()
    }
}

impl Foreground for Process {
    fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd()
    }

    fn take_pty(&mut self) -> Option<Pty> {
        self.pty.take()
    }

    fn kill(&self, signal: i32) -> Result<(), ampoule::Error> {
        self.kill(signal)
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, ampoule::Error> {
        self.try_wait()
    }
}

/// The number of a signal, which is said as `9`, `KILL` or `SIGKILL`.
///
/// # Errors
/// A name that no signal has.
pub fn signal(text: &str) -> Result<i32, Failure> {
    let upper = text.to_uppercase();
    let named = |number: &i32| {
        let name = signal_hook::low_level::signal_name(*number);
        name.is_some_and(|name| name == upper || name.strip_prefix("SIG") == Some(&upper))
    };
    let number = text.parse().ok().or_else(|| (1..32).find(named));
    number.ok_or_else(|| format!("there is no signal {text}").into())
}

/// Signals to this process, from here on readable.
pub struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl std::fmt::Debug for Signals {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// What sigaction(2) or socketpair(2) answered.
    pub fn catch() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        SignalDelivery::with_pipe(read, write, SignalOnly, CAUGHT).map(Self)
    }

    /// What becomes readable when one has come.
    pub fn fd(&self) -> impl AsFd + '_ {
        self.0.get_read()
    }

    /// Waits this long; whether a signal that means the end came meanwhile.
    ///
    /// # Errors
    /// What poll(2) answered.
    pub fn interrupted(&mut self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let fd = self.fd();
            ready(&mut [PollFd::new(&fd, PollFlags::IN)], Some(deadline))?;
            drop(fd);
            if self.0.pending().any(|signal| signal != SIGWINCH) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those that have come and are to be handed on.
    pub fn pending(&mut self) -> Vec<i32> {
        self.taken().0
    }

    /// As [`Signals::pending`], and whether the window's size is among what has come.
    pub fn taken(&mut self) -> (Vec<i32>, Window) {
        let (resized, others): (Vec<i32>, Vec<i32>) =
            self.0.pending().partition(|signal| *signal == SIGWINCH);
        (others, if resized.is_empty() { Window::Same } else { Window::Resized })
    }

    /// Hands the payload what has come; whether the window's size is among it.
    ///
    /// # Errors
    /// As [`Container::kill`].
    pub fn forward(&mut self, container: &impl Foreground) -> Result<Window, ampoule::Error> {
        let mut window = Window::Same;
        for signal in self.0.pending() {
            match signal {
                SIGWINCH => window = Window::Resized,
                _ => container.kill(signal)?,
            }
        }
        Ok(window)
    }
}

/// Whether the terminal's size has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// It has not.
    Same,
    /// It has.
    Resized,
}

/// Waits for the end and hands on signals meanwhile.
///
/// # Errors
/// As [`Container::wait`].
pub fn wait(
    container: &mut impl Foreground,
    signals: &mut Signals,
    limit: Option<Duration>,
) -> Result<ExitStatus, Failure> {
    let deadline = deadline(limit);
    loop {
        let fd = signals.fd();
        let mut polls = [PollFd::new(&fd, PollFlags::IN), end_of(container)];
        ready(&mut polls, deadline)?;
        drop(fd);
        signals.forward(container)?;
        if let Some(status) = container.try_wait()? {
            return Ok(status);
        }
    }
}

/// What is readable when the first process has ended.
pub(crate) fn end_of(container: &impl Foreground) -> PollFd<'_> {
    PollFd::from_borrowed_fd(container.pidfd(), PollFlags::IN)
}

/// When the handle has to look at the time limit: where there is no reaper it is the one that keeps it.
pub(crate) fn deadline(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

/// Waits until something is ready or the deadline has passed.
pub(crate) fn ready(polls: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    // Not the same moment again and again while the killed processes end.
    const LEAST: Duration = Duration::from_millis(10);
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()).max(LEAST));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(polls, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
