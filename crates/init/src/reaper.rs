//! What the reaper tells the host about the end of the payload, and what the host may ask of it.
//!
//! Invariant: numbers from the other side are taken as they are, without arithmetic that could overflow.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::control::{self, Received};
use crate::error::{Error, ErrorKind};
use crate::process::{WaitStatus, wait_readable};
use crate::wire::{Record, cause, record};

/// Why the payload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// By itself or by a signal.
    Ended,
    /// Its time limit passed.
    TimedOut,
    /// The host's process ended.
    HostDied,
}

/// Resources that the payload and its descendants used (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// The largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
    /// Page faults without input.
    pub minor_faults: u64,
    /// Page faults with input.
    pub major_faults: u64,
    /// Blocks read (512 bytes).
    pub blocks_in: u64,
    /// Blocks written (512 bytes).
    pub blocks_out: u64,
    /// Switches while waiting.
    pub voluntary_switches: u64,
    /// Switches by preemption.
    pub involuntary_switches: u64,
}

/// The reaper's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The payload's wait status.
    pub status: WaitStatus,
    /// Why it ended.
    pub cause: Cause,
    /// What it used.
    pub usage: Usage,
}

impl Ended {
    /// Reads a status record.
    #[must_use]
    pub fn from_record(record: &Record) -> Option<Self> {
        if record.kind != record::STATUS {
            return None;
        }
        let cause = match record.aux {
            cause::TIMED_OUT => Cause::TimedOut,
            cause::HOST_DIED => Cause::HostDied,
            _ => Cause::Ended,
        };
        let word = |index: usize| record.words.get(index).copied().unwrap_or(0);
        let usage = Usage {
            user: Duration::from_micros(word(0)),
            system: Duration::from_micros(word(1)),
            max_rss_kib: word(2),
            minor_faults: word(6),
            major_faults: word(7),
            blocks_in: word(9),
            blocks_out: word(10),
            voluntary_switches: word(11),
            involuntary_switches: word(12),
        };
        Some(Self { status: record.errno, cause, usage })
    }
}

/// Reads the reaper's report if it is there.
///
/// # Errors
/// As [`control::receive`].
pub fn report(socket: &OwnedFd) -> Result<Option<Ended>, Error> {
    match control::receive(socket)? {
        Received::Record(record, _) => Ok(Ended::from_record(&record)),
        Received::Junk | Received::Closed | Received::Nothing => Ok(None),
    }
}

/// Asks the reaper to send the payload a signal.
///
/// # Errors
/// As [`control::request`].
pub fn signal(socket: &OwnedFd, signal: u32) -> Result<(), Error> {
    control::request(socket, &Record::new(record::SIGNAL, 0, 0, signal))
}

/// Asks the reaper to send every process of its pid namespace a signal.
///
/// # Errors
/// As [`control::request`].
pub fn signal_all(socket: &OwnedFd, signal: u32) -> Result<(), Error> {
    control::request(socket, &Record::new(record::SIGNAL_ALL, 0, 0, signal))
}

/// Lets the reaper open something of its own ([`crate::wire::open`]); a status that arrives meanwhile is kept.
///
/// # Errors
/// What the reaper answered; [`ErrorKind::InitDied`] when it ended, [`ErrorKind::StartTimeout`] past the deadline.
pub fn open(
    socket: &OwnedFd,
    what: u32,
    deadline: Instant,
    ended: &mut Option<Ended>,
) -> Result<OwnedFd, Error> {
    control::request(socket, &Record::new(record::OPEN, 0, 0, what))?;
    loop {
        let ready =
            wait_readable(socket, Some(deadline)).map_err(|error| Error::host("poll", error))?;
        if !ready {
            return Err(Error::new(ErrorKind::StartTimeout, "the reaper does not answer"));
        }
        match control::receive(socket)? {
            // An answer that came too late for somebody else is not this one's.
            Received::Record(answer, Some(fd))
                if (answer.kind, answer.aux) == (record::FD, what) =>
            {
                return Ok(fd);
            }
            Received::Record(answer, _) if (answer.kind, answer.aux) == (record::ERROR, what) => {
                return Err(Error::new(ErrorKind::Host, "the reaper cannot open it")
                    .with_errno(answer.error_number()));
            }
            Received::Record(other, _) => *ended = Ended::from_record(&other).or(*ended),
            Received::Closed => {
                return Err(Error::new(ErrorKind::InitDied, "the container has ended"));
            }
            Received::Junk | Received::Nothing => {}
        }
    }
}

/// Asks an idle reaper to end.
///
/// # Errors
/// As [`control::request`].
pub fn stop(socket: &OwnedFd) -> Result<(), Error> {
    control::request(socket, &Record::new(record::STOP, 0, 0, 0))
}

/// Asks the reaper to kill the payload and all its descendants, and to end: what a kill of the reaper alone does not
/// do where the pid namespace is not the container's own.
///
/// # Errors
/// As [`control::request`].
pub fn end(socket: &OwnedFd) -> Result<(), Error> {
    control::request(socket, &Record::new(record::END, 0, 0, 0))
}
