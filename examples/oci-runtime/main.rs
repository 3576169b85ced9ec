//! How do I let Podman, Buildah or containerd start containers by these crates? A runtime's command line, as engines call it.
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

mod arguments;
mod documents;
mod follow;
mod life;
mod log;
mod processes;
mod resources;

use std::path::PathBuf;
use std::process::ExitCode;

use ampoule::StateDirectory;
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::verbs::Call;
use arguments::{Asked, Globals, HELP};

/// The exit code when this program itself failed.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let (globals, asked) = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("oci-runtime: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match answer(&globals, &asked) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let text = log::sentence(error.as_ref());
            log::write(&globals, "error", &text);
            eprintln!("oci-runtime: {text}");
            ExitCode::from(FAILED)
        }
    }
}

fn answer(globals: &Globals, asked: &Asked) -> Result<u8, Failure> {
    let done = |()| 0;
    match asked {
        Asked::Help => print(HELP).map(done),
        Asked::Version => print(&documents::version()).map(done),
        Asked::Call(call) => run(globals, call),
    }
}

fn run(globals: &Globals, call: &Call) -> Result<u8, Failure> {
    let done = |()| 0;
    match call.verb {
        "spec" => return documents::spec(call).map(done),
        "features" => return documents::features().map(done),
        _ => {}
    }
    let states = states(globals)?;
    match call.verb {
        "create" => life::create(globals, &states, call).map(done),
        "run" => life::run(globals, &states, call),
        "start" => life::start(globals, &states, call).map(done),
        "state" => life::state(&states, call).map(done),
        "kill" => life::kill(&states, call).map(done),
        "delete" => life::delete(globals, &states, call).map(done),
        "list" => life::list(&states, call).map(done),
        "exec" => processes::exec(&states, call),
        "ps" => processes::ps(&states, call).map(done),
        "pause" => resources::pause(&states, call).map(done),
        "resume" => resources::resume(&states, call).map(done),
        "update" => resources::update(&states, call).map(done),
        "events" => resources::events(&states, call).map(done),
        other => Err(format!("there is no command {other} (see --help)").into()),
    }
}

/// Where containers are written down: for all users, or in the caller's own place.
fn states(globals: &Globals) -> Result<StateDirectory, Failure> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| globals.is_rootless());
    let usual = own.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("ampoule-oci");
    Ok(StateDirectory::open(globals.root.clone().unwrap_or(usual))?)
}
