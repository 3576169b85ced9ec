//! Every verb of the project: `cargo xtask VERB`.
//!
//! One file per verb. A verb prints what it does, ends with a table, and fails when something
//! failed; what this machine cannot do is said as `NOT RUN`, with the command that changes that.

#![expect(clippy::print_stdout, reason = "a command line speaks on its standard output")]
#![expect(clippy::print_stderr, reason = "a command line reports errors on its standard error")]

mod bench;
mod check;
mod demo;
mod error;
mod fuzz;
mod packages;
mod process;
mod runtime;
mod table;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use error::Error;

/// What a verb came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that ran passed.
    Passed,
    /// Something failed, and the verb has said what.
    Failed,
    /// A command that the verb ran for the caller failed with this status.
    Exited(u8),
}

impl Verdict {
    /// `Failed` as soon as there is one failure.
    pub(crate) fn of_failures(count: usize) -> Self {
        if count == 0 { Self::Passed } else { Self::Failed }
    }
}

/// One verb of the command line.
struct Verb {
    name: &'static str,
    about: &'static str,
    help: &'static str,
    run: fn(lexopt::Parser) -> Result<Verdict, Error>,
}

const VERBS: &[Verb] = &[
    Verb { name: "demo", about: "Run real programs isolated", help: demo::HELP, run: demo::run },
    Verb { name: "test", about: "Run the tests by tier", help: test::HELP, run: test::run },
    Verb {
        name: "check",
        about: "Check form, layers, licences",
        help: check::HELP,
        run: check::run,
    },
    Verb { name: "vm", about: "Run a command in a virtual machine", help: vm::HELP, run: vm::run },
    Verb { name: "bench", about: "Measure", help: bench::HELP, run: bench::run },
    Verb {
        name: "runtime",
        about: "Build the OCI runtime, small and static",
        help: runtime::HELP,
        run: runtime::run,
    },
    Verb { name: "fuzz", about: "Fuzz the parsers", help: fuzz::HELP, run: fuzz::run },
    Verb {
        name: "packages",
        about: "Show or install the system packages that the verbs need",
        help: packages::HELP,
        run: packages::run,
    },
];

fn main() -> ExitCode {
    match dispatch() {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Ok(Verdict::Exited(status)) => ExitCode::from(status),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

fn dispatch() -> Result<Verdict, Error> {
    let mut words = std::env::args_os().skip(1);
    let name = words.next().unwrap_or_default();
    let rest: Vec<_> = words.collect();
    let Some(verb) = VERBS.iter().find(|verb| name == verb.name) else {
        print_overview();
        let asked = name.is_empty() || name == "--help" || name == "-h" || name == "help";
        return Ok(if asked { Verdict::Passed } else { Verdict::Failed });
    };
    let own = rest.iter().take_while(|word| *word != "--");
    if own.into_iter().any(|word| word == "--help" || word == "-h") {
        println!("{}", verb.help.trim());
        return Ok(Verdict::Passed);
    }
    (verb.run)(lexopt::Parser::from_args(rest))
}

fn print_overview() {
    println!("cargo xtask VERB [--help]\n");
    for verb in VERBS {
        println!("  {:10} {}", verb.name, verb.about);
    }
}
