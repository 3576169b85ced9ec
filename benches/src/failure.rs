//! Why a measurement could not be made. Touches no kernel object.
//!
//! Invariant: a failure is printed beside the row it belongs to; none is dropped.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// What went wrong while preparing or measuring a contender.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A file operation of the harness failed.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// What was done, such as `write`.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A system call of a contender failed.
    #[error("{call}: {source}")]
    Call {
        /// The system call or the step.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The payload or the command line did not end with status 0.
    #[error("ended with {0}")]
    Ended(ExitStatus),
    /// The payload of the floor did not end with status 0.
    #[error("payload ended with code {0}")]
    Payload(i32),
    /// A contender in another process or library reported this.
    #[error("{0}")]
    Reported(Box<str>),
    /// The worker sent nothing within the time limit, or ended.
    #[error("worker gave no answer: {0}")]
    NoAnswer(&'static str),
    /// A line of the protocol could not be read.
    #[error("protocol: {0}")]
    Protocol(#[from] serde_json::Error),
    /// The command line of the bench is wrong.
    #[error(transparent)]
    Arguments(#[from] lexopt::Error),
    /// A name that is no row, contender or configuration.
    #[error("{what} {name:?} is not known")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name given.
        name: OsString,
    },
    /// The bench changes what only root may change.
    #[error("{0} needs root: run it with sudo")]
    NeedsRoot(&'static str),
    /// A group does not have a limit that was asked for.
    #[error("{} shows {shown:?} in place of {wanted:?}", file.display())]
    NotInForce {
        /// The kernel's file.
        file: PathBuf,
        /// What it shows.
        shown: String,
        /// What was asked for.
        wanted: String,
    },
    /// Groups are there that should be removed.
    #[error("left behind: {}", names.join(", "))]
    LeftBehind {
        /// Their paths.
        names: Vec<String>,
    },
    /// The machine cannot carry this row.
    #[error("needs {needed} MiB, available are {available} MiB")]
    Memory {
        /// MiB that the row needs.
        needed: u64,
        /// MiB that /proc/meminfo calls available.
        available: u64,
    },
}

impl Failure {
    /// Says which file operation failed.
    pub fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }

    /// Says which call failed.
    pub fn call<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call { call, source: source.into() }
    }

    /// Keeps what another library or process said.
    pub fn reported(said: impl std::fmt::Display) -> Self {
        Self::Reported(said.to_string().into())
    }
}
