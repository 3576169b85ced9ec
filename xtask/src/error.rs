//! The one error type of the verbs: facts inside, the sentence in `Display`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{fmt, io};

use crate::vm::Glibc;

/// Why a verb could not go on. A test that fails is not an `Error`; it is a result.
#[derive(Debug)]
pub(crate) struct Error(Facts);

#[derive(Debug)]
enum Facts {
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    Start { program: OsString, source: io::Error },
    Exit { program: OsString, args: Vec<OsString>, status: ExitStatus },
    Json { of: &'static str, source: serde_json::Error },
    Absent { what: &'static str },
    Unreachable { mirror: String, suite: &'static str },
    Machine { what: &'static str, last_words: String },
    Glibc { program: PathBuf, needed: Glibc, has: Glibc },
    Usage(lexopt::Error),
}

impl Error {
    /// An operation on a path failed.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self(Facts::Io { operation, path: path.to_owned(), source })
    }

    /// A program could not be started.
    pub(crate) fn start(command: &Command, source: io::Error) -> Self {
        Self(Facts::Start { program: command.get_program().to_owned(), source })
    }

    /// A program that had to succeed did not.
    pub(crate) fn exit(command: &Command, status: ExitStatus) -> Self {
        let args = command.get_args().map(ToOwned::to_owned).collect();
        Self(Facts::Exit { program: command.get_program().to_owned(), args, status })
    }

    /// A program's output was not the JSON that it should be.
    pub(crate) fn json(of: &'static str, source: serde_json::Error) -> Self {
        Self(Facts::Json { of, source })
    }

    /// Something that must be there is not.
    pub(crate) fn absent(what: &'static str) -> Self {
        Self(Facts::Absent { what })
    }

    /// A suite of Debian's archive could not be fetched.
    pub(crate) fn unreachable(mirror: &str, suite: &'static str) -> Self {
        Self(Facts::Unreachable { mirror: mirror.to_owned(), suite })
    }

    /// The virtual machine failed, with the last lines that it said.
    pub(crate) fn machine(what: &'static str, last_words: String) -> Self {
        Self(Facts::Machine { what, last_words })
    }

    /// A program needs a newer C library than the virtual machine has.
    pub(crate) fn glibc(program: &Path, needed: Glibc, has: Glibc) -> Self {
        Self(Facts::Glibc { program: program.to_owned(), needed, has })
    }

    /// Whether Debian's archive was the obstacle.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self.0, Facts::Unreachable { .. })
    }
}

impl From<lexopt::Error> for Error {
    fn from(source: lexopt::Error) -> Self {
        Self(Facts::Usage(source))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Facts::Io { operation, path, source } => {
                write!(f, "{operation} {}: {source}", path.display())
            }
            Facts::Start { program, source } => {
                write!(f, "start {}: {source}", program.to_string_lossy())
            }
            Facts::Exit { program, args, status } => {
                write!(f, "{}", program.to_string_lossy())?;
                for arg in args {
                    write!(f, " {}", arg.to_string_lossy())?;
                }
                write!(f, ": {status}")
            }
            Facts::Json { of, source } => write!(f, "read the output of {of}: {source}"),
            Facts::Absent { what } => write!(f, "no {what}"),
            Facts::Unreachable { mirror, suite } => {
                write!(f, "fetch the package lists of {suite} from {mirror}: apt-get failed")
            }
            Facts::Machine { what, last_words } => {
                write!(f, "the virtual machine {what}:\n{last_words}")
            }
            Facts::Glibc { program, needed, has } => write!(
                f,
                "{}: needs glibc {needed}, and the virtual machine has {has}: build it on an \
                 older system (Debian 13 or Ubuntu 24.04)",
                program.display()
            ),
            Facts::Usage(source) => write!(f, "{source} (see --help)"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Facts::Io { source, .. } | Facts::Start { source, .. } => Some(source),
            Facts::Json { source, .. } => Some(source),
            Facts::Usage(source) => Some(source),
            Facts::Exit { .. }
            | Facts::Absent { .. }
            | Facts::Unreachable { .. }
            | Facts::Machine { .. }
            | Facts::Glibc { .. } => None,
        }
    }
}
