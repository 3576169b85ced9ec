//! The harness's side of a worker of `bench-spawn`: starts it and asks it.
//!
//! Touches one child process. Invariant: the worker and what it started are gone when its value is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::conversation::Conversation;
use crate::failure::Failure;
use crate::host_size::Measured;
use crate::lineup::{Program, Row};
use crate::machine;
use crate::protocol::{Answer, Request};
use crate::worker::Assignment;

/// MiB that must stay free beside a worker's ballast.
const HEADROOM_MIB: u64 = 1024;
/// The mount that makes a cgroup v1 machine a hybrid one.
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// Runs the worker where that mount is gone, in a mount namespace of its own.
const WITHOUT_UNIFIED: &str = "umount /sys/fs/cgroup/unified && exec \"$0\" \"$@\"";

/// The programs that workers are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This binary.
    pub bench: PathBuf,
    /// The binary of `benches/peers`, or why there is none.
    pub peers: Result<PathBuf, String>,
}

/// A worker that is ready.
#[derive(Debug)]
pub struct Worker {
    conversation: Conversation,
    host: Measured,
}

impl Worker {
    /// Starts the worker of a row and waits until it is ready.
    ///
    /// # Errors
    /// When there is no memory or program for it, or what the worker itself reports.
    pub fn start(row: &Row, programs: &Programs, stage: &Path) -> Result<Self, Failure> {
        check_memory(row)?;
        let errors = stage.join(format!("errors-{}", row.to_string().replace([' ', '/'], "-")));
        let conversation = Conversation::begin(command(row, programs, stage)?, errors)?;
        let host = Measured { rss_mib: 0, threads: 0, files: 0 };
        let mut worker = Self { conversation, host };
        match worker.answer()? {
            Answer::Ready { host } => worker.host = host,
            _ => return Err(Failure::NoAnswer("it did not say that it is ready")),
        }
        Ok(worker)
    }

    /// How big the worker is.
    pub fn host(&self) -> Measured {
        self.host
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// What the worker reports, with the last lines of its standard error.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.conversation.say(request)?;
        self.answer()
    }

    /// The next answer; a failure becomes an error.
    fn answer(&mut self) -> Result<Answer, Failure> {
        match self.conversation.hear()? {
            Answer::Failed(said) => Err(Failure::reported(self.conversation.with_errors(&said))),
            answer => Ok(answer),
        }
    }
}

/// Whether the machine has memory for the row's ballast.
fn check_memory(row: &Row) -> Result<(), Failure> {
    let resident = u64::try_from(row.size.resident_mib).unwrap_or(u64::MAX);
    let needed = resident.saturating_add(HEADROOM_MIB);
    let available = machine::available_mib();
    if resident > 0 && available < needed {
        return Err(Failure::Memory { needed, available });
    }
    Ok(())
}

/// The command line of a row's worker.
fn command(row: &Row, programs: &Programs, stage: &Path) -> Result<Command, Failure> {
    let peers = || programs.peers.as_ref().map_err(Failure::reported);
    let program = if row.program == Program::Peers { peers()? } else { &programs.bench };
    let hybrid = Path::new(UNIFIED).join("cgroup.procs").exists();
    let mut command = if row.program == Program::BenchWithoutUnified && hybrid {
        let mut shell = Command::new("unshare");
        shell.args(["-m", "sh", "-c", WITHOUT_UNIFIED]).arg(program);
        shell
    } else {
        Command::new(program)
    };
    let assignment = Assignment {
        contender: row.contender.into(),
        configuration: row.configuration,
        stage: stage.to_owned(),
        size: row.size,
    };
    command.args(assignment.to_arguments());
    Ok(command)
}
