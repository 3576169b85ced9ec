//! Which namespaces are there, who is in them, and who owns them?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use ampoule_ns::list::{self, NamespaceEntry, NamespaceList};
use ampoule_ns::namespace::Namespace;

const HELP: &str = "\
Lists the namespaces that processes are in.

Usage: lsns [--type KIND] [--task PID] [--owner]

  -t, --type KIND  only this kind: cgroup, ipc, mnt, net, pid, time, user, uts
  -p, --task PID   only the namespaces of this process
      --owner      one column more: the user who made the owning user namespace
  -h, --help       this text
";

type Failure = Box<dyn std::error::Error>;

#[derive(Default)]
struct Options {
    kind: Option<Namespace>,
    task: Option<u32>,
    owner: Option<Owner>,
    help: Option<Help>,
}

struct Owner;
struct Help;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lsns: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let options = parse(lexopt::Parser::from_env())?;
    if options.help.is_some() {
        return print(HELP);
    }
    let mut found = list::scan()?;
    if let Some(kind) = options.kind {
        found.entries.retain(|entry| entry.kind == kind);
    }
    if let Some(pid) = options.task {
        let of_task = list::Namespaces::of(pid)?;
        found.entries.retain(|entry| of_task.get(entry.kind) == Some(entry.id));
    }
    print(&table(&found, options.owner.as_ref()))
}

fn parse(mut arguments: lexopt::Parser) -> Result<Options, Failure> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('t') | Long("type") => options.kind = Some(arguments.value()?.string()?.parse()?),
            Short('p') | Long("task") => options.task = Some(arguments.value()?.parse()?),
            Long("owner") => options.owner = Some(Owner),
            Short('h') | Long("help") => options.help = Some(Help),
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(options)
}

fn table(found: &NamespaceList, owner: Option<&Owner>) -> String {
    let head = ["NS", "TYPE", "NPROCS", "PID", "UID", "OWNER", "COMMAND"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(found.entries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4, 5].map(width);
    let mut text = String::new();
    for row in &rows {
        text += &line(row, widths, owner);
    }
    if found.unreadable > 0 {
        writeln!(text, "({} processes may not be read)", found.unreadable).unwrap_or_default();
    }
    text
}

fn row(entry: &NamespaceEntry) -> [String; 7] {
    [
        entry.id.inode.to_string(),
        entry.kind.to_string(),
        entry.processes.to_string(),
        entry.pid.to_string(),
        entry.uid.to_string(),
        entry.owner_uid.map_or_else(|| "-".to_owned(), |uid| uid.to_string()),
        // A command line may hold control characters that a terminal would obey.
        entry.command.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
    ]
}

fn line(row: &[String; 7], widths: [usize; 6], owner: Option<&Owner>) -> String {
    let [ns, kind, processes, pid, uid, made_by, command] = row;
    let [w0, w1, w2, w3, w4, w5] = widths;
    let owner = owner.map(|Owner| format!(" {made_by:>w5$}")).unwrap_or_default();
    format!("{ns:>w0$} {kind:<w1$} {processes:>w2$} {pid:>w3$} {uid:>w4$}{owner} {command}\n")
}

/// Prints; a reader that closed the pipe (`lsns | head`) is no error.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
