//! Standard streams: what the payload gets as descriptors 0, 1 and 2, and what the host keeps.
//!
//! Kernel objects: pipes, memfds, `/dev/null`. Invariant: every descriptor made here is closed on exec and has a
//! number above 2, so that a host that closed its own streams never hands out one of ours by mistake.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ampoule_init::above_stdio;
use rustix::fs::{MemfdFlags, Mode};

use crate::error::{Error, ErrorKind, Stage};

/// Where one of the payload's streams goes.
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

/// The kinds of streams.
#[derive(Debug)]
pub(crate) enum Kind {
    Inherit,
    Null,
    Piped,
    Bytes(Vec<u8>),
    Fd(OwnedFd),
}

impl Stdio {
    /// The host's own stream of the same number.
    #[must_use]
    pub fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// `/dev/null` of the host.
    #[must_use]
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// A pipe (pipe(7)); the host's end is in the [`crate::Container`].
    #[must_use]
    pub fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// These bytes, for standard input; a memory file, so that neither a thread nor the payload's reading is needed.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }
}

impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(fd: T) -> Self {
        Self(Kind::Fd(fd.into()))
    }
}

/// One stream made ready: the payload's end, and the host's if it is a pipe.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) payload: OwnedFd,
    pub(crate) host: Option<OwnedFd>,
}

/// The direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Stdio {
    pub(crate) fn is_piped(&self) -> bool {
        matches!(self.0, Kind::Piped)
    }

    /// Makes the stream ready; `number` is 0, 1 or 2.
    pub(crate) fn open(self, number: usize) -> Result<Stream, Error> {
        let direction = if number == 0 { Direction::In } else { Direction::Out };
        let single = |payload| Ok(Stream { payload: above_stdio(payload)?, host: None });
        match self.0 {
            Kind::Inherit => single(inherited(number)?),
            Kind::Null => single(null()?),
            Kind::Fd(fd) => single(fd),
            Kind::Bytes(bytes) => single(memory(&bytes)?),
            Kind::Piped => pipe(direction),
        }
    }
}

/// Makes the three streams ready: those that were chosen, defaults for the others.
pub(crate) fn open_all(
    chosen: [Option<Stdio>; 3],
    defaults: [fn() -> Stdio; 3],
) -> Result<Vec<Stream>, Error> {
    let streams = chosen.into_iter().zip(defaults).enumerate();
    streams.map(|(number, (stdio, default))| stdio.unwrap_or_else(default).open(number)).collect()
}

/// A duplicate of the host's stream; one that the host closed is an error, not whatever took its number.
fn inherited(number: usize) -> Result<OwnedFd, Error> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let streams: [BorrowedFd<'_>; 3] = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    rustix::io::fcntl_dupfd_cloexec(streams[number], 3).map_err(|errno| {
        Error::new(ErrorKind::StreamClosed, Stage::Launch)
            .about(format!("descriptor {number} of the host"))
            .with_errno(errno)
            .with_hint("open it, or give this stream another destination such as Stdio::null()")
    })
}

fn null() -> Result<OwnedFd, Error> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/null");
    opened.map(OwnedFd::from).map_err(|error| Error::io(Stage::Launch, "open /dev/null", &error))
}

fn memory(bytes: &[u8]) -> Result<OwnedFd, Error> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| limit < bytes.len() as u64) {
        return Err(Error::new(ErrorKind::FileSizeLimit, Stage::Launch)
            .about("standard input of the payload"));
    }
    let fd = rustix::fs::memfd_create("ampoule-stdin", MemfdFlags::CLOEXEC)
        .map_err(|errno| Error::call(Stage::Launch, "memfd_create", errno))?;
    let mut file = File::from(fd);
    let written = file.write_all(bytes).and_then(|()| file.rewind());
    written.map_err(|error| Error::io(Stage::Launch, "write standard input", &error))?;
    Ok(file.into())
}

fn pipe(direction: Direction) -> Result<Stream, Error> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::call(Stage::Launch, "pipe2", errno))?;
    let (reader, writer) = (above_stdio(reader)?, above_stdio(writer)?);
    // The payload may be another user and open it again as /dev/stdout; nobody else has a path to it.
    rustix::fs::fchmod(&reader, Mode::from_raw_mode(0o666))
        .map_err(|errno| Error::call(Stage::Launch, "fchmod of a pipe", errno))?;
    Ok(match direction {
        Direction::In => Stream { payload: reader, host: Some(writer) },
        Direction::Out => Stream { payload: writer, host: Some(reader) },
    })
}
