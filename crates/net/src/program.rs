//! Another program that is run for an answer: a CNI plugin.
//!
//! Kernel objects: one child in a process group of its own, two pipes. Invariant: when a call returns, the child is
//! reaped and its group is killed, whatever it did.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Error, Result};

/// More than a plugin has to say.
const OUTPUT_MAX: usize = 1 << 20;

/// What is known of why a program did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("is in none of the directories")]
    Missing,
    #[error("cannot be executed: {0}")]
    NotStarted(Errno),
    #[error("did not end within {} ms and was killed", .0.as_millis())]
    TimedOut(Duration),
    #[error("refused (code {code}): {text:?}")]
    Refused { code: u32, text: String },
    #[error("failed ({status}): {text:?}")]
    Failed { status: String, text: String },
    #[error("wrote more than {0} bytes")]
    TooLong(usize),
    #[error("answered what cannot be read: {0:?}")]
    Malformed(String),
    #[error("answered in version {0:?}, which it was not asked for")]
    OtherVersion(String),
    #[error("did not start: {0:?}")]
    NotReady(String),
    #[error("is not installed")]
    NotInstalled,
}

/// What a program that ended has said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) status: String,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program, whose standard input is set, until it ends, or kills it and what it started.
pub(crate) fn run(name: &str, command: &mut Command, limit: Duration) -> Result<Ended> {
    let deadline = Instant::now() + limit;
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Error::program(name, Problem::NotStarted(errno))
    })?;
    let mut talk = Talk::new(child)?;
    let done = talk.until_ended(deadline);
    let status = talk.finish()?;
    match done {
        Ok(()) => Ok(Ended {
            code: status.code(),
            status: match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit status {}", status.code().unwrap_or_default()),
            },
            stdout: talk.stdout.bytes,
            stderr: talk.stderr.bytes,
        }),
        Err(Errno::TIMEDOUT) => Err(Error::program(name, Problem::TimedOut(limit))),
        Err(Errno::MSGSIZE) => Err(Error::program(name, Problem::TooLong(OUTPUT_MAX))),
        Err(errno) => Err(Error::system("poll", name, errno)),
    }
}

/// One of its two outputs.
#[derive(Debug)]
struct Output {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl Output {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> Result<Self, Errno> {
        let pipe = pipe.map(|pipe| File::from(pipe.into()));
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self { pipe, bytes: Vec::new() })
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), Errno> {
        let mut chunk = [0; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(read) => self.bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            }
            if self.bytes.len() > OUTPUT_MAX {
                return Err(Errno::MSGSIZE);
            }
        }
        Ok(())
    }
}

/// The conversation with a child.
#[derive(Debug)]
struct Talk {
    child: Child,
    stdout: Output,
    stderr: Output,
    pidfd: Option<OwnedFd>,
}

impl Talk {
    fn new(mut child: Child) -> Result<Self> {
        let failed = |errno| Error::system("ioctl", "FIONBIO", errno);
        let stdout = Output::of(child.stdout.take()).map_err(failed)?;
        let stderr = Output::of(child.stderr.take()).map_err(failed)?;
        let mut talk = Self { child, stdout, stderr, pidfd: None };
        match talk.pid().map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Some(Ok(pidfd)) => talk.pidfd = Some(pidfd),
            other => {
                talk.finish()?;
                let errno = other.and_then(Result::err).unwrap_or(Errno::SRCH);
                return Err(Error::system("pidfd_open", "child", errno));
            }
        }
        Ok(talk)
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Hears it until it ends. A process that it left behind may still hold its outputs.
    fn until_ended(&mut self, deadline: Instant) -> Result<(), Errno> {
        loop {
            let ended = self.wait(deadline)?;
            self.stdout.read()?;
            self.stderr.read()?;
            if ended {
                return Ok(());
            }
        }
    }

    /// Waits for anything to do; says whether it ended.
    fn wait(&self, deadline: Instant) -> Result<bool, Errno> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::TIMEDOUT);
        }
        let pidfd = self.pidfd.iter().map(|fd| PollFd::new(fd, PollFlags::IN));
        let outputs = [&self.stdout, &self.stderr].into_iter().flat_map(|output| &output.pipe);
        let outputs = outputs.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN));
        let mut all: Vec<_> = pidfd.chain(outputs).collect();
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match poll(&mut all, Some(&left)) {
            Err(Errno::INTR) => return Ok(false),
            other => other?,
        };
        Ok(all.first().is_some_and(|first| !first.revents().is_empty()))
    }

    /// Kills what is left of its group and reaps it.
    fn finish(&mut self) -> Result<std::process::ExitStatus> {
        // Its number is its own until it is reaped; a group that has ended is no error.
        let killed = self.pid().map(|pid| kill_process_group(pid, Signal::KILL));
        if let Some(Err(errno)) = killed.filter(|killed| *killed != Err(Errno::SRCH)) {
            return Err(Error::system("kill", "child", errno));
        }
        self.child.wait().map_err(|error| {
            Error::system("wait", "child", Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })
    }
}
