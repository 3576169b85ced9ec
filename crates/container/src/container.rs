//! The handle of a running container: wait, signal, streams, and what is left behind (nothing).
//!
//! Kernel objects: the first process's pidfd and its control socket. Invariant: when the handle is dropped no
//! process of the container lives, unless it was detached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ampoule_cgroups::events::Above;
use ampoule_init::process::{self, wait_readable};
use ampoule_init::reaper::{self, Ended};
use ampoule_ns::{Namespace, Setting};
use ampoule_seccomp::notify::Listener;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::created::Waiting;
use crate::error::{Error, ErrorKind, Stage};
use crate::exit::{ExitStatus, Outcome, Usage};
use crate::joining::Joined;
use crate::layers::InMemory;
use crate::network::Attached;
use crate::pid1::Pid1;
use crate::plan::Prepared;
use crate::pty::Pty;
use crate::report::Report;
use crate::selinux::Label;
use crate::timings::Timings;

/// How long a killed container may take to end.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(10);

/// What happens to the container when its handle is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrop {
    /// Every process is killed and reaped.
    #[default]
    Kill,
    /// It goes on, also past the end of the host's process.
    Detach,
}

/// A running container.
///
/// Dropping it kills and reaps every process, unless [`OnDrop::Detach`] was chosen.
#[derive(Debug)]
pub struct Container {
    /// The host's end of standard input, if it was piped.
    pub stdin: Option<ChildStdin>,
    /// The host's end of standard output, if it was piped.
    pub stdout: Option<ChildStdout>,
    /// The host's end of standard error, if it was piped.
    pub stderr: Option<ChildStderr>,
    /// The host's end of the terminal, if there is one.
    pub pty: Option<Pty>,
    /// Where the calls wait that the filter lets the host decide, if it notifies ([`Builder::seccomp`](crate::Builder::seccomp)).
    /// Somebody has to answer them; they fail with `ENOSYS` when it is dropped.
    pub listener: Option<Listener>,
    pub(crate) id: String,
    /// Keeps its categories from other containers.
    pub(crate) label: Option<Label>,
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) control: OwnedFd,
    pub(crate) plan: Arc<Prepared>,
    pub(crate) begun: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) on_drop: OnDrop,
    pub(crate) timings: Option<Timings>,
    pub(crate) ended: Option<ExitStatus>,
    /// The reaper's report, when it came while something else was asked for; also the lock of such questions.
    pub(crate) early: Mutex<Option<Ended>>,
    pub(crate) reaped: bool,
    pub(crate) group: Option<ampoule_cgroups::Group>,
    /// How often the groups above had met their limits before it was started.
    pub(crate) above: Above,
    /// Where its network is counted, until it has ended.
    pub(crate) network: Option<OwnedFd>,
    /// The root's upper layer, where it is in memory.
    pub(crate) upper: InMemory,
    /// What was made for its networks.
    pub(crate) networks: Attached,
    /// The processes that joined it.
    pub(crate) joined: Arc<Joined>,
    /// The ruleset that its init built.
    #[cfg(feature = "landlock")]
    pub(crate) ruleset: Option<OwnedFd>,
    /// What starts its program, while it is only created.
    pub(crate) waiting: Option<Waiting>,
}

impl Container {
    /// Its name, from [`Builder::id`](crate::Builder::id) or made for it; part of the name of its group.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SELinux context of the payload, if it has one of its own.
    #[must_use]
    pub fn selinux_label(&self) -> Option<&ampoule_selinux::Context> {
        self.label.as_ref().map(Label::process)
    }

    /// Id of the first process in the host's pid namespace; use [`Container::pidfd`] to act on it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Descriptor of the first process (pidfd_open(2)).
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What is in force, what is not, and why.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.plan.report()
    }

    /// How long each stage took, if [`crate::Launch::timings`] was asked for.
    #[must_use]
    pub fn timings(&self) -> Option<&Timings> {
        self.timings.as_ref()
    }

    /// Fails when the first process has ended.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        let ended = wait_readable(&self.pidfd, Some(Instant::now()))
            .map_err(|error| Error::io(Stage::Running, "poll", &error))?;
        if ended || self.reaped {
            return Err(has_ended());
        }
        Ok(())
    }

    /// Says that it has ended, where that is why something else failed.
    pub(crate) fn or_ended(&self, error: Error) -> Error {
        /// A first process waits for those that joined before its own end can be seen.
        const LIMIT: Duration = Duration::from_millis(100);
        let telling = error.kind() == ErrorKind::InitDied
            || [Errno::NOMEM, Errno::SRCH]
                .iter()
                .any(|errno| error.errno() == Some(errno.raw_os_error()));
        let deadline = Instant::now() + LIMIT;
        while telling && Instant::now() < deadline {
            if self.reaped || wait_readable(self.end_fd(), Some(Instant::now())).unwrap_or(false) {
                return has_ended().caused_by(error);
            }
            drop(self.joined.children.living());
            std::thread::sleep(Duration::from_millis(1));
        }
        error
    }

    /// Sends the payload a signal; one that has ended already is not an error.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::System`] as pidfd_send_signal(2).
    pub fn kill(&self, signal: i32) -> Result<(), Error> {
        let invalid = || {
            Error::invalid(vec![crate::Problem::new(
                "kill",
                format!("there is no signal {signal}"),
            )])
        };
        let named = Signal::from_named_raw(signal).ok_or_else(invalid)?;
        match self.plan.pid1() {
            Pid1::Reaper if self.is_reopened() => self.kill_by_pid(named),
            Pid1::Reaper => Ok(reaper::signal(&self.control, signal.unsigned_abs())?),
            Pid1::Payload => process::signal(&self.pidfd, named)
                .map_err(|error| Error::io(Stage::Running, "pidfd_send_signal", &error)),
        }
    }

    /// Sends the stop signal (`SIGTERM`), waits for the grace period, then kills everything.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, Error> {
        self.ask_to_stop()?;
        if let Some(status) = self.wait_timeout(grace)? {
            return Ok(status);
        }
        self.kill_all()?;
        self.wait()
    }

    /// Asks the payload, or an idle init, to end.
    pub(crate) fn ask_to_stop(&self) -> Result<(), Error> {
        if self.plan.is_idle() {
            Ok(reaper::stop(&self.control)?)
        } else {
            self.kill(self.plan.stop_signal())
        }
    }

    /// Kills every process: with the first one the kernel ends its pid namespace; in another one the reaper ends its
    /// descendants, which nobody could find after its own end.
    pub(crate) fn kill_all(&self) -> Result<(), Error> {
        let own = *self.plan.settings.namespaces.get(Namespace::Pid) == Setting::New;
        if !own && !self.reaped && !self.is_reopened() && self.plan.pid1() == Pid1::Reaper {
            reaper::end(&self.control)?;
            let ended = wait_readable(self.end_fd(), Some(Instant::now() + END_LIMIT));
            if ended.map_err(|error| Error::io(Stage::Running, "poll", &error))? {
                return Ok(());
            }
        }
        process::signal(&self.pidfd, Signal::KILL)
            .map_err(|error| Error::io(Stage::Running, "kill", &error))
    }

    /// What is left of a time limit that this handle keeps.
    #[cfg(feature = "tokio")]
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for the end of the payload and of everything else in the container.
    ///
    /// Standard input is closed first, as `std::process::Child::wait` does.
    ///
    /// # Errors
    /// [`ErrorKind::StatusLost`] when somebody else reaped the process and the kernel does not keep its status.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        drop(self.stdin.take());
        loop {
            if let Some(status) = self.wait_until(None)? {
                return Ok(status);
            }
        }
    }

    /// The status if the container has ended.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.wait_until(Some(Instant::now()))
    }

    /// Waits at most this long; `None` if the container still runs.
    ///
    /// # Errors
    /// As [`Container::wait`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Error> {
        self.wait_until(Instant::now().checked_add(limit))
    }

    fn wait_until(&mut self, until: Option<Instant>) -> Result<Option<ExitStatus>, Error> {
        let own = match (until, self.deadline) {
            (Some(until), Some(deadline)) => Some(until.min(deadline)),
            (until, deadline) => until.or(deadline),
        };
        let ended = self.wait_for_end(own)?;
        if !ended && self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.deadline = None;
            return self.kill_with(Outcome::TimedOut).map(Some);
        }
        if ended { self.collect().map(Some) } else { Ok(None) }
    }

    /// Waits until the payload has ended; false when that time passed.
    fn wait_for_end(&self, until: Option<Instant>) -> Result<bool, Error> {
        let failed = |errno| Error::call(Stage::Running, "poll", errno);
        loop {
            // The first process ends only when those that joined are reaped.
            let living = self.joined.children.living()?;
            let mut polls = vec![self.end_poll()];
            polls.extend(living.iter().map(|child| child.poll()));
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let limit = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut polls, limit.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) if !polls.swap_remove(0).revents().is_empty() => return Ok(true),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }

    /// What becomes readable when the container has ended: its pidfd, because what the reaper reports just before would
    /// only wake this process once more.
    pub(crate) fn end_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills everything; the status says why.
    pub(crate) fn kill_with(&mut self, outcome: Outcome) -> Result<ExitStatus, Error> {
        self.kill_all()?;
        let status = self.collect()?.with_outcome(outcome);
        self.ended = Some(status.clone());
        Ok(status)
    }

    /// Takes the status once the end has been seen.
    pub(crate) fn collect(&mut self) -> Result<ExitStatus, Error> {
        if self.ended.is_none() && self.plan.pid1() == Pid1::Reaper {
            let wall = self.begun.elapsed();
            let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
            let report = match early {
                Some(ended) => Some(ended),
                None => reaper::report(&self.control)?,
            };
            self.ended = report.map(|ended| ExitStatus::from_ended(&ended, wall));
        }
        if !self.reaped {
            self.reap()?;
            self.close_group();
        }
        self.ended.clone().ok_or_else(|| {
            Error::new(ErrorKind::StatusLost, Stage::Running).with_hint(
                "somebody else waits for this process's children; use Pid1::Reaper or Linux 6.15",
            )
        })
    }

    /// Reaps the first process; its own status counts only if the reaper reported none.
    fn reap(&mut self) -> Result<(), Error> {
        // Before: the pid namespace, and so its first process, waits for each of them.
        self.joined.children.end(Instant::now() + END_LIMIT)?;
        let status = process::reap(&self.pidfd)
            .map_err(|error| Error::io(Stage::Running, "waitid", &error))?;
        self.reaped = true;
        self.networks.detach();
        if let (None, Some(status)) = (&self.ended, status) {
            let outcome = Outcome::from_wait_status(status);
            self.ended = Some(ExitStatus::new(outcome, Usage::default(), self.begun.elapsed()));
        }
        Ok(())
    }

    /// Lets the container go on without this handle, also past the end of the host if it was launched with
    /// [`OnDrop::Detach`].
    pub fn detach(mut self) {
        self.on_drop = OnDrop::Detach;
    }

    /// The descriptors to poll while output is read: how the end shows.
    pub(crate) fn end_poll(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.end_fd(), PollFlags::IN)
    }
}

/// What is asked of a container that has ended.
fn has_ended() -> Error {
    Error::new(ErrorKind::Ended, Stage::Running).with_errno(Errno::SRCH)
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Detach && !self.reaped {
            let pid1 = self.plan.pid1();
            self.label.take().into_iter().for_each(|label| label.leave(pid1));
            self.networks.leave();
        }
        if self.reaped || self.on_drop == OnDrop::Detach {
            return;
        }
        // An error here has no one to go to; the kernel ends the processes in any case.
        drop(self.kill_all());
        drop(self.joined.children.end(Instant::now() + END_LIMIT));
        drop(process::end(&self.pidfd, Instant::now() + END_LIMIT));
        self.networks.detach();
        if let Some(group) = self.group.take() {
            crate::grouped::end_group(group);
        }
    }
}
