//! Credential helpers: programs that keep credentials, and are asked for those of one registry.
//!
//! Kernel objects: one child in a process group of its own, three pipes. Invariant: when a call returns, the child is
//! reaped and its group is killed, whatever it did, and nothing that it answered is in an error unless it refused.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::Deserialize;

use super::options::Credentials;
use crate::error::{clipped, errno_of};

/// How the names of helpers begin.
const PREFIX: &str = "docker-credential-";

/// More than a helper has to say, in bytes.
const OUTPUT_MAX: usize = 64 << 10;

/// The user that stands for a token.
const TOKEN: &str = "<token>";

/// What helpers say of a registry that they do not know.
const UNKNOWN: &str = "credentials not found";

/// Why a helper gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("that is no name of a program")]
    Name,
    #[error("it cannot be started: {0}")]
    NotStarted(Errno),
    #[error("it did not end within {} ms and was killed", .0.as_millis())]
    TimedOut(Duration),
    #[error("it wrote more than {0} bytes")]
    TooLong(usize),
    #[error("it failed ({status}): {said:?}")]
    Failed { status: String, said: String },
    #[error("its answer is not a user and a secret in JSON")]
    Malformed,
    #[error("it cannot be heard: {0}")]
    System(Errno),
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks the helper of that name for the credentials of a registry; nothing if it has none.
pub(super) fn ask(
    name: &str,
    registry: &str,
    limit: Duration,
) -> Result<Option<Credentials>, Problem> {
    if name.contains(['/', '\0']) {
        return Err(Problem::Name);
    }
    let deadline = Instant::now() + limit;
    let mut running = Running::start(name, registry)?;
    match running.hear(deadline) {
        Err(Errno::TIMEDOUT) => return Err(Problem::TimedOut(limit)),
        Err(Errno::MSGSIZE) => return Err(Problem::TooLong(OUTPUT_MAX)),
        other => other.map_err(Problem::System)?,
    }
    match running.end() {
        Ok(status) if !status.success() => running.refusal(status),
        // A host that ignores SIGCHLD is not told the status: then the answer counts.
        Ok(_) | Err(_) => credentials(&running.stdout.bytes),
    }
}

fn credentials(answer: &[u8]) -> Result<Option<Credentials>, Problem> {
    let answer = serde_json::from_slice(answer).map_err(|_| Problem::Malformed)?;
    let Answer { username: user, secret } = answer;
    Ok(match user.as_str() {
        TOKEN => Some(Credentials::IdentityToken(secret)),
        "" if secret.is_empty() => None,
        _ => Some(Credentials::Password { user, password: secret }),
    })
}

/// A helper; it and everything in its group end with this.
struct Running {
    child: Child,
    stdout: Output,
    stderr: Output,
    is_reaped: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // What led here is the error to tell.
        drop(self.end());
    }
}

impl Running {
    fn start(name: &str, registry: &str) -> Result<Self, Problem> {
        let failed = |error: io::Error| Problem::NotStarted(errno_of(&error));
        // All of it fits into the pipe, whose other end is still here: no SIGPIPE, whatever the helper does.
        let (theirs, mut ours) = io::pipe().map_err(failed)?;
        ours.write_all(registry.as_bytes()).map_err(failed)?;
        drop(ours);
        let mut command = Command::new(format!("{PREFIX}{name}"));
        command.arg("get").stdin(theirs).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        let stdout = Output::of(child.stdout.take());
        let stderr = Output::of(child.stderr.take());
        let running = Self { child, stdout, stderr, is_reaped: false };
        let pipes = [&running.stdout, &running.stderr].into_iter().flat_map(|one| &one.pipe);
        for pipe in pipes {
            rustix::io::ioctl_fionbio(pipe, true).map_err(Problem::System)?;
        }
        Ok(running)
    }

    /// Hears it until it ends. A process that it left behind may still hold its outputs.
    fn hear(&mut self, deadline: Instant) -> Result<(), Errno> {
        let pidfd = match pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()) {
            Ok(pidfd) => Some(pidfd),
            // The kernel has reaped it, for a host that ignores SIGCHLD: its outputs tell the end.
            Err(Errno::SRCH) => {
                self.is_reaped = true;
                None
            }
            Err(errno) => return Err(errno),
        };
        loop {
            let ended = self.wait(pidfd.as_ref(), deadline)?;
            self.stdout.read()?;
            self.stderr.read()?;
            if ended {
                return Ok(());
            }
        }
    }

    /// Waits for anything to do; says whether it ended.
    fn wait(&self, pidfd: Option<&OwnedFd>, deadline: Instant) -> Result<bool, Errno> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::TIMEDOUT);
        }
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        let outputs = [&self.stdout, &self.stderr].into_iter().flat_map(|output| &output.pipe);
        let outputs = outputs.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN));
        let end = pidfd.map(|pidfd| PollFd::new(pidfd, PollFlags::IN));
        let mut all: Vec<_> = end.into_iter().chain(outputs).collect();
        if all.is_empty() {
            return Ok(true);
        }
        match poll(&mut all, Some(&left)) {
            Err(Errno::INTR) => return Ok(false),
            other => other?,
        };
        let first = all.first().is_some_and(|first| !first.revents().is_empty());
        Ok(pidfd.is_some() && first)
    }

    /// What one that failed said: that it knows nothing, or why.
    fn refusal(&self, status: ExitStatus) -> Result<Option<Credentials>, Problem> {
        let text = |output: &Output| String::from_utf8_lossy(&output.bytes).trim().to_owned();
        let (said, complaint) = (text(&self.stdout), text(&self.stderr));
        if said.contains(UNKNOWN) {
            return Ok(None);
        }
        // One that fails after its answer has said a secret.
        let said = if said.is_empty() || said.contains(['{', '"']) { complaint } else { said };
        Err(Problem::Failed { status: status.to_string(), said: clipped(&said) })
    }

    /// Kills what is left of its group, and reaps it.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // Its number is its own until it is reaped. A group that has ended is no error.
        if !std::mem::replace(&mut self.is_reaped, true) {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).unwrap_or_default();
        }
        self.child.wait()
    }
}

/// One of its two outputs.
struct Output {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl Output {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> Self {
        Self { pipe: pipe.map(|pipe| File::from(pipe.into())), bytes: Vec::new() }
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), Errno> {
        let mut chunk = [0; 4096];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(read) => self.bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno_of(&error)),
            }
            if self.bytes.len() > OUTPUT_MAX {
                return Err(Errno::MSGSIZE);
            }
        }
        Ok(())
    }
}
