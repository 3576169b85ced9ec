//! How long does it take to connect a container to a bridge and to take it off again, beside netavark and the CNI's plugin?
//!
//! Touches a network and a mount namespace of its own, with an empty `/run`, and `target/bench`. Invariant: nothing of the
//! host's network is used.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ampoule_benches::failure::Failure;
use ampoule_benches::machine::{self, Machine};
use ampoule_benches::networks::{Entrant, ROWS, Row};
use ampoule_benches::statistics::Summary;

const HELP: &str = "\
How long does it take to connect a container to a bridge and to take it off again, beside netavark and the CNI's plugin?

bench-net [--quick] [--samples N]

  --quick      10 samples each
  --samples N  samples of each row (100)

Needs root, unshare(1), mount(8) and ip(8). The rows take turns.
";

/// Set in the process that is in its own namespaces.
const INSIDE: &str = "AMPOULE_BENCH_INSIDE";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("bench-net: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let Some(samples) = samples(lexopt::Parser::from_env())? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NeedsRoot("bench-net"));
    }
    if env::var_os(INSIDE).is_none() {
        return elsewhere();
    }
    call("mount", &["-t", "tmpfs", "none", "/run"])?;
    call("ip", &["link", "set", "lo", "up"])?;
    bench(samples)
}

/// None: help is wanted.
fn samples(mut parser: lexopt::Parser) -> Result<Option<usize>, Failure> {
    use lexopt::{Arg::Long, ValueExt};
    let mut samples = 100;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => samples = 10,
            Long("samples") => samples = parser.value()?.parse()?,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(samples))
}

/// Runs this program again in namespaces of its own.
fn elsewhere() -> Result<ExitCode, Failure> {
    let own = env::current_exe().map_err(Failure::call("readlink /proc/self/exe"))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--"]).arg(own);
    let status = command.args(env::args_os().skip(1)).env(INSIDE, "1").status();
    let status = status.map_err(Failure::call("unshare"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn call(program: &'static str, arguments: &[&str]) -> Result<(), Failure> {
    let status = Command::new(program).args(arguments).status().map_err(Failure::call(program))?;
    if status.success() { Ok(()) } else { Err(Failure::Ended(status)) }
}

/// What is known of one row.
struct Measured {
    row: &'static Row,
    entrant: Result<Box<dyn Entrant>, Failure>,
    samples: Vec<Duration>,
}

fn bench(samples: usize) -> Result<ExitCode, Failure> {
    let here = Machine::here();
    let mut all: Vec<Measured> = ROWS
        .iter()
        .map(|row| Measured { row, entrant: (row.make)(), samples: Vec::new() })
        .collect();
    let count = all.len();
    for round in 0..samples {
        for turn in 0..count {
            let Some(measured) = all.get_mut((round + turn) % count) else { continue };
            if let Ok(entrant) = &mut measured.entrant {
                match entrant.once(round + 1) {
                    Ok(taken) => measured.samples.push(taken),
                    Err(failure) => measured.entrant = Err(failure),
                }
            }
            // The kernel takes the namespaces of the last one down meanwhile, which is nobody's time.
            std::thread::sleep(Duration::from_millis(60));
        }
    }
    println!("kernel {} ({}), {} CPUs", here.kernel, here.architecture, here.cpus);
    println!("load before {}, after {}", here.load, machine::load());
    println!("{:<18} {:>9} {:>9} {:>5}  of what", "who", "p50 ms", "p95 ms", "n");
    for measured in &all {
        print(measured);
    }
    write(&all)?;
    let broken = |it: &Measured| it.entrant.is_err() && !is_peer(it.row.name);
    Ok(if all.iter().any(broken) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_peer(name: &str) -> bool {
    matches!(name, "cni-bridge" | "netavark")
}

fn milliseconds(samples: &[Duration]) -> impl Iterator<Item = f64> {
    samples.iter().map(|taken| taken.as_secs_f64() * 1e3)
}

fn print(measured: &Measured) {
    let Row { name, remark, .. } = measured.row;
    match (Summary::of(milliseconds(&measured.samples)), &measured.entrant) {
        (_, Err(failure)) => println!("{name:<18} NOT RUN: {failure}"),
        (None, Ok(_)) => println!("{name:<18} no samples"),
        (Some(it), Ok(_)) => {
            println!("{name:<18} {:>9.2} {:>9.2} {:>5}  {remark}", it.p50, it.p95, it.count);
        }
    }
}

/// Every sample, in milliseconds.
fn write(all: &[Measured]) -> Result<(), Failure> {
    let own = env::current_exe().map_err(Failure::call("readlink /proc/self/exe"))?;
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("target")).join("bench");
    fs::create_dir_all(&target).map_err(Failure::file("create", &target))?;
    let rows = all.iter().map(|measured| {
        let samples: Vec<f64> = milliseconds(&measured.samples).collect();
        (measured.row.name, samples)
    });
    let rows: std::collections::BTreeMap<_, _> = rows.collect();
    let path = target.join("net.json");
    fs::write(&path, serde_json::to_vec(&rows)?).map_err(Failure::file("write", &path))?;
    println!("{}", path.display());
    Ok(())
}
