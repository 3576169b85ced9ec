//! How long does it take to make, read, join and remove a control group, beside the raw calls and the peers?
//!
//! Touches groups of its own at the top of the hierarchies, and `target/bench`. Invariant: its groups are removed in the
//! end; a worker whose bench is gone removes its own, and the next run what is left when all were killed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use ampoule_benches::cgroups::hierarchy::Hierarchies;
use ampoule_benches::cgroups::lineup::{self, ENTRANTS, Entrant, Program};
use ampoule_benches::cgroups::report::Report;
use ampoule_benches::cgroups::schedule::{self, Effort, Run};
use ampoule_benches::cgroups::sweep::{self, Sweeper};
use ampoule_benches::cgroups::table::Table;
use ampoule_benches::cgroups::worker::{self, Assignment};
use ampoule_benches::failure::Failure;
use ampoule_benches::machine::Machine;
use ampoule_benches::peers;
use ampoule_benches::remote::Programs;
use ampoule_benches::rootfs::StageDirectory;

const HELP: &str = "\
How long does it take to make, read, join and remove a control group, beside the raw calls and the peers?

bench-cgroups [--quick] [--rounds N] [--batch N] [--adds N] [--many N]
              [--only NAME,...] [--peers FILE] [--json FILE]

  --quick          3 rounds, 200 groups beside: some ten seconds
  --rounds N       rounds (15)
  --batch N        groups made, and statistics read, per round and contender (20)
  --adds N         processes added and containers started, per round and contender (10)
  --many N         groups alive beside those of two of the blocks (1000)
  --only NAME,...  raw, ours, cgroups-rs, libcgroups
  --peers FILE     the program of benches/peers, where there is no cargo to build it
  --json FILE      every sample (target/bench/cgroups.json)

Needs root. Its groups are in ampoule-bench-cgroups-PID of each hierarchy.
";

const FULL: Effort = Effort { rounds: 15, batch: 20, adds: 10, many: 1000 };
const QUICK: Effort = Effort { rounds: 3, batch: 20, adds: 5, many: 200 };

/// What the command line says.
struct Options {
    effort: Effort,
    only: Vec<String>,
    peers: Option<PathBuf>,
    json: Option<PathBuf>,
    help: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bench-cgroups: {failure}");
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
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NeedsRoot("making groups at the top of the hierarchies"));
    }
    let place = sweep::place(std::process::id());
    let hierarchies = Hierarchies::here(&place)?;
    sweep::sweep_ended(&hierarchies)?;
    let before = hierarchies.make_place()?;
    let sweeper = Sweeper { hierarchies: &hierarchies, prefix: String::new() };
    let result = bench(&options, &hierarchies, &place);
    drop(sweeper);
    hierarchies.remove_place(&before)?;
    result
}

/// Reads the command line.
fn options(mut parser: lexopt::Parser) -> Result<Options, Failure> {
    use lexopt::{Arg::Long, ValueExt};
    let mut options =
        Options { effort: FULL, only: Vec::new(), peers: None, json: None, help: false };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => options.effort = QUICK,
            Long("rounds") => options.effort.rounds = parser.value()?.parse()?,
            Long("batch") => options.effort.batch = parser.value()?.parse()?,
            Long("adds") => options.effort.adds = parser.value()?.parse()?,
            Long("many") => options.effort.many = parser.value()?.parse()?,
            Long("only") => {
                let names = parser.value()?.string()?;
                options.only.extend(names.split(',').map(str::to_owned));
            }
            Long("peers") => options.peers = Some(parser.value()?.into()),
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("help") => options.help = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

/// Measures, prints, writes; a failed line makes the exit status 1 unless it is a peer's.
fn bench(options: &Options, hierarchies: &Hierarchies, place: &str) -> Result<ExitCode, Failure> {
    let entrants = chosen(&options.only)?;
    let bench = env::current_exe().map_err(Failure::call("readlink /proc/self/exe"))?;
    let target = bench.parent().and_then(Path::parent).unwrap_or(Path::new("target")).join("bench");
    let peers = match &options.peers {
        Some(built) => Ok(built.clone()),
        None if entrants.iter().any(|entrant| entrant.program == Program::Peers) => peers::build(),
        None => Err("not asked for".into()),
    };
    let programs = Programs { bench, peers };
    let stage = StageDirectory::make(&target)?;
    let machine = Machine::here();
    let start = Instant::now();
    let say = |what: &str| eprintln!("{:>6.1} s  {what}", start.elapsed().as_secs_f64());
    let rootfs = stage.rootfs();
    let run = Run { hierarchies, programs: &programs, place, logs: stage.path(), rootfs: &rootfs };
    let outcomes = schedule::measure(&entrants, options.effort, &run, say)?;
    let report = Report::of(machine, hierarchies.to_string(), options.effort.many, outcomes);
    print!("{}", Table(&report));
    let json = options.json.clone().unwrap_or_else(|| target.join("cgroups.json"));
    report.write(&json)?;
    println!("{} in {:.0} s", json.display(), start.elapsed().as_secs_f64());
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The contenders among `only`, or all.
fn chosen(only: &[String]) -> Result<Vec<Entrant>, Failure> {
    let mut entrants = ENTRANTS.to_vec();
    if let Some(name) = only.iter().find(|name| entrants.iter().all(|known| known.name != **name)) {
        return Err(Failure::Unknown { what: "contender", name: name.into() });
    }
    entrants.retain(|known| only.is_empty() || only.iter().any(|name| name == known.name));
    Ok(entrants)
}
