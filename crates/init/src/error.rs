//! What can go wrong while a program is prepared or started.
//!
//! Invariant: an error holds facts (what, which step, errno); sentences are made in `Display` only.

use std::fmt;
use std::io;

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text holds a NUL byte.
    NulByte,
    /// A program has more operations, slots or bytes than fit.
    ProgramTooLarge,
    /// The host's limit on file sizes is too low to write a memfd (`RLIMIT_FSIZE`, setrlimit(2)).
    FileSizeLimit,
    /// No executable memory file can be made (`vm.memfd_noexec`, or a noexec fallback directory).
    MemfdForbidden,
    /// A system call in the host's process failed.
    Host,
    /// The launcher or the first process could not be created.
    Clone,
    /// A step failed.
    Step,
    /// The payload's program could not be executed.
    Exec,
    /// The launcher or the first process ended without a report.
    InitDied,
    /// The launch did not finish in time.
    StartTimeout,
    /// A process that was told to end did not.
    NotEnding,
    /// The host's part of the launch failed ([`start_gated`](crate::start_gated)).
    Refused,
    /// The exit status was lost: somebody else reaped the process.
    StatusLost,
}

/// An error of this crate.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: &'static str,
    step: Option<(usize, String)>,
    errno: Option<i32>,
    aux: u32,
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind, what: &'static str) -> Self {
        Self { kind, what, step: None, errno: None, aux: 0 }
    }

    pub(crate) fn with_errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }

    pub(crate) fn host(what: &'static str, error: impl Into<io::Error>) -> Self {
        let errno = error.into().raw_os_error();
        Self { errno, ..Self::new(ErrorKind::Host, what) }
    }

    pub(crate) fn at_step(
        kind: ErrorKind,
        index: usize,
        text: String,
        errno: i32,
        aux: u32,
    ) -> Self {
        Self { kind, what: "", step: Some((index, text)), errno: Some(errno), aux }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The kernel's error number, if a call failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// The failed step's position in the plan, if one failed.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        self.step.as_ref().map(|(index, _)| *index)
    }

    /// The failed step as the plan prints it.
    #[must_use]
    pub fn step_text(&self) -> Option<&str> {
        self.step.as_ref().map(|(_, text)| text.as_str())
    }

    /// What it is about: the failed step, or the operation of the host.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.step_text().unwrap_or(self.what)
    }

    /// For a failed exec: the `st_mode` of the file that was found, 0 if there is none; for a failed helper:
    /// its wait status.
    #[must_use]
    pub fn aux(&self) -> u32 {
        self.aux
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match (&self.step, self.what) {
            (Some((index, text)), _) => format!("step {index}: {text}"),
            (None, what) => what.to_owned(),
        };
        match self.kind {
            ErrorKind::NulByte => write!(out, "{subject} holds a NUL byte"),
            ErrorKind::ProgramTooLarge => write!(out, "the program is too large: {subject}"),
            ErrorKind::FileSizeLimit => write!(out, "RLIMIT_FSIZE is too low to write {subject}"),
            ErrorKind::MemfdForbidden => {
                write!(out, "no executable memory file can be made: {subject}")
            }
            ErrorKind::InitDied => write!(out, "init ended without a report ({subject})"),
            ErrorKind::StartTimeout => write!(out, "the launch did not finish in time ({subject})"),
            ErrorKind::NotEnding => write!(out, "a process did not end after SIGKILL ({subject})"),
            ErrorKind::Refused => write!(out, "given up by the host"),
            ErrorKind::StatusLost => write!(out, "the exit status was lost: {subject}"),
            ErrorKind::Host | ErrorKind::Clone | ErrorKind::Step | ErrorKind::Exec => {
                write!(out, "{subject}")
            }
        }?;
        match self.errno {
            Some(errno) => write!(out, ": {}", io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.errno {
            Some(errno) => io::Error::from_raw_os_error(errno).kind(),
            None => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
