//! One launch: the second, short record beside the shared program, and the start itself.
//!
//! Kernel objects: a memfd, a socket pair, the launcher (a process for some hundred microseconds), the
//! first process. Invariant: `Ok` means that the payload's program runs (or that an idle reaper does);
//! `Err` means that no process is left.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::attempt::Attempt;
use crate::control;
use crate::embedded::Embedded;
use crate::error::{Error, ErrorKind};
use crate::gate::Gate;
use crate::held::Held;
use crate::image::{Image, Sealing};
use crate::program::Program;
use crate::sys::vfork::{self, Place, Spawned};
use crate::wire::{LAUNCH_HEADER_LEN, LaunchHeader, NONE, internal_fd, launch_flag};

/// The highest number that a descriptor can have (`fs.nr_open` cannot be set higher).
const MAX_FD: RawFd = 0x3fff_ffff;

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
    /// It executes the payload, or clones a process that does, as the program's steps say.
    Payload,
    /// It stays as a reaper without payload.
    Idle,
}

/// What the end of the first process means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidNamespace {
    /// A new one: the kernel ends the others with it.
    New,
    /// That of a running container: the kernel ends it with that one's first process.
    Joined,
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
    /// Position in `fds` of a descriptor that the reaper keeps open until it ends, such as a lock.
    pub kept: Option<u16>,
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
    /// Whether the program starts at once.
    pub begin: Begin,
    /// A fault to inject.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

/// When the program of a launch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Begin {
    /// At once.
    #[default]
    AtOnce,
    /// When [`Held::go`] says so; a program without [`steps::launch::hold`](crate::steps::launch::hold) starts at once.
    Held,
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
    /// What starts the program of a launch that is held.
    pub held: Option<Held>,
}

/// Starts a program.
///
/// # Errors
/// [`ErrorKind::Step`], [`ErrorKind::Exec`] and [`ErrorKind::Clone`] with the step that failed;
/// [`ErrorKind::InitDied`], [`ErrorKind::StartTimeout`]; [`ErrorKind::Host`] and the others when a call in this
/// process failed. No process is left behind; one that cannot be ended is [`ErrorKind::NotEnding`].
pub fn start(program: &Program, launch: &Launch<'_>) -> Result<Started, Error> {
    start_gated(program, launch, &mut |_: &mut Vec<(u32, OwnedFd)>| Ok(()))
}

/// As [`start`], for a program with [`wait_for_host`](crate::steps::launch::wait_for_host): there `gate` is called, with
/// the descriptors that steps sent until then, while the first process waits.
///
/// # Errors
/// As [`start`]; [`ErrorKind::Refused`] when `gate` refused.
pub fn start_gated(
    program: &Program,
    launch: &Launch<'_>,
    gate: Gate<'_>,
) -> Result<Started, Error> {
    launch.check()?;
    let image = launch.image()?.store("ampoule-launch", Sealing::Unsealed)?;
    let (hello, hello_peer) = control::pair()?;
    let base = launch.first_internal();
    let mut places: Vec<Place> =
        launch.payload_fds.iter().map(|&(to, from)| Place::new(from, to)).collect();
    // The launcher replaces its first socket by two that this process has never held.
    let own = [hello_peer.as_fd(), hello_peer.as_fd(), program.image(), image.as_fd()];
    let inherited = own
        .into_iter()
        .chain(program.fds().iter().map(AsFd::as_fd))
        .chain(launch.fds.iter().copied());
    places.extend(inherited.zip(base..).map(|(from, to)| Place::new(from, to)));
    let argument = CString::new(base.to_string()).unwrap_or_default();
    let launcher = spawn_launcher(program, &argument, &places)?;
    drop((hello_peer, image));
    Attempt::new(launcher, hello, program, launch).finish(program, gate)
}

/// Starts the launcher; where a payload spoils the executable at this very moment, from a new one.
fn spawn_launcher(program: &Program, argument: &CStr, places: &[Place]) -> Result<Spawned, Error> {
    const TRIES: usize = 5;
    let mut executable = Embedded::shared()?;
    for _ in 1..TRIES {
        program.keep(&executable);
        match vfork::spawn(executable.as_fd(), argument, places) {
            // Busy: a fork of this process by somebody else still holds the writer of the fallback file.
            Err(error)
                if error.raw_os_error() == Some(libc::ETXTBSY) || !executable.is_intact() =>
            {
                executable = Embedded::replaced(&executable)?;
            }
            other => return other.map_err(clone_error),
        }
    }
    vfork::spawn(executable.as_fd(), argument, places).map_err(clone_error)
}

/// The error of a failed clone or first exec.
fn clone_error(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Clone, "the launcher cannot be started")
        .with_errno(error.raw_os_error().unwrap_or(libc::EIO))
}

impl<'a> Launch<'a> {
    /// A launch without payload: its reaper stays until it is ended, or until the process of the pidfd `host` has ended.
    #[must_use]
    pub fn idle(host: BorrowedFd<'a>, pid_namespace: PidNamespace, deadline: Instant) -> Self {
        Self {
            argv: Vec::new(),
            env: Vec::new(),
            paths: Vec::new(),
            parameters: Vec::new(),
            payload_fds: Vec::new(),
            fds: vec![host],
            host: Some(0),
            status: None,
            kept: None,
            first: First::Idle,
            pid_namespace,
            timeout: None,
            timings: Timings::Off,
            deadline,
            begin: Begin::AtOnce,
            fault: None,
        }
    }
}

impl Launch<'_> {
    /// Refuses numbers that no descriptor can have, and positions where there is none.
    fn check(&self) -> Result<(), Error> {
        let refuse = |what, errno| Err(Error::new(ErrorKind::Host, what).with_errno(errno));
        let mut numbers: Vec<RawFd> = self.payload_fds.iter().map(|&(to, _)| to).collect();
        numbers.sort_unstable();
        if numbers.first().is_some_and(|&lowest| lowest < 0)
            || numbers.last().is_some_and(|&highest| highest > MAX_FD)
        {
            return refuse("the number of a payload's descriptor", libc::EBADF);
        }
        if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            return refuse("two of the payload's descriptors have one number", libc::EEXIST);
        }
        let missing = |index: Option<u16>| index.is_some_and(|i| usize::from(i) >= self.fds.len());
        if [self.host, self.status, self.kept].into_iter().any(missing) {
            return refuse("the position of a launch's descriptor", libc::EBADF);
        }
        Ok(())
    }

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
            kept: self.kept.map_or(NONE, u32::from),
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
            | flag(self.pid_namespace != PidNamespace::Other, launch_flag::PID_NAMESPACE)
            | flag(self.first == First::Idle, launch_flag::IDLE)
            | flag(self.begin == Begin::Held, launch_flag::HELD)
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

const _: () = assert!(internal_fd::COUNT == 4);
