//! `cargo xtask test`: builds the tests once, and runs them tier by tier.
//!
//! What this machine can run is decided before anything is built. Within a tier that was chosen
//! nothing is skipped. The last line is `N passed, N failed`.

mod decide;
mod guests;
mod stage;
mod tally;
mod tier;
mod user;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lexopt::prelude::*;

use crate::Verdict;
use crate::error::Error;
use crate::packages;
use crate::process::{self, End, Watched};
use crate::table::{Align, Table};
use crate::vm::Version;
use crate::workspace::{self, Artifact};
use decide::{Decision, Machine};
use stage::Stage;
pub(crate) use tally::Tally;
use tier::{RunsAs, TIERS, Tier};
use user::Setup;

pub(crate) const HELP: &str = "
cargo xtask test [--tier TIER[,TIER...]]... [--require-all] [--long] [--all-kernels] [--setup]
                 [--timeout SECONDS] [-- FILTER AND LIBTEST OPTIONS]

Runs the tests. A tier is chosen by the name of the test file, crates/*/tests/TIER_*.rs,
examples/tests and benches/tests:

  unit    everything else: lib tests, other integration tests, doc tests; examples build
  user    as an ordinary user, also when called by root; needs user namespaces
  subid   as `user`, for tests that need subordinate ids and newuidmap
  root    as root
  race, fault, soak   as root; a short form, the long one with --long
  vm      in an emulated machine (cargo xtask vm): pure cgroup v2, kernel 6.12; as root for
          vm_*.rs, under systemd for vm_systemd_*.rs, there as an ordinary user in a delegated
          scope of its session for vm_user_*.rs, with SELinux enforcing for vm_selinux_*.rs,
          with AppArmor for vm_apparmor_*.rs

A tier that this machine cannot run is printed as NOT RUN with the reason and the command that
would make it possible. A tier without test files is EMPTY. Missing system packages are
installed when called by root.

  --require-all       a tier that cannot run counts as one failure
  --long              the long form (sets AMPOULE_LONG=1), on all kernels
  --all-kernels       tier vm on kernel 6.1, too
  --setup             as root: make the account `ampoule-test` with subordinate ids
                      (also done where the environment has CI=true)
  --timeout SECONDS   for one test program, default 300, with --long 3600
";

struct Options {
    tiers: Vec<&'static Tier>,
    require_all: bool,
    long: bool,
    kernels: &'static [Version],
    setup: Setup,
    limit: Option<Duration>,
    /// Handed to each test program.
    rest: Vec<String>,
}

/// One row of the final table.
struct Row {
    tier: &'static Tier,
    decision: Decision,
    tally: Tally,
    seconds: f64,
}

/// Runs the verb.
pub(crate) fn run(args: lexopt::Parser) -> Result<Verdict, Error> {
    let options = Options::parse(args)?;
    let mut machine = Machine::new(options.setup);
    let mut rows = decide_all(&options, &mut machine)?;
    let mut tally = Tally::default();
    match build_tests(options.setup) {
        Ok(artifacts) => run_all(&options, &mut machine, &artifacts, &mut rows)?,
        Err(error) => {
            println!("xtask: {error}");
            tally = Tally::ONE_FAILURE;
        }
    }
    for row in &rows {
        tally += row.tally;
        if options.require_all && matches!(row.decision, Decision::NotRun(_)) {
            tally += Tally::ONE_FAILURE;
        }
    }
    print_table(&rows, options.require_all);
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { Verdict::Passed } else { Verdict::Failed })
}

impl Options {
    fn parse(mut args: lexopt::Parser) -> Result<Self, Error> {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        let setup = if in_ci { Setup::Allowed } else { Setup::Forbidden };
        let mut options = Self {
            tiers: Vec::new(),
            require_all: false,
            long: false,
            kernels: &[Version::USUAL],
            setup,
            limit: None,
            rest: Vec::new(),
        };
        while let Some(arg) = args.next()? {
            match arg {
                Long("tier") => options.add_tiers(&args.value()?.string()?)?,
                Long("require-all") => options.require_all = true,
                Long("long") => {
                    options.long = true;
                    options.kernels = &Version::ALL;
                }
                Long("all-kernels") => options.kernels = &Version::ALL,
                Long("setup") => options.setup = Setup::Allowed,
                Long("timeout") => {
                    options.limit = Some(Duration::from_secs(args.value()?.parse()?));
                }
                Value(word) => options.rest.push(word.string()?),
                _ => return Err(arg.unexpected().into()),
            }
        }
        if options.tiers.is_empty() {
            options.tiers = TIERS.iter().collect();
        }
        Ok(options)
    }

    fn add_tiers(&mut self, names: &str) -> Result<(), Error> {
        for name in names.split(',') {
            let tier = TIERS.iter().find(|tier| tier.name == name);
            self.tiers.push(tier.ok_or(Error::absent("such tier (see --help)"))?);
        }
        Ok(())
    }

    fn limit(&self) -> Duration {
        self.limit.unwrap_or(Duration::from_secs(if self.long { 3600 } else { 300 }))
    }
}

fn decide_all(options: &Options, machine: &mut Machine) -> Result<Vec<Row>, Error> {
    let names = tier::binaries_in(&workspace::root())?;
    let mut rows = Vec::new();
    for tier in TIERS.iter().filter(|tier| options.tiers.contains(tier)) {
        let has_files =
            tier.name == "unit" || names.iter().any(|n| tier::of_binary(n) == tier.name);
        let decision = if has_files { machine.decide(tier)? } else { Decision::Empty };
        match &decision {
            Decision::Run if tier.runs_as == RunsAs::OrdinaryUser => {
                println!(
                    "RUN      {}  {}, as user {}",
                    tier.name,
                    tier.about,
                    machine.user()?.name
                );
            }
            Decision::Run => println!("RUN      {}  {}", tier.name, tier.about),
            Decision::Empty => println!("EMPTY    {}  {}", tier.name, tier.about),
            Decision::NotRun(obstacles) => {
                for each in obstacles {
                    println!("NOT RUN  {}  {}  {}", tier.name, each.reason, each.remedy);
                }
            }
        }
        rows.push(Row { tier, decision, tally: Tally::default(), seconds: 0.0 });
    }
    Ok(rows)
}

fn build_tests(setup: Setup) -> Result<Vec<Artifact>, Error> {
    let missing = match setup {
        Setup::Allowed => packages::ensure(&["none"])?,
        Setup::Forbidden => packages::missing(&["none"]),
    };
    for package in &missing {
        let (name, why) = (package.name, package.why);
        println!("NOT RUN  none  {name}: {why}  {}", packages::install_command(&[package]));
    }
    let mut command = workspace::cargo("test");
    command.args(["--no-run", "--workspace"]).args(workspace::features());
    workspace::build(&mut command)
}

fn run_all(
    options: &Options,
    machine: &mut Machine,
    artifacts: &[Artifact],
    rows: &mut [Row],
) -> Result<(), Error> {
    for row in rows.iter_mut().filter(|row| row.decision == Decision::Run) {
        let begin = Instant::now();
        let tests = artifacts.iter().filter(|each| each.is_test);
        let own: Vec<_> = tests.filter(|each| tier_of(each) == row.tier.name).collect();
        row.tally = match row.tier.runs_as {
            RunsAs::OrdinaryUser => run_staged(options, machine, &own, artifacts)?,
            RunsAs::Caller | RunsAs::Root => run_in_place(options, &own)?,
            RunsAs::Guest => guests::run(options, machine, &own),
        };
        if row.tier.name == "unit" {
            row.tally += run_doc_tests(options)?;
        }
        row.seconds = begin.elapsed().as_secs_f64();
    }
    Ok(())
}

fn tier_of(artifact: &Artifact) -> &'static str {
    let dir = &artifact.package_dir;
    let in_crates = dir.ends_with("examples")
        || dir.ends_with("benches")
        || dir.parent().is_some_and(|dir| dir.ends_with("crates"));
    let integration = artifact.target.kind == "test";
    if in_crates && integration { tier::of_binary(&artifact.target.name) } else { "unit" }
}

fn run_in_place(options: &Options, artifacts: &[&Artifact]) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for artifact in artifacts {
        let mut command = process::dying_with_us(&artifact.executable);
        command.current_dir(&artifact.package_dir);
        command.env("CARGO_MANIFEST_DIR", &artifact.package_dir);
        tally += run_program(options, artifact, command.args(&options.rest))?;
    }
    Ok(tally)
}

fn run_staged(
    options: &Options,
    machine: &mut Machine,
    tests: &[&Artifact],
    artifacts: &[Artifact],
) -> Result<Tally, Error> {
    let user = machine.user()?;
    let mut tally = Tally::default();
    for artifact in tests {
        let stage = Stage::make(&user)?;
        if artifact.package_dir.ends_with("examples") {
            let programs =
                artifacts.iter().filter(|each| each.target.kind == "example" && !each.is_test);
            stage.add_examples(programs.map(|each| each.executable.as_path()))?;
        }
        let result = run_on_stage(options, &stage, artifact);
        stage.remove()?;
        tally += result?;
    }
    Ok(tally)
}

fn run_on_stage(options: &Options, stage: &Stage, artifact: &Artifact) -> Result<Tally, Error> {
    let copy = stage.copy(&artifact.executable)?;
    let mut command = process::dying_with_us(&copy);
    stage.prepare(&mut command);
    let tally = run_program(options, artifact, command.args(&options.rest))?;
    stage.discard(&copy)?;
    Ok(tally)
}

fn run_program(
    options: &Options,
    artifact: &Artifact,
    command: &mut Command,
) -> Result<Tally, Error> {
    let package = artifact.package_dir.file_name().map(PathBuf::from).unwrap_or_default();
    println!("\n==> {} {} ({})", package.display(), artifact.target.name, artifact.target.kind);
    if options.long {
        command.env("AMPOULE_LONG", "1");
    }
    run_watched(command, options.limit())
}

fn run_doc_tests(options: &Options) -> Result<Tally, Error> {
    println!("\n==> doc tests");
    let mut command = workspace::cargo("test");
    command.args(["--quiet", "--doc", "--workspace", "--no-fail-fast"]);
    command.args(workspace::features()).arg("--");
    run_watched(command.args(&options.rest), options.limit() * 3)
}

fn run_watched(command: &mut Command, limit: Duration) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let end = Watched::run(command, limit, &mut |line| {
        println!("{line}");
        tally += Tally::of_line(line).unwrap_or_default();
    })?;
    match end {
        End::Exited(status) if !status.success() && tally.failed == 0 => {
            println!("FAILED: {status} without a failed test");
            tally += Tally::ONE_FAILURE;
        }
        End::Exited(_) => {}
        End::TimedOut => {
            println!("FAILED: killed after {} s", limit.as_secs());
            tally += Tally::ONE_FAILURE;
        }
        End::LeftProcesses(_) => {
            println!("FAILED: left processes behind, killed");
            tally += Tally::ONE_FAILURE;
        }
    }
    Ok(tally)
}

fn print_table(rows: &[Row], require_all: bool) {
    let columns = [("tier", Align::Left), ("passed", Align::Right), ("failed", Align::Right)];
    let further = [("seconds", Align::Right), ("", Align::Left)];
    let mut table = Table::new(&[columns.as_slice(), further.as_slice()].concat());
    for row in rows {
        let Tally { passed, failed } = row.tally;
        let name = row.tier.name.to_owned();
        let dash = || "-".to_owned();
        table.row(match &row.decision {
            Decision::Run => {
                let seconds = format!("{:.1}", row.seconds);
                [name, passed.to_string(), failed.to_string(), seconds, String::new()]
            }
            Decision::Empty => [name, dash(), dash(), dash(), "EMPTY".to_owned()],
            Decision::NotRun(obstacles) => {
                let reasons: Vec<_> = obstacles.iter().map(|each| each.reason.as_str()).collect();
                let required = if require_all { ", required: 1 failure" } else { "" };
                let note = format!("NOT RUN: {}{required}", reasons.join("; "));
                [name, dash(), dash(), dash(), note]
            }
        });
    }
    print!("\n{table}\n");
}
