//! `cargo xtask fuzz`: builds the libFuzzer targets in `fuzz/` and runs them one by one.
//!
//! The targets have the layout of cargo-fuzz, which is not needed: they are ordinary programs
//! over `libfuzzer-sys`, built with coverage counters and the address sanitizer. That one is a
//! `-Z` flag, so `RUSTC_BOOTSTRAP=1` lets the stable compiler take it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lexopt::prelude::*;

use crate::error::Error;
use crate::process::Watched;
use crate::table::{Align, Table};
use crate::workspace::{self, Artifact};
use crate::{Verdict, packages, process};

pub(crate) const HELP: &str = "
cargo xtask fuzz [--quick | --seconds N] [--list] [TARGET...]

Fuzzes each TARGET of fuzz/, or all, one after the other. An input may take 10 s and 512 MiB.
The corpus is kept in target/fuzz/corpus/TARGET, beside the seeds in fuzz/seeds/TARGET; inputs
that fail are written to target/fuzz/artifacts/TARGET.

  --quick        60 s each
  --seconds N    N s each, default 600
  --list         list the targets
";

/// Coverage counters as libFuzzer wants them, debug checks, and the address sanitizer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Zsanitizer=address",
];

struct Options {
    seconds: u64,
    targets: Vec<String>,
    list: bool,
}

/// What libFuzzer said about one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stats {
    executions: String,
    peak_mib: String,
}

/// Runs the verb.
pub(crate) fn run(args: lexopt::Parser) -> Result<Verdict, Error> {
    let options = Options::parse(args)?;
    if !manifest().is_file() {
        return Err(Error::absent("fuzz/Cargo.toml"));
    }
    if options.list {
        targets()?.iter().for_each(|name| println!("{name}"));
        return Ok(Verdict::Passed);
    }
    let missing = packages::ensure(&["fuzz"])?;
    if !missing.is_empty() {
        println!("NOT RUN  fuzz  no C++ compiler  {}", packages::install_command(&missing));
        return Ok(Verdict::Failed);
    }
    let known = targets()?;
    if options.targets.iter().any(|name| !known.contains(name)) {
        return Err(Error::absent("such fuzz target (see --list)"));
    }
    run_targets(build(&options.targets)?.iter(), options.seconds)
}

impl Options {
    fn parse(mut args: lexopt::Parser) -> Result<Self, Error> {
        let mut options = Self { seconds: 600, targets: Vec::new(), list: false };
        while let Some(arg) = args.next()? {
            match arg {
                Long("quick") => options.seconds = 60,
                Long("seconds") => options.seconds = args.value()?.parse()?,
                Long("list") => options.list = true,
                Value(word) => options.targets.push(word.string()?),
                _ => return Err(arg.unexpected().into()),
            }
        }
        Ok(options)
    }
}

fn run_targets<'a>(
    artifacts: impl Iterator<Item = &'a Artifact>,
    seconds: u64,
) -> Result<Verdict, Error> {
    let numbers = ["executions", "peak MiB", "seconds"].map(|name| (name, Align::Right));
    let words = [("target", Align::Left), ("", Align::Left)];
    let mut table = Table::new(&[words.as_slice(), numbers.as_slice()].concat());
    let mut failures = 0;
    for artifact in artifacts {
        let name = artifact.target.name.clone();
        println!("==> {name}");
        let begin = Instant::now();
        let (fine, stats) = run_target(artifact, seconds)?;
        failures += usize::from(!fine);
        let word = if fine { "passed" } else { "FAILED" }.to_owned();
        let took = format!("{:.0}", begin.elapsed().as_secs_f64());
        table.row([name, word, stats.executions, stats.peak_mib, took]);
    }
    print!("\n{table}");
    Ok(Verdict::of_failures(failures))
}

fn run_target(artifact: &Artifact, seconds: u64) -> Result<(bool, Stats), Error> {
    let name = &artifact.target.name;
    let kept = workspace::target_dir()?.join("fuzz");
    let corpus = make_dir(kept.join("corpus").join(name))?;
    let failed_inputs = make_dir(kept.join("artifacts").join(name))?;
    let mut command = fuzzer(&artifact.executable, seconds);
    command.arg(format!("-artifact_prefix={}/", failed_inputs.display())).arg(corpus);
    let seeds = workspace::root().join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    let mut stats = Stats::default();
    let limit = Duration::from_secs(seconds + 120);
    let end = Watched::run(&mut command, limit, &mut |line| {
        if !stats.read(line) {
            println!("{line}");
        }
    })?;
    Ok((end.is_clean(), stats))
}

fn fuzzer(program: &Path, seconds: u64) -> Command {
    let mut command = process::dying_with_us(program);
    command.arg(format!("-max_total_time={seconds}")).args([
        "-timeout=10",
        "-rss_limit_mb=512",
        "-print_final_stats=1",
        "-verbosity=0",
    ]);
    command
}

impl Stats {
    /// Takes a line of the final statistics; `false` for any other line.
    fn read(&mut self, line: &str) -> bool {
        let Some((name, value)) = line.strip_prefix("stat::").and_then(|s| s.split_once(':'))
        else {
            return false;
        };
        match name {
            "number_of_executed_units" => value.trim().clone_into(&mut self.executions),
            "peak_rss_mb" => value.trim().clone_into(&mut self.peak_mib),
            _ => {}
        }
        true
    }
}

fn manifest() -> PathBuf {
    workspace::root().join("fuzz/Cargo.toml")
}

fn targets() -> Result<Vec<String>, Error> {
    let mut metadata = workspace::cargo("metadata");
    metadata.args(["--no-deps", "--format-version", "1", "--manifest-path"]).arg(manifest());
    let packages = workspace::Metadata::of(&mut metadata)?.packages;
    let targets = packages.into_iter().flat_map(|package| package.targets);
    Ok(targets.filter(|target| target.kind == "bin").map(|target| target.name).collect())
}

/// Builds these, or all.
fn build(chosen: &[String]) -> Result<Vec<Artifact>, Error> {
    // With --target the flags are for the targets only, not for build scripts and macros.
    let triple = workspace::host_triple()?;
    let mut command = workspace::cargo("build");
    command.args(["--release", "--target", &triple, "--manifest-path"]).arg(manifest());
    match chosen {
        [] => command.arg("--bins"),
        chosen => command.args(chosen.iter().flat_map(|name| ["--bin", name])),
    };
    command.arg("--target-dir").arg(workspace::target_dir()?.join("fuzz/build"));
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    let artifacts = workspace::build(&mut command)?;
    Ok(artifacts.into_iter().filter(|each| each.target.kind == "bin").collect())
}

fn make_dir(dir: PathBuf) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(&dir).map_err(|source| Error::io("make", &dir, source))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_statistics_are_read() {
        let mut stats = Stats::default();
        for line in ["INFO: Seed: 1", "stat::number_of_executed_units: 42", "stat::peak_rss_mb: 7"]
        {
            assert_eq!(stats.read(line), line.starts_with("stat"));
        }
        assert_eq!(stats, Stats { executions: "42".to_owned(), peak_mib: "7".to_owned() });
    }
}
