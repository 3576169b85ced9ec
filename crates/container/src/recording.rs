//! Which system calls a command makes: it is run with a filter that asks for each, and this process lets them be made.
//!
//! Kernel objects: the listener of the container's filter. Invariant: nothing waits longer than the command runs; no
//! thread is started.

use std::time::{Duration, Instant};

use ampoule_seccomp::Recording;
use ampoule_seccomp::notify::Received;

use crate::command::Command;
use crate::error::{Error, ErrorKind, Stage};
use crate::exit::ExitStatus;

/// How often it is looked whether the command has ended or has to.
const PAUSE: Duration = Duration::from_millis(50);

impl Command {
    /// Runs it to its end and notes every system call that it makes; [`Recording::smallest`] is then the filter that lets
    /// it run once more. The calling thread serves them; streams that are pipes are not read.
    ///
    /// In place of what [`Builder::seccomp`](crate::Builder::seccomp) says, **everything is permitted**: record what is
    /// trusted. It takes Linux 5.5.
    ///
    /// # Errors
    /// As [`Command::status`]; [`ErrorKind::System`] when the listener fails.
    pub fn record(mut self) -> Result<(ExitStatus, Recording), Error> {
        self.builder.seccomp = Recording::filter().into();
        let mut container = self.spawn()?;
        let listener = container
            .listener
            .take()
            .ok_or_else(|| Error::new(ErrorKind::System, Stage::Launch).about("no listener"))?;
        let failed = |error| Error::from_seccomp(Stage::Running, error);
        let mut recording = Recording::new();
        let mut looked = Instant::now();
        loop {
            let received = recording.record(&listener, Some(PAUSE)).map_err(failed)?;
            let ended = if looked.elapsed() >= PAUSE || received == Received::NobodyLeft {
                looked = Instant::now();
                container.try_wait()?
            } else {
                None
            };
            match (ended, received) {
                (Some(status), _) => return Ok((status, recording)),
                (None, Received::NobodyLeft) => return Ok((container.wait()?, recording)),
                (None, _) => {}
            }
        }
    }
}
