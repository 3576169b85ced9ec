//! How do I confine a program without namespaces, and without being root?
#![expect(clippy::print_stderr, reason = "an example shows what it does")]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use ampoule::{Container, Control, Landlock, LandlockScope};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::{foreground, landlock};
use lexopt::ValueExt as _;

const HELP: &str = "\
Runs a command with Landlock alone: it sees this machine, but may only use what the rules name.

Usage: only-landlock [OPTIONS] [-- COMMAND [ARGUMENTS]]

  --rule RULE     a rule; can be given several times. Files: read:PATH, exec:PATH (and read), rw:PATH (not exec);
                  TCP: connect:PORT, bind:PORT, no-tcp; signals and sockets end at the command's own processes
  --best-effort   goes on where the kernel has not all of it
  -h, --help      this text

Without a rule it is: programs and libraries, /etc to read, /tmp to write, TCP to port 443, no signals or abstract
sockets of others. Without a command it is a shell that shows what is denied. The exit code is the command's.
";

const SHOW: &str = "\
id -un; ls /home /root; echo text > /tmp/only-landlock.$$ && rm /tmp/only-landlock.$$ && echo wrote a file
kill -0 $PPID; grep NoNewPrivs /proc/self/status || echo /proc is denied, too";

/// What the command line says.
struct Arguments {
    rules: Landlock,
    effort: Option<Control>,
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("only-landlock: {error}");
            ExitCode::from(foreground::FAILED)
        }
    }
}

fn run() -> Result<u8, Failure> {
    let Some(Arguments { rules, effort, mut command }) = arguments()? else { return Ok(0) };
    let sandbox = Container::bare().landlock(rules).env_inherit(["PATH", "HOME", "TERM", "LANG"]);
    let sandbox = effort.into_iter().fold(sandbox, ampoule::Builder::best_effort);
    let arguments = command.split_off(1);
    let directory = std::env::current_dir()?;
    let command = sandbox.command(command.remove(0)).args(arguments).current_dir(directory);
    let plan = command.plan()?;
    plan.report()
        .iter()
        .filter(|entry| entry.control == Control::Landlock)
        .for_each(|entry| eprintln!("{:?}", entry.state));
    Ok(foreground::exit_code(&plan.launch().status()?))
}

/// `None` when the help was printed.
fn arguments() -> Result<Option<Arguments>, Failure> {
    let (mut rules, mut effort) = (Landlock::new(), None);
    let mut command: Vec<OsString> = ["sh", "-c", SHOW].map(OsString::from).into();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        use lexopt::Arg::{Long, Short, Value};
        match argument {
            Short('h') | Long("help") => return print(HELP).map(|()| None),
            Long("rule") => rules = landlock::add(rules, &arguments.value()?.string()?)?,
            Long("best-effort") => effort = Some(Control::Landlock),
            Value(program) => {
                command = std::iter::once(program).chain(arguments.raw_args()?).collect();
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    if rules == Landlock::new() {
        rules = usual();
    }
    Ok(Some(Arguments { rules, effort, command }))
}

/// What most programs need.
fn usual() -> Landlock {
    let rules = Landlock::new().read("/etc").read_write("/tmp").read_write("/dev/null");
    let programs = ["/usr", "/bin", "/lib", "/lib64"].map(Path::new);
    let there = programs.into_iter().filter(|path| path.exists());
    let rules = there.fold(rules, Landlock::execute).connect_tcp(443);
    rules.scope(LandlockScope::Signal).scope(LandlockScope::AbstractUnixSocket)
}
