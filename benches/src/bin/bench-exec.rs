//! How long does it take until a program runs in a container that is there already: by `exec`, and from a pool?
//!
//! Touches what a container touches; needs root. Invariant: the rows take turns, and each sample ends with what it started.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ampoule::{Container, Plan, Stdio};
use ampoule_benches::configuration::Configuration;
use ampoule_benches::failure::Failure;
use ampoule_benches::machine::{self, Machine};
use ampoule_benches::ours;
use ampoule_benches::rootfs::StageDirectory;
use ampoule_benches::statistics::Summary;

const HELP: &str = "\
How long does it take until a program runs in a container that is there already?

bench-exec [--samples N]

  --samples N  samples of each row (300)

Needs root. The rows take turns: a launch, a claim from a pool, an exec.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-exec: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(samples) = samples(lexopt::Parser::from_env())? else {
        print!("{HELP}");
        return Ok(());
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NeedsRoot("bench-exec"));
    }
    bench(samples)
}

/// None: help is wanted.
fn samples(mut parser: lexopt::Parser) -> Result<Option<usize>, Failure> {
    use lexopt::{Arg::Long, ValueExt};
    let mut samples = 300;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("samples") => samples = parser.value()?.parse()?,
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(samples))
}

fn reported(error: ampoule::Error) -> Failure {
    Failure::Reported(error.to_string().into())
}

/// What each row took until its program ran, and until that was reaped.
#[derive(Default)]
struct Taken {
    runs: Vec<Duration>,
    reaped: Vec<Duration>,
}

impl Taken {
    /// One sample; `Ok` of `start` says that the program runs.
    fn add<T>(
        &mut self,
        start: impl FnOnce() -> Result<T, ampoule::Error>,
        end: impl FnOnce(&mut T) -> Result<ampoule::ExitStatus, ampoule::Error>,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut started = start().map_err(reported)?;
        let runs = begun.elapsed();
        let status = end(&mut started).map_err(reported)?;
        self.reaped.push(begun.elapsed());
        self.runs.push(runs);
        match status.success() {
            true => Ok(()),
            false => Err(Failure::Reported(status.to_string().into())),
        }
    }

    fn print(&self, name: &str) {
        let summary =
            |taken: &[Duration]| Summary::of(taken.iter().map(|taken| taken.as_secs_f64() * 1e3));
        let (Some(runs), Some(reaped)) = (summary(&self.runs), summary(&self.reaped)) else {
            return println!("{name:<18} no samples");
        };
        println!(
            "{name:<18} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>5}",
            runs.p50, runs.p95, reaped.p50, reaped.p95, runs.count
        );
    }
}

fn bench(samples: usize) -> Result<(), Failure> {
    let here = Machine::here();
    let stage = StageDirectory::make(Path::new("target/bench"))?;
    let builder = || ours::builder(Configuration::All, &stage.rootfs());
    let plan = builder().command("/bin/true").plan().map_err(reported)?;
    let idle = builder().idle().map_err(reported)?;
    let pool = plan.pool(1).map_err(reported)?;
    let [mut launched, mut claimed, mut joined] = <[Taken; 3]>::default();
    for _ in 0..samples {
        launched.add(|| quiet(&plan).spawn(), Container::wait)?;
        pool.fill().map_err(reported)?;
        let claim = || pool.launch().stdin(Stdio::null()).spawn();
        claimed.add(claim, Container::wait)?;
        let exec = || idle.exec("/bin/true").stdin(Stdio::null()).spawn();
        joined.add(exec, ampoule::Process::wait)?;
    }
    println!("kernel {} ({}), {} CPUs", here.kernel, here.architecture, here.cpus);
    println!(
        "rcu_expedited {}, load before {}, after {}",
        here.rcu_expedited,
        here.load,
        machine::load()
    );
    println!("/bin/true, in ms, until it runs and until it is reaped\n");
    println!("{:<18} {:>9} {:>9} {:>9} {:>9} {:>5}", "", "runs p50", "p95", "reaped", "p95", "n");
    launched.print("launch");
    claimed.print("claim of a pool");
    joined.print("exec");
    Ok(())
}

fn quiet(plan: &Plan) -> ampoule::Launch {
    plan.launch().stdin(Stdio::null())
}
