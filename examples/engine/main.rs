//! How do I keep containers that go on when my program ends: what is a small Podman made of?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

mod arguments;
mod container;
mod life;
mod settings;
mod show;
mod state;

use std::process::ExitCode;

use ampoule::{Error, ErrorKind};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::FAILED;
use arguments::HELP;
use container::Engine;

/// The exit code for a program that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// The exit code for a program that is not there.
const NOT_FOUND: u8 = 127;

fn main() -> ExitCode {
    match answer() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if let Some(life::Ended(code)) = error.downcast_ref() {
                return ExitCode::from(*code);
            }
            eprintln!("engine: {error}");
            ExitCode::from(match error.downcast_ref::<Error>().map(Error::kind) {
                Some(ErrorKind::ProgramNotFound) => NOT_FOUND,
                Some(
                    ErrorKind::ProgramIsDirectory
                    | ErrorKind::ProgramNotExecutable
                    | ErrorKind::ProgramFormat
                    | ErrorKind::InterpreterNotFound,
                ) => NOT_EXECUTABLE,
                _ => FAILED,
            })
        }
    }
}

fn answer() -> Result<u8, Failure> {
    let Some(call) = arguments::parse(lexopt::Parser::from_env())? else {
        return print(HELP).map(|()| 0);
    };
    let engine = Engine::open(&call)?;
    match call.verb {
        "create" => life::create(&engine, &call),
        "run" => life::run(&engine, &call),
        "start" => life::start(&engine, &call),
        "exec" => life::exec(&engine, &call),
        "stop" => life::stop(&engine, &call),
        "kill" => life::kill(&engine, &call),
        "wait" => life::wait(&engine, &call),
        "rm" => life::remove(&engine, &call),
        "mount" => life::mount(&engine, &call),
        "umount" => life::umount(&engine, &call),
        "ps" => show::ps(&engine, &call),
        "top" => show::top(&engine, &call),
        "stats" => show::stats(&engine, &call),
        "logs" => show::logs(&engine, &call),
        "inspect" => state::inspect(&engine, &call),
        "info" => state::info(&engine),
        other => Err(format!("there is no verb {other} (see --help)").into()),
    }
}
