//! How long do a `run` and an `exec` take by `oci-runtime`, crun and runc, on one bundle?
//!
//! Touches what containers touch; needs root. Invariant: the rows take turns, each round begins one row later, and no
//! container is left.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use ampoule_benches::bundle::{self, UserNamespace};
use ampoule_benches::failure::Failure;
use ampoule_benches::machine::{self, Machine};
use ampoule_benches::network_teardown;
use ampoule_benches::rootfs::StageDirectory;
use ampoule_benches::statistics::Summary;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

const HELP: &str = "\
How long do a run and an exec take by oci-runtime, crun and runc, on one bundle?

bench-runtime [--samples N] [--ours PROGRAM]

  --samples N     samples of each row (100)
  --ours PROGRAM  the example oci-runtime (the one beside this program)

Needs root. The rows take turns. crun refuses a machine with both versions of control groups: all
of them see the first alone there.
";

/// Where both versions are, the second is here.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-runtime: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Wanted {
    samples: usize,
    ours: PathBuf,
}

fn run() -> Result<(), Failure> {
    let Some(wanted) = wanted(lexopt::Parser::from_env())? else {
        print!("{HELP}");
        return Ok(());
    };
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NeedsRoot("bench-runtime"));
    }
    if Path::new(UNIFIED).exists() && std::env::var_os("AMPOULE_BENCH_APART").is_none() {
        return apart();
    }
    bench(&wanted)
}

/// None: help is wanted.
fn wanted(mut parser: lexopt::Parser) -> Result<Option<Wanted>, Failure> {
    use lexopt::{Arg::Long, ValueExt};
    let own = std::env::current_exe().map_err(Failure::call("current_exe"))?;
    let mut wanted =
        Wanted { samples: 100, ours: own.with_file_name("examples").join("oci-runtime") };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("samples") => wanted.samples = parser.value()?.parse()?,
            Long("ours") => wanted.ours = parser.value()?.into(),
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(wanted))
}

/// This program again, in a mount namespace of its own without the second version of control groups.
fn apart() -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(Failure::call("current_exe"))?;
    let script = format!("umount {UNIFIED} && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(own).args(std::env::args_os().skip(1));
    ended(command.env("AMPOULE_BENCH_APART", "1"))
}

fn ended(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(Failure::call("exec"))?;
    if status.success() { Ok(()) } else { Err(Failure::Ended(status)) }
}

/// A runtime with its state and its bundles.
struct Runtime {
    name: &'static str,
    program: OsString,
    state: PathBuf,
    /// Ends at once, and waits for processes to join it.
    bundles: [PathBuf; 2],
    taken: [Vec<f64>; 2],
}

const VERBS: [&str; 2] = ["run", "exec"];

impl Runtime {
    fn new(name: &'static str, program: OsString, stage: &Path) -> Result<Self, Failure> {
        let state = stage.join(format!("state-{name}"));
        let bundles = [
            written(stage, name, "one", &["/bin/true"])?,
            written(stage, name, "idle", &["/bin/busybox", "sleep", "100000"])?,
        ];
        let runtime = Self { name, program, state, bundles, taken: [Vec::new(), Vec::new()] };
        let [run, detach, b, id] = ["run", "--detach", "--bundle", "idle"].map(OsStr::new);
        runtime.call(&[run, detach, b, runtime.bundles[1].as_os_str(), id])?;
        Ok(runtime)
    }

    fn call(&self, arguments: &[&OsStr]) -> Result<(), Failure> {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).args(arguments);
        ended(command.stdin(Stdio::null()).stdout(Stdio::null()))
    }

    /// One sample of each verb.
    fn sample(&mut self) -> Result<(), Failure> {
        let [run, b, id, exec, idle] = ["run", "--bundle", "one", "exec", "idle"].map(OsStr::new);
        let mut samples = [0.0; 2];
        let calls: [&[&OsStr]; 2] =
            [&[run, b, self.bundles[0].as_os_str(), id], &[exec, idle, OsStr::new("/bin/true")]];
        for (sample, call) in samples.iter_mut().zip(calls) {
            let begun = Instant::now();
            self.call(call)?;
            *sample = begun.elapsed().as_secs_f64() * 1e3;
            network_teardown::wait();
        }
        self.taken.iter_mut().zip(samples).for_each(|(taken, sample)| taken.push(sample));
        Ok(())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Err(failure) = self.call(&["delete", "--force", "idle"].map(OsStr::new)) {
            eprintln!("left behind: idle of {}: {failure}", self.name);
        }
    }
}

/// A bundle in a control group of its own.
fn written(stage: &Path, name: &str, id: &str, args: &[&str]) -> Result<PathBuf, Failure> {
    let bundle = bundle::write(stage, &format!("{name}-{id}"), UserNamespace::Host)?;
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).map_err(Failure::file("read", &path))?;
    let mut config: Value = serde_json::from_slice(&text)?;
    config["process"]["args"] = args.into();
    let group = format!("/ampoule-bench-{}-{name}-{id}", std::process::id());
    config["linux"]["cgroupsPath"] = group.into();
    std::fs::write(&path, config.to_string()).map_err(Failure::file("write", &path))?;
    Ok(bundle)
}

fn length(file: &Path) -> Result<u64, Failure> {
    Ok(file.metadata().map_err(Failure::file("stat", file))?.len())
}

/// The most that a child of this process had resident, in KiB (getrusage(2)).
fn resident() -> Result<i64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Failure::call("getrusage"))?;
    Ok(usage.max_rss())
}

fn bench(wanted: &Wanted) -> Result<(), Failure> {
    let here = Machine::here();
    let stage = StageDirectory::make(Path::new("target/bench"))?;
    let ours = wanted.ours.clone().into_os_string();
    let mut rows = Vec::new();
    println!("ours: {} KiB", length(&wanted.ours)?.div_ceil(1024));
    for (name, program) in [("ours", ours), ("crun", "crun".into()), ("runc", "runc".into())] {
        match Runtime::new(name, program, stage.path()) {
            Ok(runtime) => rows.push(runtime),
            Err(failure) => println!("{name}: not measured: {failure}"),
        }
        if name == "ours" {
            println!("ours: at most {} KiB resident in `run --detach`", resident()?);
        }
    }
    for round in 0..wanted.samples {
        let count = rows.len().max(1);
        rows.rotate_left(usize::from(round > 0) % count);
        rows.iter_mut().try_for_each(Runtime::sample)?;
    }
    println!("kernel {} ({}), {} CPUs", here.kernel, here.architecture, here.cpus);
    println!(
        "rcu_expedited {}, {}, load before {}, after {}",
        here.rcu_expedited,
        stage.file_system(),
        here.load,
        machine::load()
    );
    println!("/bin/true, in ms; the ratio of medians to ours\n");
    print(&mut rows);
    Ok(())
}

fn print(rows: &mut [Runtime]) {
    rows.sort_by_key(|row| ["ours", "crun", "runc"].iter().position(|name| *name == row.name));
    println!("{:<14} {:>9} {:>9} {:>9} {:>7} {:>5}", "", "min", "p50", "p95", "ratio", "n");
    for (index, verb) in VERBS.into_iter().enumerate() {
        let summary = |row: &Runtime| Summary::of(row.taken[index].iter().copied());
        let ours = rows.iter().find(|row| row.name == "ours").and_then(summary);
        for row in rows.iter() {
            let Some(own) = summary(row) else { continue };
            let ratio = ours.map_or(f64::NAN, |ours| own.p50 / ours.p50);
            println!(
                "{verb:<4} {:<9} {:>9.3} {:>9.3} {:>9.3} {ratio:>7.2} {:>5}",
                row.name, own.min, own.p50, own.p95, own.count
            );
        }
    }
}
