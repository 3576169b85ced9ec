//! How do I say which system calls a program may make, without a container?
#![expect(clippy::print_stderr, reason = "an example shows what it does")]

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use ampoule_examples::arguments::{Failure, print};
use ampoule_seccomp::{Action, Filter, Host, Profile, Rule};
use lexopt::ValueExt as _;

const HELP: &str = "\
Runs a command that may not make every system call, with the crate ampoule-seccomp alone.

Usage: only-seccomp [OPTIONS] [COMMAND [ARGUMENTS]]

  --profile NAME|FILE  default (the default), build, client, or a file of Docker, Podman or OCI
  --deny CALL          refuses this system call, too; can be given several times
  --explain            prints the filter in place of running the command
  --oci                prints it as linux.seccomp of OCI
  -h, --help           this text

Without a command it is a shell that shows what is refused.
";

const SHOW: &str = "\
grep Seccomp /proc/self/status
unshare --user true; mkdir /tmp/only-seccomp.$$ && echo made a directory && rmdir /tmp/only-seccomp.$$; exit 0";

/// What the command line says.
struct Arguments {
    filter: Filter,
    output: Output,
    command: Vec<OsString>,
}

enum Output {
    Run,
    Explanation,
    Oci,
}

fn main() -> ExitCode {
    match confined() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("only-seccomp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn confined() -> Result<(), Failure> {
    let Some(Arguments { filter, output, command }) = arguments()? else { return Ok(()) };
    match output {
        Output::Explanation => return print(&filter.explain().to_string()),
        // OCI has no words for what happens to calls through other entries.
        Output::Oci => return print(&(filter.foreign(Action::KillProcess).to_oci_json()? + "\n")),
        Output::Run => {}
    }
    let compiled = filter.compile()?;
    // Says so here, and not when the command fails to start.
    compiled.check_exec()?;
    eprintln!(
        "{} rules, {} instructions",
        filter.rules.len(),
        compiled.program().instructions().len()
    );
    compiled.apply_to_this_process()?;
    let (program, arguments) = command.split_first().ok_or("no command")?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// `None` when the help was printed.
fn arguments() -> Result<Option<Arguments>, Failure> {
    let mut filter = Filter::default_profile();
    let mut denied = Vec::new();
    let mut output = Output::Run;
    let mut command: Vec<OsString> = ["sh", "-c", SHOW].map(OsString::from).into();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        use lexopt::Arg::{Long, Short, Value};
        match argument {
            Short('h') | Long("help") => return print(HELP).map(|()| None),
            Long("profile") => filter = profile(&arguments.value()?)?,
            Long("deny") => denied.push(arguments.value()?.string()?),
            Long("explain") => output = Output::Explanation,
            Long("oci") => output = Output::Oci,
            Value(program) => {
                command = std::iter::once(program).chain(arguments.raw_args()?).collect();
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    if !denied.is_empty() {
        // The first rule that holds counts; those behind it say nothing about these calls any more.
        for rule in &mut filter.rules {
            rule.calls.retain(|call| !denied.iter().any(|name| name == call));
        }
        filter.rules.retain(|rule| !rule.calls.is_empty());
        filter.rules.insert(0, Rule::new(Action::NOT_PERMITTED, denied));
    }
    Ok(Some(Arguments { filter, output, command }))
}

fn profile(name: &OsString) -> Result<Filter, Failure> {
    match name.to_str() {
        Some("default") => Ok(Filter::default_profile()),
        Some("build") => Ok(Filter::build()),
        Some("client") => Ok(Filter::network_client()),
        _ => {
            let text = std::fs::read(PathBuf::from(name))?;
            let resolved = Profile::from_json(&text)?.resolve(&Host::this())?;
            for ignored in &resolved.ignored {
                eprintln!("ignored: {ignored}");
            }
            Ok(resolved.filter)
        }
    }
}
