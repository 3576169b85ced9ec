//! How do I read, check and write the configuration of an OCI bundle, without starting anything?
#![expect(clippy::print_stderr, reason = "an example shows what it does")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ampoule_examples::arguments::{Failure, print};
use ampoule_spec::{Bundle, defaults};

const HELP: &str = "\
Checks a bundle of the Open Container Initiative, or makes one, with the crate ampoule-spec alone.

Usage: only-spec [OPTIONS] BUNDLE

  --new        writes config.json into the directory BUNDLE, as `runc spec` does
  --rootless   the same for an ordinary user
  -h, --help   this text

Prints what the specification has no name for; every problem is told, with its line and column.
";

/// What is done with the bundle.
enum Verb {
    Check,
    Make,
    MakeRootless,
}

fn main() -> ExitCode {
    match looked_at() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("only-spec: {error}");
            ExitCode::FAILURE
        }
    }
}

fn looked_at() -> Result<(), Failure> {
    let Some((verb, directory)) = arguments()? else { return Ok(()) };
    let document = match verb {
        Verb::Check => return check(&directory),
        Verb::Make => defaults::rootful(),
        Verb::MakeRootless => defaults::rootless(defaults::Caller {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }),
    };
    Ok(Bundle::new(directory, document).save()?)
}

fn check(directory: &Path) -> Result<(), Failure> {
    let bundle = Bundle::load(directory)?;
    bundle.document().validate()?;
    let mut lines = String::new();
    for unknown in bundle.document().unknown() {
        writeln!(lines, "not of the specification: {} = {}", unknown.path, unknown.json)?;
    }
    let root = bundle.root().unwrap_or_default();
    writeln!(lines, "valid; the root file system is {}", root.display())?;
    print(&lines)
}

fn arguments() -> Result<Option<(Verb, PathBuf)>, Failure> {
    use lexopt::prelude::{Long, Short, Value};
    let mut parser = lexopt::Parser::from_env();
    let (mut verb, mut directory) = (Verb::Check, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("new") => verb = Verb::Make,
            Long("rootless") => verb = Verb::MakeRootless,
            Short('h') | Long("help") => return print(HELP).map(|()| None),
            Value(path) if directory.is_none() => directory = Some(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    let directory = directory.ok_or("which bundle? See --help")?;
    Ok(Some((verb, directory)))
}
