//! How do I run a command isolated from a shell, with everything that can be set?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

mod arguments;
mod image;
mod network;
mod record;
mod value;

use std::process::ExitCode;

use ampoule::{ExitStatus, Host};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::{self, FAILED, Signals};
use ampoule_examples::terminal;
use arguments::{Asked, HELP, Options, Shown};

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// The exit code: the command's as a shell shows it, 124 at the time limit.
fn run() -> Result<u8, Failure> {
    match arguments::parse(lexopt::Parser::from_env())? {
        Asked::Help => print(HELP).map(|()| 0),
        Asked::Doctor => print(&Host::probe().to_string()).map(|()| 0),
        Asked::Run(options) => start(*options),
    }
}

fn start(options: Options) -> Result<u8, Failure> {
    let (limit, shown, tty) = (options.timeout, options.shown.clone(), options.tty);
    let (image, target) = (options.image()?, options.commit.clone());
    let record = options.record.clone();
    let mut command = options.command(image.as_ref())?;
    if tty.is_some() {
        command = command.tty(terminal::window_size());
    }
    if let Some(limit) = limit {
        command = command.timeout(limit);
    }
    let plan = command.plan()?;
    if shown.contains(&Shown::Plan) {
        return print(&plan.to_string()).map(|()| 0);
    }
    if shown.contains(&Shown::Report) {
        eprint!("{}", plan.report());
    }
    let launch = plan.launch().timings();
    let launch = match limit {
        Some(limit) => launch.timeout(limit),
        None => launch,
    };
    // Before the start, so that no signal is lost.
    let mut signals = Signals::catch()?;
    let mut container = launch.spawn()?;
    let recorder = record.map(|file| record::Recorder::start(file, &mut container)).transpose()?;
    let status = terminal::run(&mut container, &mut signals, limit)?;
    recorder.map(record::Recorder::write).transpose()?;
    if let (Some(image), Some(target)) = (&image, &target) {
        image::commit(&container, image, target)?;
    }
    if shown.contains(&Shown::Timings) {
        container.timings().into_iter().for_each(|timings| eprint!("{timings}"));
        eprintln!("{status} after {:.1?}", status.wall());
    }
    if shown.contains(&Shown::Stats) {
        eprintln!("{status}: {}", used(&status));
    }
    Ok(foreground::exit_code(&status))
}

/// What its group counted; where it could have none, what the kernel tells the parent of a process.
fn used(status: &ExitStatus) -> String {
    let (counted, waited) = (status.resources(), status.usage());
    let cpu = counted.cpu.unwrap_or(waited.user + waited.system);
    let percent = cpu.as_secs_f64() / status.wall().as_secs_f64().max(f64::MIN_POSITIVE) * 100.0;
    match counted.cpu {
        Some(_) => format!("{counted}, {percent:.1} % of a CPU"),
        None => format!(
            "without a control group: CPU time {cpu:.3?}, {percent:.1} % of a CPU, largest process {} KiB",
            waited.max_rss_kib
        ),
    }
}
