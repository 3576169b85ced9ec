//! How do I limit and watch a process of my own with control groups, without a container?
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::ffi::OsString;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ampoule_cgroups::stat::Usage;
use ampoule_cgroups::{Group, Life, Limits, Max, Stats, owned_name};
use ampoule_examples::arguments::{Failure, print};
use lexopt::ValueExt as _;

const HELP: &str = "\
Runs a command in a control group with limits, with the crate ampoule-cgroups alone.

Usage: only-cgroups [OPTIONS] [COMMAND [ARGUMENTS]]

  --memory SIZE      such as 64m, the default
  --cpus NUMBER      such as 0.5, the default
  --pids NUMBER      16 by default
  --seconds NUMBER   how long it is watched before it is killed, 2 by default
  -h, --help         this text

Without a command it is a shell that fills some memory and then goes round in a loop.
";

/// The files of both versions; the kernel shows those of the one that is there.
const FILES: [&str; 6] = [
    "memory.max",
    "memory.limit_in_bytes",
    "cpu.max",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "pids.max",
];
const BUSY: &str = "x=$(head -c 8M /dev/zero | tr '\\0' x); sleep 100 & while :; do :; done";
/// Between two looks.
const STEP: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    match limited() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("only-cgroups: {error}");
            ExitCode::FAILURE
        }
    }
}

fn limited() -> Result<(), Failure> {
    let mut limits = Limits::default().memory_max(64 << 20).cpus("0.5".parse()?).pids_max(16);
    let mut command: Vec<OsString> = ["sh", "-c", BUSY].map(OsString::from).into();
    let mut watched = Duration::from_secs(2);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        use lexopt::Arg::{Long, Short, Value};
        match argument {
            Short('h') | Long("help") => return print(HELP),
            Long("memory") => limits.memory.max = Some(arguments.value()?.string()?.parse()?),
            Long("cpus") => limits = limits.cpus(arguments.value()?.string()?.parse()?),
            Long("pids") => limits.pids_max = Some(arguments.value()?.string()?.parse()?),
            Long("seconds") => {
                watched = Duration::try_from_secs_f64(arguments.value()?.parse()?)?;
            }
            Value(program) => {
                command = std::iter::once(program).chain(arguments.raw_args()?).collect();
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    // A name that no other program has; "job" would do for one alone.
    let group = Group::create(&owned_name(Some("job"), Life::WithOwner)?, &limits)?;
    let ended = run(&group, &command, watched);
    group.kill()?;
    group.remove()?;
    println!("removed");
    ended
}

fn run(group: &Group, command: &[OsString], watched: Duration) -> Result<(), Failure> {
    println!("{group}");
    for (file, text) in FILES.iter().filter_map(|file| Some((file, group.file(file).ok()?))) {
        println!("  {file:<22} {}", text.trim_end());
    }
    // It waits for its first line, so that everything that it does is counted.
    let mut waiting = Command::new("sh");
    waiting.args(["-c", "read go; exec \"$@\"", "sh"]).args(command).stdin(Stdio::piped());
    let mut child = waiting.spawn()?;
    group.add(child.id())?;
    drop(child.stdin.take());
    let ended = watch(group, &mut child, Instant::now() + watched);
    group.kill()?;
    println!("{}", child.wait()?);
    ended
}

/// Shows what it uses until it ends, or the time is over.
fn watch(group: &Group, child: &mut Child, until: Instant) -> Result<(), Failure> {
    let (mut before, mut at) = (group.stat()?, Instant::now());
    while child.try_wait()?.is_none() && Instant::now() < until {
        std::thread::sleep(STEP);
        let (now, elapsed) = (group.stat()?, at.elapsed());
        println!("{}", line(&now, &Usage::between(&before, &now, elapsed)));
        (before, at) = (now, at + elapsed);
    }
    let kills = group.stat()?.memory.events.oom_kill.unwrap_or(0);
    println!("killed for want of memory: {kills}");
    Ok(())
}

fn line(stats: &Stats, usage: &Usage) -> String {
    let kib = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| format!("{}", bytes >> 10));
    let limit = |max: Option<Max<u64>>| max.and_then(Max::limit);
    format!(
        "memory {} of {} KiB, CPU {:.0} %, throttled {:.1?}, processes {} of {}",
        kib(stats.memory.current),
        kib(limit(stats.memory.max)),
        usage.cpu_percent.unwrap_or_default(),
        stats.cpu.throttled.unwrap_or_default(),
        stats.pids.current.unwrap_or_default(),
        limit(stats.pids.max).unwrap_or_default(),
    )
}
