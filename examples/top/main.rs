//! How do I see what several containers and control groups use, while they run?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

mod arguments;
mod interfaces;
mod subject;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::{FAILED, Signals};
use ampoule_examples::row::{self, Row};
use arguments::{Format, HELP, Lines, Options, Shown};
use subject::{Look, Subject};

/// What makes a terminal empty.
const CLEAR: &str = "\x1b[H\x1b[2J";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("top: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(options) = arguments::parse(lexopt::Parser::from_env())? else { return print(HELP) };
    // Before the first start, so that no container is left.
    let mut signals = Signals::catch()?;
    let mut subjects = subject::all(&options)?;
    let memory = row::machine_memory();
    while !subjects.is_empty() && !signals.interrupted(options.interval)? {
        let rows = look(&mut subjects, memory)?;
        if !rows.is_empty() || options.shown == Shown::Once {
            show(&rows, &options)?;
        }
        if options.shown == Shown::Once {
            break;
        }
    }
    Ok(())
}

/// The rows of those that live; those that have ended are left out from now on.
fn look(subjects: &mut Vec<Subject>, memory: u64) -> Result<Vec<Row<u32>>, Failure> {
    let mut rows = Vec::new();
    let mut living = Vec::new();
    for mut subject in subjects.drain(..) {
        match subject.look(memory)? {
            Look::Row(row) => {
                rows.push(row);
                living.push(subject);
            }
            Look::Ended(why) => eprintln!("{why}"),
        }
    }
    *subjects = living;
    Ok(rows)
}

fn show(rows: &[Row<u32>], options: &Options) -> Result<(), Failure> {
    let table = || match options.lines {
        Lines::Subjects => row::table(rows),
        Lines::Interfaces => interfaces::table(rows),
    };
    match options.format {
        Format::Json => print(&(serde_json::to_string(rows)? + "\n")),
        Format::Table if options.shown == Shown::Stream && std::io::stdout().is_terminal() => {
            print(&(CLEAR.to_owned() + &table()))
        }
        Format::Table => print(&table()),
    }
}
