//! `cargo xtask demo`: real programs isolated, a real image from a registry to a container, then whole published test suites under the
//! `test-runner` example, beside the plain run of the same suites.

mod images;
mod scene;
mod suite;
mod timing;

use std::path::PathBuf;

use lexopt::prelude::*;

use crate::Verdict;
use crate::error::Error;
use crate::workspace::{self, Artifact};

pub(crate) const HELP: &str = "
cargo xtask demo [--scenes | --images | --suites] [--rounds N] [--runner PROGRAM]

Builds the examples in release mode, and runs

  scenes   real programs in sandboxes: a shell, its network, its mounts, its capabilities
  images   a Debian root as an image: pushed to a local registry, pulled, mounted, run, changed,
           committed, built on
  suites   the test suites of published crates, plain and under the `test-runner` example: pass
           counts side by side, and what a sandbox costs each test process

  --scenes, --images, --suites   one part only
  --rounds N           runs of each test program for the cost, default 20
  --runner PROGRAM     another cargo runner in place of `test-runner`
";

struct Options {
    scenes: bool,
    images: bool,
    suites: bool,
    rounds: usize,
    runner: Option<PathBuf>,
}

/// How many parts of the demo failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failures(usize);

/// Runs the verb.
pub(crate) fn run(args: lexopt::Parser) -> Result<Verdict, Error> {
    let options = Options::parse(args)?;
    let needed = options.scenes || options.images || options.runner.is_none();
    let examples = if needed { build()? } else { Vec::new() };
    let mut failures = 0;
    if options.scenes {
        failures += scene::run_all(&examples)?.0;
    }
    if options.images {
        failures += images::run_all(&examples)?.0;
    }
    if options.suites {
        let own = examples.iter().find(|each| each.target.name == "test-runner");
        let runner = options.runner.or_else(|| own.map(|each| each.executable.clone()));
        let runner = runner.ok_or(Error::absent("example test-runner"))?;
        failures += suite::run_all(&runner, options.rounds)?.0;
    }
    Ok(Verdict::of_failures(failures))
}

impl Options {
    fn parse(mut args: lexopt::Parser) -> Result<Self, Error> {
        let mut options =
            Self { scenes: true, images: true, suites: true, rounds: 20, runner: None };
        while let Some(arg) = args.next()? {
            match arg {
                Long("scenes") => (options.images, options.suites) = (false, false),
                Long("images") => (options.scenes, options.suites) = (false, false),
                Long("suites") => (options.scenes, options.images) = (false, false),
                Long("rounds") => options.rounds = args.value()?.parse()?,
                Long("runner") => options.runner = Some(args.value()?.into()),
                _ => return Err(arg.unexpected().into()),
            }
        }
        Ok(options)
    }
}

fn build() -> Result<Vec<Artifact>, Error> {
    let mut command = workspace::cargo("build");
    command.args(["--release", "--package", "ampoule-examples", "--examples"]);
    let artifacts = workspace::build(&mut command)?;
    Ok(artifacts.into_iter().filter(|each| each.target.kind == "example").collect())
}
