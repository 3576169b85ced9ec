//! A process that goes on when the program ends: the program itself with other arguments, what is written meanwhile, and
//! the exit codes for errors.
//!
//! Kernel objects: the process, a pipe to it. Invariant: what it does has begun, or has failed, when
//! [`launch`] returns.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use ampoule::{Error, ErrorKind};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::arguments::Failure;
use crate::foreground::FAILED;

/// What the process says once it has begun.
const BEGUN: &str = "begun\n";

/// How often a file is looked at that is followed.
const AGAIN: Duration = Duration::from_millis(20);

/// The exit code of the process, which has said what was wrong.
#[derive(Debug)]
struct Ended(u8);

impl std::error::Error for Ended {}

impl std::fmt::Display for Ended {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "exit code {}", self.0)
    }
}

/// Starts this program with other arguments, and waits for its [`begun`].
///
/// # Errors
/// When it ends before; it has shown its error then.
pub fn launch(arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = arguments(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    child.stdout.take().map_or(Ok(0), |mut out| out.read_to_string(&mut said))?;
    if said == BEGUN {
        return Ok(());
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Err(Box::new(Ended(code.unwrap_or(FAILED))))
}

/// Says that it has begun, and lets go of the output of who started it.
///
/// # Errors
/// What write(2) or dup2(2) answered.
pub fn begun() -> Result<(), Failure> {
    std::io::stdout().write_all(BEGUN.as_bytes())?;
    let null = File::open("/dev/null")?;
    dup2_stdout(&null)?;
    Ok(dup2_stderr(&null)?)
}

/// The exit code of the program; an error is shown, and has one as the shells have it: 126 for what cannot be executed,
/// 127 for what is not there, else 125.
#[expect(clippy::print_stderr, reason = "it ends a command line program")]
#[must_use]
pub fn exit(program: &str, done: Result<u8, Failure>) -> ExitCode {
    let error = match done {
        Ok(code) => return ExitCode::from(code),
        Err(error) => error,
    };
    if let Some(Ended(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    eprintln!("{program}: {error}");
    ExitCode::from(match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::ProgramNotFound) => 127,
        Some(
            ErrorKind::ProgramIsDirectory
            | ErrorKind::ProgramNotExecutable
            | ErrorKind::ProgramFormat
            | ErrorKind::InterpreterNotFound,
        ) => 126,
        _ => FAILED,
    })
}

/// Shows what a process in the background writes to a file, until it has ended.
///
/// # Errors
/// What reading and writing answered.
pub fn follow(mut log: File, mut lives: impl FnMut() -> bool) -> Result<(), Failure> {
    let mut is_last = false;
    while !is_last {
        // Before the look at the log: what was written until the end is in it then.
        is_last = !lives();
        std::io::copy(&mut log, &mut std::io::stdout())?;
        std::thread::sleep(if is_last { Duration::ZERO } else { AGAIN });
    }
    Ok(())
}
