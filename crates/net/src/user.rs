//! A network without privilege: a program of the caller carries what the container sends over ordinary sockets.
//!
//! Kernel objects: a tap device in the container's namespace, made by pasta(1) or slirp4netns(1); that program, below a
//! reaper that ends it with this process. Invariant: when a [`UserNetwork`] is dropped, no process of it lives.

use std::ffi::CString;
use std::fs::{File, metadata};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch as step, process};
use ampoule_init::sys::ns_ioctl;
use ampoule_init::{
    Begin, Draft, First, Launch, PidNamespace, Program, Started, Timings, above_stdio, reaper,
    start,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, geteuid, getpid, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::name::LinkName;
use crate::netns::Netns;
use crate::ports::Port;
use crate::program::Problem;

/// Where programs are looked for.
const DIRECTORIES: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// How long a program may take until the network works.
const LIMIT: Duration = Duration::from_secs(20);

/// How long its end may take.
const END: Duration = Duration::from_secs(10);

/// Of the container's link. Without one, pasta knows none until the container has sent something, and what comes in
/// before is lost. Nobody else is on that link.
const MAC: &str = "02:61:6d:70:00:01";

/// Of its last words, so many bytes are kept.
const WORDS_MAX: usize = 2000;

/// The network of a container of an ordinary user, over `pasta`, or else `slirp4netns` (without published ports).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    link: LinkName,
    ports: Vec<Port>,
}

/// A network that works, until it is dropped.
#[derive(Debug)]
pub struct UserNetwork {
    started: Started,
    /// Its end ends slirp4netns.
    _exit: Option<OwnedFd>,
    /// What the program says is not read, and lost when the pipe is full.
    words: OwnedFd,
    program: &'static str,
}

/// What runs one of the programs.
struct Invocation {
    program: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    /// What it reads at its end, if it wants that.
    exit: Option<(OwnedFd, OwnedFd)>,
}

impl User {
    /// With this name for the link in the container.
    ///
    /// # Errors
    /// [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn new(link: &str) -> Result<Self> {
        Ok(Self { link: LinkName::new(link)?, ports: Vec::new() })
    }

    /// Publishes a port of the container on the host.
    #[must_use]
    pub fn publish(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// Starts the program, which gives the namespace its link, addresses and routes.
    ///
    /// # Errors
    /// [`ProgramMissing`](crate::ErrorKind::ProgramMissing) when neither is installed, or published ports are wanted and
    /// `pasta` is not; [`ProgramFailed`](crate::ErrorKind::ProgramFailed) with its own words, when it does not start: a
    /// port in use, no `/dev/net/tun`, no route of the host. No process is left then.
    pub fn start(&self, netns: &Netns) -> Result<UserNetwork> {
        self.start_from(&DIRECTORIES.map(Path::new), netns)
    }

    /// As [`Self::start`], with the programs in these directories.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_from(&self, directories: &[&Path], netns: &Netns) -> Result<UserNetwork> {
        let owner = ns_ioctl::owning_user_namespace(netns.as_fd())
            .map_err(|error| Error::io("NS_GET_USERNS", Path::new("net"), &error))?;
        // Root joins the network of any namespace below its own; it could not open that, for it drops capabilities.
        let owner = (!geteuid().is_root() && !is_own(&owner)?).then_some(owner);
        let invocation = match find(directories, "pasta") {
            Some(path) => self.pasta(path, owner.as_ref()),
            None => match find(directories, "slirp4netns") {
                Some(path) if self.ports.is_empty() => self.slirp(path, netns, owner.as_ref())?,
                Some(_) => return Err(Error::program("pasta", Problem::NotInstalled)),
                None => return Err(Error::program("pasta or slirp4netns", Problem::NotInstalled)),
            },
        };
        run(invocation, netns)
    }

    fn pasta(&self, path: PathBuf, owner: Option<&OwnedFd>) -> Invocation {
        let words = [
            "--config-net",
            "--foreground",
            "--quiet",
            // The host's own services are not the container's.
            "--no-map-gw",
            "--tcp-ns",
            "none",
            "--udp-ns",
            "none",
            // It writes its number when the network works.
            "--pid",
            "/proc/self/fd/1",
        ];
        let mut arguments: Vec<String> = words.map(str::to_owned).into();
        arguments.extend(["--ns-mac-addr", MAC, "--ns-ifname"].map(str::to_owned));
        arguments.push(self.link.to_string());
        // When it opens this one it has joined the user namespace, and cannot look into this process any more; nor does
        // it keep descriptors past the first three in later versions.
        arguments.extend(["--netns".to_owned(), "/proc/self/fd/0".to_owned()]);
        match owner {
            Some(owner) => arguments.extend(["--userns".to_owned(), path_of(owner)]),
            None => arguments.push("--netns-only".to_owned()),
        }
        if geteuid().is_root() {
            // It would become an ordinary user, who may not join the namespace.
            arguments.extend(["--runas", "0:0"].map(str::to_owned));
        }
        for (option, protocol) in [("--tcp-ports", "tcp"), ("--udp-ports", "udp")] {
            let ports = self.ports.iter().filter(|port| port.protocol_name() == protocol);
            let mut specified: Vec<String> = ports.map(specification).collect();
            if specified.is_empty() {
                specified.push("none".to_owned());
            }
            arguments.extend(specified.into_iter().flat_map(|port| [option.to_owned(), port]));
        }
        Invocation { program: "pasta", path, arguments, exit: None }
    }

    fn slirp(&self, path: PathBuf, netns: &Netns, owner: Option<&OwnedFd>) -> Result<Invocation> {
        let exit = pipe()?;
        let words = [
            "--configure",
            "--ready-fd=1",
            "--exit-fd=3",
            "--disable-host-loopback",
            "--mtu=65520",
        ];
        let mut arguments: Vec<String> = words.map(str::to_owned).into();
        arguments.push("--netns-type=path".to_owned());
        arguments.extend(owner.iter().flat_map(|it| ["--userns-path".to_owned(), path_of(it)]));
        arguments.extend([path_of(netns), self.link.to_string()]);
        Ok(Invocation { program: "slirp4netns", path, arguments, exit: Some(exit) })
    }
}

impl UserNetwork {
    /// The program that carries it: `pasta` or `slirp4netns`.
    #[must_use]
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// Ends the program; the link goes with it.
    ///
    /// # Errors
    /// [`System`](crate::ErrorKind::System) when it does not end.
    pub fn stop(self) -> Result<()> {
        self.end()
    }

    fn end(&self) -> Result<()> {
        let asked = reaper::end(&self.started.control).is_ok();
        let deadline = Instant::now() + END;
        let waited = ampoule_init::process::wait_readable(&self.started.pidfd, Some(deadline));
        let ended = asked && waited.is_ok_and(|ended| ended);
        // One that does not hear is killed.
        let reaped = match ended {
            true => ampoule_init::process::reap(&self.started.pidfd).map(|_| true),
            false => ampoule_init::process::end(&self.started.pidfd, deadline + END),
        };
        match reaped {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::system("end", self.program, Errno::TIMEDOUT)),
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                Err(Error::system("end", self.program, errno))
            }
        }
    }
}

impl Drop for UserNetwork {
    fn drop(&mut self) {
        // There is nobody to tell; one that was stopped is gone.
        drop(self.end());
    }
}

fn find(directories: &[&Path], program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    directories.iter().map(|directory| directory.join(program)).find(is_program)
}

/// Whether a user namespace is the caller's, which nobody joins twice.
fn is_own(owner: &OwnedFd) -> Result<bool> {
    let path = Path::new("/proc/thread-self/ns/user");
    let own = metadata(path).map_err(|error| Error::io("stat", path, &error))?;
    let owner = fstat(owner).map_err(|errno| Error::system("fstat", "net", errno))?;
    Ok((own.dev(), own.ino()) == (owner.st_dev, owner.st_ino))
}

fn path_of(fd: &impl AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_fd().as_raw_fd())
}

/// As pasta writes it: `[ADDRESS/]PORT[-LAST]:PORT[-LAST]`.
fn specification(port: &Port) -> String {
    let range = |(first, last): (u16, u16)| format!("{first}-{last}");
    let address = port.host_address().map(|address| format!("{address}/")).unwrap_or_default();
    format!("{address}{}:{}", range(port.host_range()), range(port.container_range()))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::system("pipe2", "", errno))
}

fn text(word: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(word).map_err(|_| Error::system("exec", "argument", Errno::INVAL))
}

/// Starts a program below a reaper, and waits until it says that the network works.
fn run(invocation: Invocation, netns: &Netns) -> Result<UserNetwork> {
    let Invocation { program, path, arguments, exit } = invocation;
    let (ready, ready_write) = pipe()?;
    let (words, words_write) = pipe()?;
    // What nobody reads does not stop it.
    rustix::io::ioctl_fionbio(&words_write, true)
        .map_err(|errno| Error::system("ioctl", "FIONBIO", errno))?;
    let host = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|errno| Error::system("pidfd_open", "", errno))?;
    let host = above_stdio(host)?;
    let mut payload_fds =
        vec![(0, netns.as_fd()), (1, ready_write.as_fd()), (2, words_write.as_fd())];
    payload_fds.extend(exit.iter().map(|(read, _)| (3, read.as_fd())));
    let mut argv = vec![text(program)?];
    for argument in arguments {
        argv.push(text(argument)?);
    }
    let launch = Launch {
        argv,
        env: vec![text("PATH=/usr/bin:/bin")?],
        paths: vec![text(path.into_os_string().into_encoded_bytes())?],
        parameters: Vec::new(),
        payload_fds,
        fds: vec![host.as_fd()],
        host: Some(0),
        status: None,
        kept: None,
        first: First::Payload,
        pid_namespace: PidNamespace::Other,
        timeout: None,
        timings: Timings::Off,
        deadline: Instant::now() + LIMIT,
        begin: Begin::AtOnce,
        fault: None,
    };
    let started = start(&reaped()?, &launch)?;
    drop((ready_write, words_write));
    let exit = exit.map(|(_, write)| write);
    let network = UserNetwork { started, _exit: exit, words, program };
    if is_ready(&ready)? {
        return Ok(network);
    }
    let words = last_words(&network);
    Err(Error::program(program, Problem::NotReady(words)))
}

/// The payload below a reaper that ends it with the host.
fn reaped() -> Result<Program> {
    let mut draft = Draft::default();
    draft.launcher(step::clone_first(0, "", None));
    draft.launcher(step::release());
    draft.first_all([
        step::wait_for_release(),
        process::undumpable(),
        step::become_reaper(None),
        step::reset_signals(),
        step::close_others(),
        step::exec(),
    ]);
    Ok(Program::seal(draft)?)
}

/// Whether it wrote that it is ready; not, when it ended or takes too long.
fn is_ready(ready: &OwnedFd) -> Result<bool> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Error::system("poll", "", Errno::INVAL))?;
        match poll(&mut [PollFd::new(ready, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("poll", "ready", errno)),
            Ok(0) => return Ok(false),
            Ok(_) => break,
        }
    }
    let read = rustix::io::read(ready, &mut [0_u8; 32][..]);
    read.map(|read| read > 0).map_err(|errno| Error::system("read", "ready", errno))
}

/// What it has said so far.
fn last_words(network: &UserNetwork) -> String {
    let mut words = Vec::new();
    let copy = rustix::io::fcntl_dupfd_cloexec(&network.words, 3);
    if let Ok(copy) = copy
        && rustix::io::ioctl_fionbio(&copy, true).is_ok()
    {
        // What was read before there was no more counts.
        let limit = u64::try_from(WORDS_MAX).unwrap_or_default();
        drop(File::from(copy).take(limit).read_to_end(&mut words));
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_pasta_reads_them() {
        for (port, expected) in [
            ("8080:80", "8080-8080:80-80"),
            ("127.0.0.1:8080:80", "127.0.0.1/8080-8080:80-80"),
            ("[::1]:5000-5001:6000-6001/udp", "::1/5000-5001:6000-6001"),
        ] {
            assert_eq!(specification(&port.parse().unwrap()), expected);
        }
    }
}
