//! A launch under way: what the launcher and the first process report until the payload runs, or why it does not.
//!
//! Kernel objects: the launcher's and the first process's pidfds, the setup socket. Invariant: whatever was started
//! is either handed over or ended and reaped, also a first process that its launcher had no time to report.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::control::{self, Incoming, Message};
use crate::error::{Error, ErrorKind};
use crate::gate::{Gate, Refused};
use crate::held::Held;
use crate::launch::{Begin, Launch, PidNamespace, Started};
use crate::process::{self, Until};
use crate::program::Program;
use crate::sys::vfork::Spawned;
use crate::wire::{self, NONE, Record, record};

/// How long the processes of a failed launch may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How many reports a socket certainly holds (unix(7)): by default it takes some 200 KiB, and one needs below 1 KiB.
const FEW_REPORTS: usize = 64;

/// How long a reaper without a pid namespace may take to end its descendants.
const REAPER_LIMIT: Duration = Duration::from_millis(200);

/// What has been reported so far.
#[derive(Debug, Default)]
struct Seen {
    /// The process as which the launcher went on.
    relay: Option<(u32, OwnedFd)>,
    first: Option<(u32, OwnedFd)>,
    fds: Vec<(u32, OwnedFd)>,
    marks: Vec<(u32, u64)>,
    running: bool,
    /// It waits before its program.
    held: bool,
}

/// What a failed step reports.
#[derive(Clone, Copy, Debug)]
struct Report {
    step: u32,
    errno: i32,
    aux: u32,
}

impl Report {
    fn of(record: &Record) -> Self {
        Self { step: record.step, errno: record.error_number(), aux: record.aux }
    }
}

/// Why a launch failed.
enum Failure {
    Reported(Report),
    Died,
    TimedOut,
    Refused,
    Host(Error),
}

/// The two sockets whose other ends only init has.
struct Sockets {
    setup: OwnedFd,
    control: OwnedFd,
}

/// A launch under way.
pub(crate) struct Attempt {
    launcher: Spawned,
    hello: OwnedFd,
    sockets: Option<Sockets>,
    /// Whether reports are read as they come. A few are read together in the end: they fit into the socket, and the
    /// process that makes them pays for each time that this one is woken.
    until: Until,
    deadline: Instant,
    pid_namespace: PidNamespace,
    seen: Seen,
}

impl Attempt {
    /// Takes over a launcher that was just started.
    pub(crate) fn new(
        launcher: Spawned,
        hello: OwnedFd,
        program: &Program,
        launch: &Launch<'_>,
    ) -> Self {
        let (deadline, pid_namespace) = (launch.deadline, launch.pid_namespace);
        // One that is held does not close its socket, and one that waits at a gate is to be answered.
        let held = launch.begin == Begin::Held;
        let until = match held || program.has_gate() || program.reports() > FEW_REPORTS {
            true => Until::Readable,
            false => Until::Closed,
        };
        let seen = Seen::default();
        Self { launcher, hello, sockets: None, until, deadline, pid_namespace, seen }
    }

    /// Waits for the payload to run, or ends what was started.
    pub(crate) fn finish(mut self, program: &Program, gate: Gate<'_>) -> Result<Started, Error> {
        match self.greet().and_then(|()| self.run(gate)) {
            Ok(()) => self.started(),
            Err(failure) => Err(self.abandon(program, failure)),
        }
    }

    /// Takes the sockets that the launcher made. Its end shows in its pidfd alone, because a fork by somebody else can
    /// hold a copy of its end of this one socket.
    fn greet(&mut self) -> Result<(), Failure> {
        loop {
            let launcher = (self.launcher.pidfd.as_fd(), Until::Readable);
            let hello = (self.hello.as_fd(), Until::Readable);
            let ready = match self.until {
                Until::Readable => process::wait_any([hello, launcher], Some(self.deadline)),
                Until::Closed => process::wait_any([launcher], Some(self.deadline)),
            };
            if !ready.map_err(poll_failed)? {
                return Err(Failure::TimedOut);
            }
            // Looked at first, so that what an ended launcher has sent is there.
            let ended = self.launcher_ended()?;
            match control::incoming(&self.hello).map_err(Failure::Host)? {
                Incoming::Message(message) => return self.take_sockets(message),
                Incoming::Closed => return Err(Failure::Died),
                Incoming::Nothing if ended => return Err(Failure::Died),
                Incoming::Nothing => {}
            }
        }
    }

    fn launcher_ended(&self) -> Result<bool, Failure> {
        process::wait_readable(&self.launcher.pidfd, Some(Instant::now())).map_err(poll_failed)
    }

    fn take_sockets(&mut self, message: Message) -> Result<(), Failure> {
        let mut fds = message.fds.into_iter();
        match (message.record, fds.next(), fds.next()) {
            (Some(hello), Some(setup), Some(control)) if hello.kind == record::SOCKETS => {
                let setup = crate::above_stdio(setup).map_err(Failure::Host)?;
                let control = crate::above_stdio(control).map_err(Failure::Host)?;
                self.sockets = Some(Sockets { setup, control });
                Ok(())
            }
            (Some(error), ..) if error.kind == record::ERROR => {
                Err(Failure::Reported(Report::of(&error)))
            }
            // The kernel drops descriptors that do not fit into this process's limit.
            (Some(hello), ..) if hello.kind == record::SOCKETS => {
                Err(Failure::Host(Error::host("recvmsg", rustix::io::Errno::MFILE)))
            }
            _ => Err(Failure::Died),
        }
    }

    /// Reads reports until the setup socket closes, then reaps the launcher.
    fn run(&mut self, gate: Gate<'_>) -> Result<(), Failure> {
        while !self.seen.held {
            let Some(message) = self.next_report(self.deadline)? else { break };
            match message.record {
                Some(record) if record.kind == record::GATE => self.pass(gate)?,
                _ => self.note(message)?,
            }
        }
        if !(self.seen.running || self.seen.held) || self.seen.first.is_none() {
            return Err(Failure::Died);
        }
        self.reap_launchers()
    }

    /// Does the host's part and lets the first process go on.
    fn pass(&mut self, gate: Gate<'_>) -> Result<(), Failure> {
        gate(&mut self.seen.fds).map_err(|Refused| Failure::Refused)?;
        let Some(Sockets { setup, .. }) = &self.sockets else { return Err(Failure::Died) };
        control::request(setup, &Record::new(record::GATE, NONE, 0, 0)).map_err(Failure::Host)
    }

    /// The next report, or none after the end of the last process that could make one.
    fn next_report(&self, deadline: Instant) -> Result<Option<Message>, Failure> {
        let Some(Sockets { setup, .. }) = &self.sockets else { return Ok(None) };
        loop {
            match control::incoming(setup).map_err(Failure::Host)? {
                Incoming::Message(message) => return Ok(Some(message)),
                Incoming::Closed => return Ok(None),
                Incoming::Nothing => {}
            }
            let wait = process::wait_any([(setup.as_fd(), self.until)], Some(deadline));
            if !wait.map_err(poll_failed)? {
                return Err(Failure::TimedOut);
            }
        }
    }

    /// Takes one report in.
    fn note(&mut self, message: Message) -> Result<(), Failure> {
        let Some(record) = message.record else { return Ok(()) };
        let fd = message.fds.into_iter().next();
        match (record.kind, fd) {
            (record::ERROR, _) => return Err(Failure::Reported(Report::of(&record))),
            (kind @ (record::FIRST | record::RELAY), Some(fd)) => {
                let fd = crate::above_stdio(fd).map_err(Failure::Host)?;
                let process = Some((u32::try_from(record.words[0]).unwrap_or(0), fd));
                match kind {
                    record::FIRST => self.seen.first = process,
                    _ => self.seen.relay = process,
                }
            }
            (record::FIRST | record::RELAY, None) => {
                return Err(Failure::Host(Error::host("recvmsg", rustix::io::Errno::MFILE)));
            }
            (record::FD, Some(fd)) => {
                let fd = crate::above_stdio(fd).map_err(Failure::Host)?;
                self.seen.fds.push((record.aux, fd));
            }
            (record::MARK, _) => self.seen.marks.push((record.aux, record.words[0])),
            (record::EXECING | record::IDLE, _) => self.seen.running = true,
            (record::HELD, _) => self.seen.held = true,
            _ => {}
        }
        Ok(())
    }

    fn reap_launchers(&self) -> Result<(), Failure> {
        let launchers = || {
            let relay = self.seen.relay.as_ref().map(|(_, pidfd)| pidfd);
            std::iter::once(&self.launcher.pidfd).chain(relay)
        };
        for pidfd in launchers() {
            if !process::wait_readable(pidfd, Some(self.deadline)).map_err(poll_failed)? {
                return Err(Failure::TimedOut);
            }
        }
        let host = |error| Failure::Host(Error::host("waitid of the launcher", error));
        launchers().try_for_each(|pidfd| process::reap(pidfd).map(drop)).map_err(host)
    }

    fn started(self) -> Result<Started, Error> {
        let (Some((pid, pidfd)), Some(Sockets { setup, control })) =
            (self.seen.first, self.sockets)
        else {
            return Err(Error::new(ErrorKind::InitDied, "no first process"));
        };
        let held = self.seen.held.then(|| Held::new(setup));
        Ok(Started { pid, pidfd, control, fds: self.seen.fds, marks: self.seen.marks, held })
    }

    /// Ends what was started and makes the error.
    fn abandon(mut self, program: &Program, failure: Failure) -> Error {
        let limit = Instant::now() + END_LIMIT;
        end_helpers(&self.launcher, limit);
        // It is not reaped yet: its place in the list of children shows what it cloned.
        let launcher_ended =
            kill(&self.launcher.pidfd, limit).unwrap_or(false) && self.end_relay(program, limit);
        let first_ended = launcher_ended && self.end_first(limit);
        match failure {
            _ if !launcher_ended => return Error::new(ErrorKind::NotEnding, "the launcher"),
            _ if !first_ended => return Error::new(ErrorKind::NotEnding, "the first process"),
            _ => {}
        }
        let relay = self.seen.relay.as_ref().map_or(Ok(None), |(_, pidfd)| process::reap(pidfd));
        match (relay.and_then(|_| process::reap(&self.launcher.pidfd)), failure) {
            (Err(error), _) => Error::host("waitid of the launcher", error),
            (Ok(_), Failure::Reported(report)) => step_error(program, report),
            (Ok(_), Failure::Died) => Error::new(ErrorKind::InitDied, "while starting"),
            (Ok(_), Failure::TimedOut) => Error::new(ErrorKind::StartTimeout, "while starting"),
            (Ok(_), Failure::Refused) => Error::new(ErrorKind::Refused, "the host's part"),
            (Ok(_), Failure::Host(error)) => error,
        }
    }

    /// Ends the process as which the launcher went on, if it did; it is not reaped yet either.
    fn end_relay(&mut self, program: &Program, limit: Instant) -> bool {
        if !program.steps().any(|step| step.has(wire::code::RELAY)) {
            return true;
        }
        self.read_what_is_there();
        self.seen.relay = self.seen.relay.take().or_else(|| unreported(self.launcher.pid));
        let Some((_, pidfd)) = &self.seen.relay else { return true };
        kill(pidfd, limit).unwrap_or(false)
    }

    /// Ends the first process, if there is one; false if it does not end.
    fn end_first(&mut self, limit: Instant) -> bool {
        self.read_what_is_there();
        let first = self.seen.first.take();
        let launcher = self.seen.relay.as_ref().map_or(self.launcher.pid, |(pid, _)| *pid);
        let Some((_, pidfd)) = first.or_else(|| unreported(launcher)) else {
            return self.wait_for_silence(limit);
        };
        if self.pid_namespace == PidNamespace::Other {
            self.end_payload(&pidfd, limit);
        }
        process::end(&pidfd, limit).unwrap_or(false)
    }

    /// Takes the sockets and the reports in that the ended launcher left behind those that were read.
    fn read_what_is_there(&mut self) {
        if self.sockets.is_none() {
            drop(self.greet());
        }
        while self.seen.first.is_none() {
            match self.next_report(Instant::now()) {
                Ok(Some(message)) => drop(self.note(message)),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Where children are reaped by somebody else at once, one that was not reported ends by itself.
    fn wait_for_silence(&mut self, limit: Instant) -> bool {
        loop {
            match self.next_report(limit) {
                Ok(Some(message)) => drop(self.note(message)),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Without a pid namespace only the reaper can end the payload; one that does not answer is not a reaper yet.
    fn end_payload(&self, first: &OwnedFd, limit: Instant) {
        let Some(Sockets { control, .. }) = &self.sockets else { return };
        let asked = crate::reaper::end(control);
        let patience = limit.min(Instant::now() + REAPER_LIMIT);
        drop(asked.map(|()| process::wait_readable(first, Some(patience))));
    }
}

/// A failed poll(2).
fn poll_failed(error: std::io::Error) -> Failure {
    Failure::Host(Error::host("poll", error))
}

/// Kills a process and waits for its end, but does not reap it.
fn kill(pidfd: &OwnedFd, limit: Instant) -> std::io::Result<bool> {
    process::signal(pidfd, Signal::KILL)?;
    process::wait_readable(pidfd, Some(limit))
}

/// Ends the program that a launcher waits for while it writes id maps: once the launcher is gone, nobody knows it.
fn end_helpers(launcher: &Spawned, limit: Instant) {
    let children = format!("/proc/{0}/task/{0}/children", launcher.pid);
    let list = || std::fs::read_to_string(&children).unwrap_or_default();
    // It starts no other one meanwhile.
    if list().is_empty() || process::signal(&launcher.pidfd, Signal::STOP).is_err() {
        return;
    }
    for id in list().split_whitespace() {
        let Some(pid) = id.parse().ok().and_then(Pid::from_raw) else { continue };
        let Ok(helper) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // Still its child, so that the descriptor is the child's and not that of a later process with this id.
        if list().split_whitespace().any(|other| other == id) {
            drop(process::signal(&helper, Signal::KILL));
            drop(process::wait_readable(&helper, Some(limit)));
        }
    }
}

/// The process that a launcher cloned but had no time to report: it stands behind the launcher in the list of this
/// thread's children (proc_pid_children(5)), where nothing else can have come since, and has init's name.
fn unreported(launcher: u32) -> Option<(u32, OwnedFd)> {
    let list = std::fs::read_to_string("/proc/thread-self/children").ok()?;
    let mut behind = list.split_whitespace().skip_while(|id| id.parse() != Ok(launcher)).skip(1);
    let id = behind.find(|id| {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
        name.is_ok_and(|name| name.trim_end() == "ampoule-init")
    })?;
    let pidfd = pidfd_open(Pid::from_raw(id.parse().ok()?)?, PidfdFlags::empty()).ok()?;
    let pidfd = crate::above_stdio(pidfd).ok()?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    waitid(WaitId::PidFd(pidfd.as_fd()), look).ok()?;
    Some((id.parse().ok()?, pidfd))
}

/// The error that a report describes.
fn step_error(program: &Program, report: Report) -> Error {
    if report.step == NONE {
        return Error::new(ErrorKind::Clone, "the launcher's sockets").with_errno(report.errno);
    }
    let index = report.step as usize;
    let step = program.step(index);
    let kind = match step {
        Some(step) if step.has(wire::code::EXEC) || step.has(wire::code::HOLD) => ErrorKind::Exec,
        Some(step) if step.has(wire::code::FIRST) || step.has(wire::code::RELAY) => {
            ErrorKind::Clone
        }
        _ => ErrorKind::Step,
    };
    Error::at_step(
        kind,
        index,
        step.map(ToString::to_string).unwrap_or_default(),
        report.errno,
        report.aux,
    )
}
