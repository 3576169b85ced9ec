//! `cargo xtask bench`: builds a bench in release mode and runs it.
//!
//! What is measured stands in the package `ampoule-benches`: a program `bench-NAME` prints one
//! table and writes `target/bench/NAME.json`; a criterion bench is a bench target NAME.

use crate::error::Error;
use crate::workspace::{Metadata, Target, cargo};
use crate::{Verdict, packages, process, runtime};

pub(crate) const HELP: &str = "
cargo xtask bench [NAME [ARGS...]]

Builds the bench NAME in release mode and runs it with ARGS. Without NAME, lists them. `runtime` measures the example
oci-runtime as `cargo xtask runtime` builds it.
";

/// What the comparison of filters needs to be built.
const LIBSECCOMP: &str = "libseccomp-dev";
const PACKAGE: &str = "ampoule-benches";

/// Runs the verb.
pub(crate) fn run(mut args: lexopt::Parser) -> Result<Verdict, Error> {
    let targets = targets()?;
    let mut words = args.raw_args()?;
    let Some(name) = words.next() else {
        print_names(&targets);
        return Ok(Verdict::Passed);
    };
    let name = name.to_string_lossy().into_owned();
    let program = format!("bench-{name}");
    let missing = packages::ensure(&["bench"])?;
    if !missing.is_empty() {
        println!("NOT RUN  peers  not installed  {}", packages::install_command(&missing));
    }
    let has = |kind: &str, name: &str| targets.iter().any(|t| t.kind == kind && t.name == name);
    let ours = if name == "runtime" { Some(runtime::build()?) } else { None };
    let mut command = if has("bin", &program) {
        let mut command = cargo("run");
        command.args(["--quiet", "--release", "--package", PACKAGE, "--bin", &program]);
        if name == "seccomp" && !missing.iter().any(|it| it.name == LIBSECCOMP) {
            command.args(["--features", "libseccomp"]);
        }
        command
    } else if has("bench", &name) {
        let mut command = cargo("bench");
        command.args(["--package", PACKAGE, "--bench", &name]);
        command
    } else {
        print_names(&targets);
        return Err(Error::absent("such bench"));
    };
    command.arg("--");
    if let Some(ours) = ours {
        command.arg("--ours").arg(ours);
    }
    let status = process::status(command.args(words))?;
    Ok(Verdict::of_failures(usize::from(!status.success())))
}

fn targets() -> Result<Vec<Target>, Error> {
    let members = Metadata::members()?.packages;
    let package = members.into_iter().find(|package| package.name == PACKAGE);
    Ok(package.ok_or(Error::absent("package ampoule-benches"))?.targets)
}

fn print_names(targets: &[Target]) {
    for target in targets {
        match (target.kind.as_str(), target.name.strip_prefix("bench-")) {
            ("bin", Some(name)) => println!("{name}"),
            ("bench", _) => println!("{}  (criterion)", target.name),
            _ => {}
        }
    }
}
