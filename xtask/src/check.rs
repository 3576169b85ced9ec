//! `cargo xtask check`: form, layers, licences, packaging. One table of steps.

mod cargo;
mod layers;
mod lexer;
mod licence;
mod package;
mod rules;
mod source;
mod versions;

use std::process::Command;
use std::time::Instant;

use lexopt::prelude::*;

use crate::error::Error;
use crate::table::{Align, Table};
use crate::{Verdict, process};

pub(crate) const HELP: &str = "
cargo xtask check [STEP...]

Runs the steps, all of them by default, and ends with a table of what passed, failed, and could
not run here (NOT RUN, with the command that would make it possible).

  lock        Cargo.lock is up to date
  fmt         rustfmt, in the excluded workspaces too
  clippy      the whole workspace with all features that can be built here, and `ampoule` with the default ones
              and without any; warnings are errors; functions of more than 60 lines are warnings
  docs        rustdoc, warnings are errors
  layers      a crate depends on lower levels only
  lengths     files: warning over 400 lines, error over 500
  unsafe      only in the listed files
  reasons     each `allow` and `expect` of a lint has a reason
  names       no util, common, helper, manager, misc
  finished    nothing left unfinished, no test switched off
  licences    the default dependency tree of `ampoule` is permissive
  deny        cargo-deny, if it is installed
  versions    one rust-version everywhere, and no dependency that needs a newer one
  msrv        `cargo check` with that toolchain, if it is installed
  metadata    each published package has description, licence, readme, documentation
  package     each published package can be packaged and carries its licences
";

/// What a step came to.
pub(crate) enum Outcome {
    /// Passed, with something to say or not.
    Passed(String),
    /// Failed; the findings are printed, unless a program has printed them already.
    Failed(Vec<String>),
    /// This machine lacks something.
    NotRun { reason: String, remedy: String },
}

impl Outcome {
    /// Passed if there are no findings.
    pub(crate) fn of(findings: Vec<String>) -> Self {
        if findings.is_empty() { Self::Passed(String::new()) } else { Self::Failed(findings) }
    }

    /// Runs a command; failed if it fails.
    pub(crate) fn of_command(command: &mut Command) -> Result<Self, Error> {
        let status = process::status(command)?;
        let failure = || vec![Error::exit(command, status).to_string()];
        Ok(Self::of(if status.success() { Vec::new() } else { failure() }))
    }

    /// This one if it did not pass, else what `next` gives.
    pub(crate) fn and(self, next: impl FnOnce() -> Result<Self, Error>) -> Result<Self, Error> {
        if matches!(self, Self::Passed(_)) { next() } else { Ok(self) }
    }
}

struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome, Error>,
}

const STEPS: &[Step] = &[
    Step { name: "lock", run: cargo::lock },
    Step { name: "fmt", run: cargo::fmt },
    Step { name: "layers", run: layers::run },
    Step { name: "lengths", run: source::lengths },
    Step { name: "unsafe", run: source::unsafe_code },
    Step { name: "reasons", run: source::reasons },
    Step { name: "names", run: source::names },
    Step { name: "finished", run: source::finished },
    Step { name: "licences", run: licence::run },
    Step { name: "deny", run: licence::deny },
    Step { name: "versions", run: versions::declared },
    Step { name: "metadata", run: package::metadata },
    Step { name: "clippy", run: cargo::clippy },
    Step { name: "docs", run: cargo::docs },
    Step { name: "msrv", run: versions::msrv },
    Step { name: "package", run: package::run },
];

/// Runs the verb.
pub(crate) fn run(mut args: lexopt::Parser) -> Result<Verdict, Error> {
    let mut wanted = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Value(word) => wanted.push(word.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    if wanted.iter().any(|name| !STEPS.iter().any(|step| step.name == name)) {
        return Err(Error::absent("such step (see --help)"));
    }
    let columns = [("check", Align::Left), ("", Align::Left), ("seconds", Align::Right)];
    let mut table = Table::new(&[columns.as_slice(), &[("", Align::Left)]].concat());
    let mut failures = 0;
    for step in STEPS {
        if wanted.is_empty() || wanted.iter().any(|name| step.name == name) {
            failures += usize::from(run_step(step, &mut table) == Verdict::Failed);
        }
    }
    print!("\n{table}");
    Ok(Verdict::of_failures(failures))
}

fn run_step(step: &Step, table: &mut Table) -> Verdict {
    println!("==> {}", step.name);
    let begin = Instant::now();
    let outcome = (step.run)().unwrap_or_else(|error| Outcome::Failed(vec![error.to_string()]));
    let seconds = format!("{:.1}", begin.elapsed().as_secs_f64());
    let (word, note, verdict) = match outcome {
        Outcome::Passed(note) => ("passed", note, Verdict::Passed),
        Outcome::Failed(findings) => {
            findings.iter().for_each(|finding| println!("{finding}"));
            ("FAILED", format!("{} findings", findings.len()), Verdict::Failed)
        }
        Outcome::NotRun { reason, remedy } => {
            println!("NOT RUN  {}  {reason}  {remedy}", step.name);
            ("NOT RUN", reason, Verdict::Passed)
        }
    };
    table.row([step.name.to_owned(), word.to_owned(), seconds, note]);
    verdict
}
