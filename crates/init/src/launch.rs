//! One launch: the second, short record beside the shared program, and the start itself.
//!
//! Kernel objects: a memfd, two socket pairs, the launcher (a process for some hundred microseconds), the
//! first process. Invariant: `Ok` means that the payload's program runs (or that an idle reaper does);
//! `Err` means that no process is left.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::control::{self, Received};
use crate::embedded::Embedded;
use crate::error::{Error, ErrorKind};
use crate::image::{Image, Sealing};
use crate::process;
use crate::program::Program;
use crate::sys::vfork::{self, Place};
use crate::wire::{
    self, LAUNCH_HEADER_LEN, LaunchHeader, NONE, Record, internal_fd, launch_flag, record,
};

/// How long the processes of a failed launch may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A value that steps take from the launch ([`crate::Arg::Parameter`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A number.
    Number(u64),
    /// A text; the step gets its address.
    Text(CString),
}

/// Who the first process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It executes the payload, or forks it, as the program's steps say.
    Payload,
    /// It stays as a reaper without payload.
    Idle,
}

/// What the end of the first process means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidNamespace {
    /// A new one: the kernel ends the others with it.
    New,
    /// Another one: the reaper ends its descendants itself.
    Other,
}

/// A fault to inject, for tests of the library itself.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The operation that does not happen.
    pub operation: u32,
    /// An errno, or one of [`wire::fault`].
    pub outcome: u32,
}

/// What differs from launch to launch.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The payload's argument vector.
    pub argv: Vec<CString>,
    /// Its environment as `NAME=value`.
    pub env: Vec<CString>,
    /// The paths to execute, the first that is there.
    pub paths: Vec<CString>,
    /// Values that steps refer to by position.
    pub parameters: Vec<Parameter>,
    /// The payload's descriptors with their numbers.
    pub payload_fds: Vec<(RawFd, BorrowedFd<'a>)>,
    /// Further descriptors that steps refer to by position.
    pub fds: Vec<BorrowedFd<'a>>,
    /// Position in `fds` of the host's pidfd, if the reaper watches it.
    pub host: Option<u16>,
    /// Position in `fds` of the descriptor that gets the exit status as text.
    pub status: Option<u16>,
    /// Whether there is a payload.
    pub first: First,
    /// Whether the pid namespace is new.
    pub pid_namespace: PidNamespace,
    /// Time limit of the payload, kept by the reaper.
    pub timeout: Option<Duration>,
    /// Whether the stages' times are reported.
    pub timings: Timings,
    /// When the launch has failed if it has not succeeded.
    pub deadline: Instant,
    /// A fault to inject.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

/// Whether the times of the stages are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Timings {
    /// They are not.
    #[default]
    Off,
    /// They are; each costs one message.
    On,
}

/// A running container's first process.
#[derive(Debug)]
pub struct Started {
    /// Its process id in the host's pid namespace.
    pub pid: u32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// The reaper's control socket; closed at once where there is no reaper.
    pub control: OwnedFd,
    /// Descriptors that steps sent, with what they say.
    pub fds: Vec<(u32, OwnedFd)>,
    /// Ends of stages: stage and monotonic time in nanoseconds.
    pub marks: Vec<(u32, u64)>,
}

/// Starts a program.
///
/// # Errors
/// [`ErrorKind::Step`], [`ErrorKind::Exec`] and [`ErrorKind::Clone`] with the step that failed;
/// [`ErrorKind::InitDied`], [`ErrorKind::StartTimeout`]; [`ErrorKind::Host`] and the others when a call in this
/// process failed. No process is left behind; one that cannot be ended is [`ErrorKind::NotEnding`].
pub fn start(program: &Program, launch: &Launch<'_>) -> Result<Started, Error> {
    let executable = Embedded::shared()?;
    let image = launch.image()?.store("ampoule-launch", Sealing::Unsealed)?;
    let (setup, setup_peer) = control::pair()?;
    let (control, control_peer) = control::pair()?;
    let base = launch.first_internal();
    let mut places: Vec<Place> =
        launch.payload_fds.iter().map(|&(to, from)| Place::new(from, to)).collect();
    let own = [setup_peer.as_fd(), control_peer.as_fd(), program.image(), image.as_fd()];
    let inherited = own
        .into_iter()
        .chain(program.fds().iter().map(AsFd::as_fd))
        .chain(launch.fds.iter().copied());
    places.extend(inherited.zip(base..).map(|(from, to)| Place::new(from, to)));
    let argument = CString::new(base.to_string()).unwrap_or_default();
    let launcher = vfork::spawn(executable.as_fd(), &argument, &mut places).map_err(clone_error)?;
    drop((setup_peer, control_peer, image));
    let mut attempt = Attempt { launcher, setup, deadline: launch.deadline, seen: Seen::default() };
    match attempt.run() {
        Ok(()) => attempt.started(control),
        Err(failure) => Err(attempt.abandon(program, failure)),
    }
}

/// The error of a failed clone or first exec.
fn clone_error(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Clone, "the launcher cannot be started")
        .with_errno(error.raw_os_error().unwrap_or(libc::EIO))
}

impl Launch<'_> {
    /// The first descriptor number past the payload's.
    fn first_internal(&self) -> RawFd {
        self.payload_fds.iter().map(|&(number, _)| number).max().unwrap_or(2).max(2) + 1
    }

    /// Encodes the record.
    pub(crate) fn image(&self) -> Result<Image, Error> {
        let mut image = Image::with_head(LAUNCH_HEADER_LEN);
        let argv = image.add_texts(&self.argv)?;
        let envp = image.add_texts(&self.env)?;
        let paths = image.add_texts(&self.paths)?;
        let params = self.add_parameters(&mut image)?;
        let (relocs, reloc_count) = image.add_relocations()?;
        let fault = self.fault.unwrap_or(Fault { operation: NONE, outcome: 0 });
        let nanos = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
        let header = LaunchHeader {
            len: image.len()?,
            flags: self.flags(),
            relocs,
            reloc_count,
            params,
            param_count: u32::try_from(self.parameters.len()).unwrap_or(0),
            argv,
            envp,
            paths,
            host: self.host.map_or(NONE, u32::from),
            status: self.status.map_or(NONE, u32::from),
            fault_op: fault.operation,
            fault: fault.outcome,
            timeout: self.timeout.map_or(0, nanos),
        };
        image.put(0, &header.encode());
        Ok(image)
    }

    fn flags(&self) -> u32 {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        flag(self.timings == Timings::On, launch_flag::TIMINGS)
            | flag(self.pid_namespace == PidNamespace::New, launch_flag::PID_NAMESPACE)
            | flag(self.first == First::Idle, launch_flag::IDLE)
    }

    fn add_parameters(&self, image: &mut Image) -> Result<u32, Error> {
        let table = image.add(&vec![0; 8 * self.parameters.len().max(1)])?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            let at = table as usize + 8 * index;
            match parameter {
                Parameter::Number(number) => image.put(at, &number.to_le_bytes()),
                Parameter::Text(text) => {
                    let offset = image.add_text(text)?;
                    image.relocate(at, offset);
                }
            }
        }
        Ok(table)
    }
}

/// What has been reported so far.
#[derive(Debug, Default)]
struct Seen {
    first: Option<(u32, OwnedFd)>,
    fds: Vec<(u32, OwnedFd)>,
    marks: Vec<(u32, u64)>,
    running: bool,
}

/// Why a launch failed.
enum Failure {
    Reported(Record),
    Died,
    TimedOut,
    Host(Error),
}

/// A launch under way.
struct Attempt {
    launcher: OwnedFd,
    setup: OwnedFd,
    deadline: Instant,
    seen: Seen,
}

impl Attempt {
    /// Reads reports until the setup socket closes, then reaps the launcher.
    fn run(&mut self) -> Result<(), Failure> {
        loop {
            if !self.readable()? {
                return Err(Failure::TimedOut);
            }
            match control::receive(&self.setup).map_err(Failure::Host)? {
                Received::Record(record, fd) => self.note(&record, fd)?,
                Received::Closed => break,
                Received::Junk | Received::Nothing => {}
            }
        }
        if !self.seen.running || self.seen.first.is_none() {
            return Err(Failure::Died);
        }
        self.reap_launcher()
    }

    fn readable(&self) -> Result<bool, Failure> {
        process::wait_readable(&self.setup, Some(self.deadline))
            .map_err(|error| Failure::Host(Error::host("poll", error)))
    }

    /// Takes one report in.
    fn note(&mut self, record: &Record, fd: Option<OwnedFd>) -> Result<(), Failure> {
        match (record.kind, fd) {
            (record::ERROR, _) => return Err(Failure::Reported(*record)),
            (record::FIRST, Some(fd)) => {
                self.seen.first = Some((u32::try_from(record.words[0]).unwrap_or(0), fd));
            }
            (record::FD, Some(fd)) => self.seen.fds.push((record.aux, fd)),
            (record::MARK, _) => self.seen.marks.push((record.aux, record.words[0])),
            (record::EXECING | record::IDLE, _) => self.seen.running = true,
            _ => {}
        }
        Ok(())
    }

    fn reap_launcher(&self) -> Result<(), Failure> {
        let host = |error| Failure::Host(Error::host("waitid of the launcher", error));
        if !process::wait_readable(&self.launcher, Some(self.deadline)).map_err(host)? {
            return Err(Failure::TimedOut);
        }
        process::reap(&self.launcher).map(drop).map_err(host)
    }

    fn started(self, control: OwnedFd) -> Result<Started, Error> {
        let Some((pid, pidfd)) = self.seen.first else {
            return Err(Error::new(ErrorKind::InitDied, "no first process"));
        };
        Ok(Started { pid, pidfd, control, fds: self.seen.fds, marks: self.seen.marks })
    }

    /// Ends what was started and makes the error.
    fn abandon(mut self, program: &Program, failure: Failure) -> Error {
        let limit = Instant::now() + END_LIMIT;
        let launcher_ended = process::end(&self.launcher, limit).unwrap_or(false);
        // The launcher may have reported its clone after the failure that came first.
        while let Ok(Received::Record(record, fd)) = control::receive(&self.setup) {
            let _reported_already = self.note(&record, fd);
        }
        let first = self.seen.first.take();
        let first_ended =
            first.is_none_or(|(_, pidfd)| process::end(&pidfd, limit).unwrap_or(false));
        match failure {
            _ if !launcher_ended => Error::new(ErrorKind::NotEnding, "the launcher"),
            _ if !first_ended => Error::new(ErrorKind::NotEnding, "the first process"),
            Failure::Reported(record) => step_error(program, &record),
            Failure::Died => Error::new(ErrorKind::InitDied, "while starting"),
            Failure::TimedOut => Error::new(ErrorKind::StartTimeout, "while starting"),
            Failure::Host(error) => error,
        }
    }
}

/// The error that a report describes.
fn step_error(program: &Program, record: &Record) -> Error {
    let index = record.step as usize;
    let step = program.step(index);
    let kind = match step {
        Some(step) if step.has(wire::code::EXEC) => ErrorKind::Exec,
        Some(step) if step.has(wire::code::FIRST) => ErrorKind::Clone,
        _ => ErrorKind::Step,
    };
    Error::at_step(
        kind,
        index,
        step.map(ToString::to_string).unwrap_or_default(),
        record.errno,
        record.aux,
    )
}

const _: () = assert!(internal_fd::COUNT == 4);
