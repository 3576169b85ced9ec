//! Collects both output streams without a thread and without dead-lock.
//!
//! Kernel objects: two pipes set to non-blocking, one poll. Invariant: never more than the limit is kept, and a
//! payload that floods a stream is killed, not buffered.

use ampoule_cgroups::Bytes;
use std::io::{ErrorKind as IoKind, Read};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdout};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::container::Container;
use crate::error::{Error, Stage};
use crate::exit::{ExitStatus, Outcome};
use crate::process::Process;

/// What a finished payload left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output, if that was piped.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, if that was piped.
    pub stderr: Vec<u8>,
}

/// One stream being read.
struct Stream<R> {
    from: Option<R>,
    bytes: Vec<u8>,
}

/// What one round of reading came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Going,
    Exceeded,
}

impl<R: Read + AsFd> Stream<R> {
    fn new(from: Option<R>) -> Result<Self, Error> {
        if let Some(pipe) = &from {
            rustix::io::ioctl_fionbio(pipe, true)
                .map_err(|errno| Error::call(Stage::Running, "FIONBIO", errno))?;
        }
        Ok(Self { from, bytes: Vec::new() })
    }

    /// Reads what is there, up to the limit.
    fn read(&mut self, limit: u64) -> Result<Round, Error> {
        let mut chunk = [0; 16 * 1024];
        while let Some(pipe) = &mut self.from {
            match pipe.read(&mut chunk) {
                Ok(0) => self.from = None,
                Ok(n) => {
                    let room = usize::try_from(limit)
                        .unwrap_or(usize::MAX)
                        .saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&chunk[..n.min(room)]);
                    if n > room {
                        return Ok(Round::Exceeded);
                    }
                }
                Err(error) if error.kind() == IoKind::Interrupted => {}
                Err(error) if error.kind() == IoKind::WouldBlock => break,
                Err(error) => {
                    return Err(Error::io(Stage::Running, "read from the payload", &error));
                }
            }
        }
        Ok(Round::Going)
    }
}

/// What runs and is waited for while its output is collected.
pub(crate) trait Running {
    /// Closes its input and gives its output.
    fn take_streams(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>);
    /// The descriptor to poll: how the end shows.
    fn end_poll(&self) -> PollFd<'_>;
    /// When it is to be killed.
    fn deadline(&self) -> Option<Instant>;
    /// The status if it has ended.
    fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error>;
    /// Kills it; the status says why.
    fn kill_with(&mut self, outcome: Outcome) -> Result<ExitStatus, Error>;
}

impl Running for Container {
    fn take_streams(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        drop(self.stdin.take());
        (self.stdout.take(), self.stderr.take())
    }

    fn end_poll(&self) -> PollFd<'_> {
        Self::end_poll(self)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        Self::try_wait(self)
    }

    fn kill_with(&mut self, outcome: Outcome) -> Result<ExitStatus, Error> {
        Self::kill_with(self, outcome)
    }
}

impl Running for Process {
    fn take_streams(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        drop(self.stdin.take());
        (self.stdout.take(), self.stderr.take())
    }

    fn end_poll(&self) -> PollFd<'_> {
        self.child.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        Self::try_wait(self)
    }

    fn kill_with(&mut self, outcome: Outcome) -> Result<ExitStatus, Error> {
        Self::kill_with(self, outcome)
    }
}

/// Waits for the end and collects what was written; each stream is limited.
pub(crate) fn collect(mut running: impl Running, limit: Bytes) -> Result<Output, Error> {
    let (stdout, stderr) = running.take_streams();
    let (mut stdout, mut stderr) = (Stream::new(stdout)?, Stream::new(stderr)?);
    let status = loop {
        wait_for_any(&running, &stdout, &stderr)?;
        let rounds = [stdout.read(limit.get())?, stderr.read(limit.get())?];
        if rounds.contains(&Round::Exceeded) {
            break running.kill_with(Outcome::OutputExceeded)?;
        }
        if let Some(status) = running.try_wait()? {
            break status;
        }
    };
    // What is in the pipes now is all that there will be, but for what a process left behind in a container.
    let exceeded =
        [stdout.read(limit.get())?, stderr.read(limit.get())?].contains(&Round::Exceeded);
    let status = if exceeded { status.with_outcome(Outcome::OutputExceeded) } else { status };
    Ok(Output { status, stdout: stdout.bytes, stderr: stderr.bytes })
}

/// Waits until a stream or the end has something to say, or the time limit passes.
fn wait_for_any(
    running: &impl Running,
    stdout: &Stream<impl AsFd>,
    stderr: &Stream<impl AsFd>,
) -> Result<(), Error> {
    let mut polls = vec![running.end_poll()];
    polls.extend(stdout.from.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    polls.extend(stderr.from.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let left =
        running.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let limit = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut polls, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::call(Stage::Running, "poll", errno)),
    }
}
