//! How long does it take to start an isolated process, beside the floor and the peers?
//!
//! Touches what its workers touch, `target/bench` and a directory on a tmpfs. Invariant: all rows are measured in
//! turn in one run, and a row without figures says why.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ampoule_benches::failure::Failure;
use ampoule_benches::lineup::{self, Program, Row};
use ampoule_benches::machine::Machine;
use ampoule_benches::peers;
use ampoule_benches::remote::Programs;
use ampoule_benches::report::Report;
use ampoule_benches::rootfs::StageDirectory;
use ampoule_benches::schedule::{self, Effort};
use ampoule_benches::table::Table;
use ampoule_benches::worker::{self, Assignment};

const HELP: &str = "\
How long does it take to start an isolated process, beside the floor and the peers?

bench-spawn [--quick] [--samples N] [--batch N] [--warm-up N] [--throughput-ms N]
            [--only NAME,...] [--json FILE]

  --quick            30 samples, short throughput: below a minute
  --samples N        samples per row (200)
  --batch N          samples that a row takes at its turn (10)
  --warm-up N        starts before the first sample of a row (10)
  --throughput-ms N  time for each throughput figure (2000; 0 for none)
  --only NAME,...    floor, ours, hakoniwa, libcontainer, bwrap, crun, runc, std
  --json FILE        every sample (target/bench/spawn.json)
";

const FULL: Effort = Effort { samples: 200, batch: 10, warm_up: 10, throughput_ms: 2000 };
const QUICK: Effort = Effort { samples: 30, batch: 10, warm_up: 3, throughput_ms: 500 };

/// What the command line says.
struct Options {
    effort: Effort,
    only: Vec<String>,
    json: Option<PathBuf>,
    help: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bench-spawn: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let mut parser = lexopt::Parser::from_env();
    if env::args_os().nth(1).is_some_and(|first| first == worker::VERB) {
        parser.next()?;
        worker::serve(&Assignment::parse(parser)?, lineup::contender)?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = options(parser)?;
    if options.help {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    bench(&options)
}

/// Reads the command line.
fn options(mut parser: lexopt::Parser) -> Result<Options, Failure> {
    use lexopt::{Arg::Long, ValueExt};
    let mut options = Options { effort: FULL, only: Vec::new(), json: None, help: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => options.effort = QUICK,
            Long("samples") => options.effort.samples = parser.value()?.parse()?,
            Long("batch") => options.effort.batch = parser.value()?.parse()?,
            Long("warm-up") => options.effort.warm_up = parser.value()?.parse()?,
            Long("throughput-ms") => options.effort.throughput_ms = parser.value()?.parse()?,
            Long("only") => {
                let names = parser.value()?.string()?;
                options.only.extend(names.split(',').map(str::to_owned));
            }
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("help") => options.help = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

/// Measures, prints, writes; a failed row makes the exit status 1 unless it is a peer's.
fn bench(options: &Options) -> Result<ExitCode, Failure> {
    let rows = chosen(&options.only)?;
    let bench = env::current_exe().map_err(Failure::call("readlink /proc/self/exe"))?;
    let target = bench.parent().and_then(Path::parent).unwrap_or(Path::new("target")).join("bench");
    let peers = if rows.iter().any(|row| row.program == Program::Peers) {
        peers::build()
    } else {
        Err("not asked for".into())
    };
    let stage = StageDirectory::make(&target)?;
    let machine = Machine::here();
    let start = Instant::now();
    let say = |what: &str| eprintln!("{:>6.1} s  {what}", start.elapsed().as_secs_f64());
    let programs = Programs { bench, peers };
    let outcomes = schedule::measure(rows, options.effort, &programs, stage.path(), say);
    let report = Report::of(machine, stage.file_system(), &stage.rootfs(), outcomes);
    print!("{}", Table(&report));
    let json = options.json.clone().unwrap_or_else(|| target.join("spawn.json"));
    report.write(&json)?;
    println!("{} in {:.0} s", json.display(), start.elapsed().as_secs_f64());
    let own = |contender| matches!(contender, "floor" | "ours" | "std");
    let broken = report.rows.iter().any(|line| own(line.contender) && line.failure.is_some());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The rows whose contender is among `only`, or all.
fn chosen(only: &[String]) -> Result<Vec<Row>, Failure> {
    let mut rows = lineup::rows();
    if let Some(name) = only.iter().find(|name| rows.iter().all(|row| row.contender != **name)) {
        return Err(Failure::Unknown { what: "contender", name: name.into() });
    }
    rows.retain(|row| only.is_empty() || only.iter().any(|name| name == row.contender));
    Ok(rows)
}
