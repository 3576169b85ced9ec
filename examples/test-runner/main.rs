//! How do I run every test process of any crate in a sandbox of its own?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

mod tree;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::{self, FAILED, Signals};
use tree::Tree;

const HELP: &str = "\
Runs a test program in a sandbox, as a runner of cargo, for `cargo test` and for cargo-nextest:

    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=/path/to/test-runner cargo test

Usage: test-runner PROGRAM [ARGUMENTS]

The program sees its workspace, the target directory, the sources of its dependencies, the toolchain and the
host's programs, all read-only. It may write to the target's tmp directory (CARGO_TARGET_TMPDIR), and to /tmp
and its home, which are empty, private and in memory; TMPDIR is /tmp. Its network is a loopback device of its own.
The environment, the working directory and the standard streams are those of the plain run.

It has the user and groups of the plain run. As root the ids are the host's, so that owners and modes mean what they
mean in the plain run, with the capabilities of a container: what needs others (mounts, devices, routes) fails.

  AMPOULE_RUNNER_BIND=DIR[:DIR]     show more, read-only
  AMPOULE_RUNNER_BIND_RW=DIR[:DIR]  show more, writable
  AMPOULE_RUNNER_TIMEOUT=SECONDS    end each test process after this long; its exit code is 124

The exit code is the program's, 128 + N when signal N ended it, and 125 when it could not be started.
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("test-runner: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run() -> Result<u8, Failure> {
    let mut words = std::env::args_os().skip(1);
    let program = match words.next() {
        Some(word) if word == "--help" || word == "-h" => return print(HELP).map(|()| 0),
        Some(word) => std::path::absolute(word)?,
        None => return Err("no program given (see --help)".into()),
    };
    let tree = Tree::find(&program, &std::env::current_dir()?, |name| std::env::var_os(name));
    let limit = timeout()?;
    let command = view::sandbox(&tree)?
        .command(&program)
        .args(words)
        .env_clear()
        .envs(std::env::vars_os())
        .env("TMPDIR", view::TMP)
        .current_dir(&tree.current_dir);
    let command = match limit {
        Some(limit) => command.timeout(limit),
        None => command,
    };
    let mut signals = Signals::catch()?;
    let mut container = command.spawn()?;
    let status = foreground::wait(&mut container, &mut signals, limit)?;
    if status.timed_out() {
        eprintln!("test-runner: {}: {status}", program.display());
    }
    Ok(foreground::exit_code(&status))
}

fn timeout() -> Result<Option<Duration>, Failure> {
    const NAME: &str = "AMPOULE_RUNNER_TIMEOUT";
    let Some(text) = std::env::var_os(NAME) else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.map(Some).ok_or_else(|| format!("{NAME}: not a number of seconds").into())
}
