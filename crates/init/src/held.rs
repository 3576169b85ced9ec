//! A launch that waits before its program: started here, or by another process.
//!
//! Kernel objects: the host's end of the setup socket, or a connection to the socket that was handed over. Invariant:
//! while a launch is held it ends with its [`Held`], unless that was handed over.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::control::{self, Incoming};
use crate::error::{Error, ErrorKind};
use crate::image::Sealing;
use crate::launch::Launch;
use crate::process;
use crate::program::Program;
use crate::wire::{NONE, Record, code, record};

/// What starts the program of a launch that is held. Dropping it ends what waits.
#[derive(Debug)]
pub struct Held(OwnedFd);

/// The steps behind the one that holds a program, as plain data: whoever starts it need not be who made the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Position of the first one in the program.
    pub first: usize,
    /// What each prints; the last one is the exec.
    pub steps: Vec<String>,
}

impl Tail {
    /// Of a program; without steps where it holds nothing.
    #[must_use]
    pub fn of(program: &Program) -> Self {
        let hold = program.steps().position(|step| step.has(code::HOLD));
        // With the change of directory, which a claim makes again.
        let first = hold.map_or(usize::MAX, |at| at.saturating_sub(1));
        Self { first, steps: program.steps().skip(first).map(ToString::to_string).collect() }
    }

    /// The error that a report describes.
    fn error(&self, report: &Record) -> Error {
        let index = usize::try_from(report.step).unwrap_or(usize::MAX);
        let at = index.checked_sub(self.first).unwrap_or(usize::MAX);
        let text = self.steps.get(at).cloned().unwrap_or_default();
        let exec = at.checked_add(1) == Some(self.steps.len()) || text.starts_with("hold");
        let kind = if exec { ErrorKind::Exec } else { ErrorKind::Step };
        Error::at_step(kind, index, text, report.error_number(), report.aux)
    }
}

/// What came of a start.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Went {
    /// Descriptors that steps sent, with what they say.
    pub fds: Vec<(u32, OwnedFd)>,
}

impl Held {
    pub(crate) fn new(setup: OwnedFd) -> Self {
        Self(setup)
    }

    /// One that was handed over, by a connection to its listening socket.
    #[must_use]
    pub fn connected(connection: OwnedFd) -> Self {
        Self(connection)
    }

    /// Hands it over: from now on it waits for somebody who connects to `listener` (`SOCK_SEQPACKET`) and says
    /// [`Held::go`], also past the end of this process.
    ///
    /// # Errors
    /// [`ErrorKind::InitDied`] when it has ended, [`ErrorKind::Host`] when the message cannot be sent.
    pub fn hand_over(self, listener: BorrowedFd<'_>) -> Result<(), Error> {
        send(&self.0, &Record::new(record::KEEP, 0, 0, 0), &[listener])
    }

    /// Starts another program than that of the held launch, with other streams; of `launch` the texts, the first
    /// parameters and `payload_fds` count. The numbers of these are among those of the held launch, whose others are
    /// closed but for the three streams.
    ///
    /// # Errors
    /// As [`Held::go`].
    pub fn claim(self, launch: &Launch<'_>, tail: &Tail) -> Result<Went, Error> {
        let image = launch.image()?.store("ampoule-launch", Sealing::Unsealed)?;
        for (number, fd) in &launch.payload_fds {
            let number = u32::try_from(*number).unwrap_or(NONE);
            ask(&self.0, &Record::new(record::PUT, 0, 0, number), &[*fd])?;
        }
        ask(&self.0, &Record::new(record::LAUNCH, 0, 0, 0), &[image.as_fd()])?;
        self.go(tail, launch.deadline)
    }

    /// Starts the program; it runs when this returns `Ok`. `tail` is that of the launch's program.
    ///
    /// # Errors
    /// [`ErrorKind::Exec`] and [`ErrorKind::Step`] with the step that failed, [`ErrorKind::InitDied`] when it has ended,
    /// [`ErrorKind::StartTimeout`] past the deadline. What waited has ended then, or ends by itself.
    pub fn go(self, tail: &Tail, deadline: Instant) -> Result<Went, Error> {
        ask(&self.0, &Record::new(record::GO, 0, 0, 0), &[])?;
        let mut went = Went::default();
        let mut running = false;
        loop {
            match control::incoming(&self.0)? {
                Incoming::Message(message) => {
                    let Some(record) = message.record else { continue };
                    match (record.kind, message.fds.into_iter().next()) {
                        (record::ERROR, _) => return Err(tail.error(&record)),
                        (record::EXECING, _) => running = true,
                        (record::FD, Some(fd)) => {
                            went.fds.push((record.aux, crate::above_stdio(fd)?));
                        }
                        _ => {}
                    }
                }
                Incoming::Closed if running => return Ok(went),
                Incoming::Closed => return Err(died()),
                Incoming::Nothing => {
                    let ready = process::wait_readable(self.0.as_fd(), Some(deadline));
                    if !ready.map_err(|error| Error::host("poll", error))? {
                        return Err(Error::new(ErrorKind::StartTimeout, "while starting"));
                    }
                }
            }
        }
    }
}

fn died() -> Error {
    Error::new(ErrorKind::InitDied, "before its program was started")
}

/// As [`send`]; of one that has ended, what it said before is read next.
fn ask(socket: &OwnedFd, record: &Record, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
    match send(socket, record, fds) {
        Err(error) if error.kind() == ErrorKind::InitDied => Ok(()),
        sent => sent,
    }
}

/// Sends a request with descriptors.
fn send(socket: &OwnedFd, record: &Record, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Error::host("sendmsg", Errno::INVAL));
    }
    let bytes = record.encode();
    match sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
        Ok(_) => Ok(()),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(died()),
        Err(errno) => Err(Error::host("sendmsg", errno)),
    }
}
