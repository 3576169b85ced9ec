//! The test suites of published crates, plain and under a cargo runner.
//!
//! A crate is fetched by cargo, and copied to `target/demo/NAME-VERSION`, a workspace of its own.
//! Invariant: both runs use the same test programs; only the runner differs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Failures, timing};
use crate::error::Error;
use crate::process::{self, Watched};
use crate::table::{Align, Table};
use crate::test::Tally;
use crate::workspace::{self, Artifact, Metadata};

/// A published crate whose package holds its tests.
struct Suite {
    name: &'static str,
    version: &'static str,
    why: &'static str,
}

const SUITES: &[Suite] = &[
    Suite { name: "bytes", version: "1.12.1", why: "many small test programs, pure memory" },
    Suite { name: "tempfile", version: "3.27.0", why: "makes, opens, renames and removes files" },
    Suite { name: "ignore", version: "0.4.34", why: "walks directory trees from many threads" },
    Suite { name: "polling", version: "3.11.0", why: "talks to itself over the loopback device" },
];

/// How long one run of a suite may take.
const LIMIT: Duration = Duration::from_secs(900);

/// One run of a suite.
struct Run {
    tally: Tally,
    clean: bool,
    seconds: f64,
}

/// Runs each suite plain and under `runner`; a suite fails if the two differ or a test fails.
pub(super) fn run_all(runner: &Path, rounds: usize) -> Result<Failures, Error> {
    let words = [("crate", Align::Left)];
    let numbers =
        ["programs", "plain", "sandboxed", "failed", "plain s", "sandboxed s", "+p50", "+p95"]
            .map(|name| (name, Align::Right));
    let mut table = Table::new(&[words.as_slice(), &numbers, &[("", Align::Left)]].concat());
    let mut failures = 0;
    let mut sum = [0, 0];
    for suite in SUITES {
        println!("\n--- {} {}: {}", suite.name, suite.version, suite.why);
        let dir = fetch(suite)?;
        let programs = build(&dir)?;
        let plain = run_tests(&dir, None)?;
        let boxed = run_tests(&dir, Some(runner))?;
        let same = plain.tally == boxed.tally && plain.clean && boxed.clean;
        failures += usize::from(!same);
        sum = [sum[0] + plain.tally.passed, sum[1] + boxed.tally.passed];
        let cost = timing::cost(&dir, &programs, runner, rounds)?;
        table.row(
            row(suite, programs.len(), [&plain, &boxed])
                .into_iter()
                .chain(cost.map(|time| format!("{:.2} ms", time.as_secs_f64() * 1e3)))
                .chain([if same { "same" } else { "DIFFERENT" }.to_owned()]),
        );
    }
    println!("\n{table}");
    println!("plain {} passed, sandboxed {} passed", sum[0], sum[1]);
    println!("+p50, +p95: what a sandbox adds to one test process, {rounds} runs of each program");
    Ok(Failures(failures))
}

fn row(suite: &Suite, programs: usize, runs: [&Run; 2]) -> Vec<String> {
    let mut cells = vec![format!("{} {}", suite.name, suite.version), programs.to_string()];
    cells.extend(runs.map(|run| run.tally.passed.to_string()));
    cells.push(runs.map(|run| run.tally.failed.to_string()).join("/"));
    cells.extend(runs.map(|run| format!("{:.1}", run.seconds)));
    cells
}

/// Gets the crate's package from the registry; returns a directory with a copy.
fn fetch(suite: &Suite) -> Result<PathBuf, Error> {
    let demo = workspace::target_dir()?.join("demo");
    let dir = demo.join(format!("{}-{}", suite.name, suite.version));
    if dir.join("Cargo.toml").is_file() {
        return Ok(dir);
    }
    let fetcher = demo.join(format!("fetch-{}", suite.name));
    make_dir(&fetcher.join("src"))?;
    write(&fetcher.join("src/lib.rs"), "")?;
    let dependency = format!("[dependencies]\n{} = \"={}\"\n", suite.name, suite.version);
    let package = "[workspace]\n[package]\nname = \"fetch\"\nedition = \"2024\"\n";
    write(&fetcher.join("Cargo.toml"), &format!("{package}{dependency}"))?;
    let mut metadata = workspace::cargo("metadata");
    metadata.args(["--format-version", "1"]).current_dir(&fetcher);
    let packages = Metadata::of(&mut metadata)?.packages;
    let source = packages.iter().find(|package| package.name == suite.name);
    let source = source.ok_or(Error::absent("such crate in the registry"))?;
    let copy = demo.join(format!("copy-{}", suite.name));
    copy_tree(&source.dir, &copy)?;
    let manifest = copy.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|e| Error::io("read", &manifest, e))?;
    write(&manifest, &format!("{text}\n[workspace]\n"))?;
    // Last, so that a half copy is never taken for a whole one.
    std::fs::rename(&copy, &dir).map_err(|source| Error::io("rename", &copy, source))?;
    Ok(dir)
}

fn build(dir: &Path) -> Result<Vec<Artifact>, Error> {
    let mut command = workspace::cargo("test");
    command.current_dir(dir).args(["--tests", "--no-run", "--quiet"]);
    let programs = workspace::build(&mut command)?;
    Ok(programs.into_iter().filter(|program| program.is_test).collect())
}

fn run_tests(dir: &Path, runner: Option<&Path>) -> Result<Run, Error> {
    let mut command = workspace::cargo("test");
    command.current_dir(dir).args(["--tests", "--quiet", "--no-fail-fast"]);
    let variable = runner_variable(&workspace::host_triple()?);
    match runner {
        Some(runner) => command.env(variable, runner),
        None => command.env_remove(variable),
    };
    // A fresh one, so that nothing of another run or another user is in the way.
    let temporary = dir.join("target/demo-tmp");
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary)
            .map_err(|source| Error::io("remove", &temporary, source))?;
    }
    make_dir(&temporary)?;
    command.env("TMPDIR", &temporary);
    let begin = Instant::now();
    let mut tally = Tally::default();
    let end = Watched::run(&mut command, LIMIT, &mut |line| match Tally::of_line(line) {
        Some(result) => tally += result,
        None if line.starts_with("---- ") => println!("{line}"),
        None => {}
    })?;
    Ok(Run { tally, clean: end.is_clean(), seconds: begin.elapsed().as_secs_f64() })
}

/// The variable from which cargo takes the runner for a target.
fn runner_variable(triple: &str) -> OsString {
    format!("CARGO_TARGET_{}_RUNNER", triple.to_uppercase().replace('-', "_")).into()
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() {
        std::fs::remove_dir_all(to).map_err(|source| Error::io("remove", to, source))?;
    }
    let status = process::status(Command::new("cp").arg("-R").args([from, to]))?;
    if status.success() { Ok(()) } else { Err(Error::absent("copy of the crate's sources")) }
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::io("make", dir, source))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::io("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_named_as_cargo_wants() {
        let name = runner_variable("x86_64-unknown-linux-gnu");
        assert_eq!(name, "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER");
    }
}
