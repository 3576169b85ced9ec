//! What exactly will be done, before anything is done?

use std::fmt::Write as _;

use ampoule::{Builder, Bytes, Command, Container, Namespace, Setting, Target};
use ampoule_examples::arguments::{Failure, print};

const HELP: &str = "\
Prints the plans of the main builders. Nothing is started, and no privilege is needed.

Usage: print-the-plan [--json]

      --json  the builders as data instead: what could be stored or sent, and planned elsewhere
  -h, --help  this text
";

/// What is printed.
enum Form {
    Steps,
    Json,
}

fn main() -> Result<(), Failure> {
    let Some(form) = parse(lexopt::Parser::from_env())? else { return print(HELP) };
    let mut text = String::new();
    for (name, builder) in builders() {
        writeln!(text, "# {name}")?;
        text += &match form {
            Form::Json => serde_json::to_string_pretty(&builder)? + "\n",
            Form::Steps => steps(&builder.command("true")),
        };
    }
    print(&text)
}

fn parse(mut arguments: lexopt::Parser) -> Result<Option<Form>, Failure> {
    use lexopt::prelude::*;
    let mut form = Form::Steps;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("json") => form = Form::Json,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(form))
}

fn builders() -> [(&'static str, Builder); 4] {
    let net = Setting::Join(Target::Pid(std::process::id()));
    [
        ("host_view()", Container::host_view()),
        (
            "host_view(), a writable directory, the host's network",
            Container::host_view().tmpfs("/work", Bytes::mib(16)).share(Namespace::Net),
        ),
        ("from_rootfs(\"/\")", Container::from_rootfs("/")),
        (
            "bare(), in the network namespace of a process",
            Container::bare().namespace(Namespace::Net, net),
        ),
    ]
}

/// The steps of a command, one a line; or why there can be none on this machine.
fn steps(command: &Command) -> String {
    match command.plan() {
        Ok(plan) => format!("{plan}\n{}\n", plan.report()),
        Err(error) => format!("not on this machine: {error}\n\n"),
    }
}
