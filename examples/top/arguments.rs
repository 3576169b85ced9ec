//! The command line of `top`.
//!
//! Touches nothing.

use std::ffi::OsString;
use std::time::Duration;

use ampoule_cgroups::{GroupPath, Limits};
use ampoule_examples::arguments::Failure;
use lexopt::ValueExt as _;

pub(crate) const HELP: &str = "\
Shows what containers and control groups use, again and again.

Usage: top [OPTIONS] [--] [COMMAND [ARGUMENTS] [--- COMMAND [ARGUMENTS]]…]

Each command runs in a container of its own, without output, until it ends or top does.

  --count N         start each command N times
  --memory SIZE     limits of each container: memory, such as 64m,
  --cpus NUMBER     CPU time, such as 0.5,
  --pids NUMBER     processes and threads
  --group PATH      watch a group that is there: /system.slice/ssh.service; as often as you like
  --interval S      seconds between two tables, 1 by default
  --no-stream       one table, after one interval
  --format FORMAT   table, or json: one line for each table
  --interfaces      a table of network interfaces: bytes, packets, errors and drops of each
  -h, --help        this text

CPU % is of one CPU. MEM USAGE is without cached files that were not used lately. NET IO is what the interfaces
received and sent but lo (json has each of them), BLOCK IO what was read and written.
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) commands: Vec<Vec<OsString>>,
    pub(crate) groups: Vec<GroupPath>,
    pub(crate) count: usize,
    pub(crate) interval: Duration,
    pub(crate) shown: Shown,
    pub(crate) format: Format,
    pub(crate) lines: Lines,
}

/// How many tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Once,
    Stream,
}

/// What a line of the table is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Subjects,
    Interfaces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Takes the command line; `None` when the help was asked for.
pub(crate) fn parse(mut from: lexopt::Parser) -> Result<Option<Options>, Failure> {
    use lexopt::Arg::{Long, Short, Value};
    let mut options = Options {
        limits: Limits::default(),
        commands: Vec::new(),
        groups: Vec::new(),
        count: 1,
        interval: Duration::from_secs(1),
        shown: Shown::Stream,
        format: Format::Table,
        lines: Lines::Subjects,
    };
    while let Some(argument) = from.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("count") => options.count = from.value()?.parse()?,
            Long("memory") => options.limits.memory.max = Some(from.value()?.string()?.parse()?),
            Long("cpus") => options.limits = options.limits.cpus(from.value()?.string()?.parse()?),
            Long("pids") => options.limits.pids_max = Some(from.value()?.string()?.parse()?),
            Long("group") => options.groups.push(from.value()?.string()?.parse()?),
            Long("interval") => {
                options.interval = Duration::try_from_secs_f64(from.value()?.parse()?)?;
            }
            Long("no-stream") => options.shown = Shown::Once,
            Long("interfaces") => options.lines = Lines::Interfaces,
            Long("format") => options.format = format(&from.value()?.string()?)?,
            Value(program) => options.commands = commands(program, from.raw_args()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    if options.commands.is_empty() && options.groups.is_empty() {
        return Err("no command and no --group given (see --help)".into());
    }
    if options.interval.is_zero() {
        return Err("--interval: nothing can be counted in no time".into());
    }
    Ok(Some(options))
}

fn format(text: &str) -> Result<Format, Failure> {
    match text {
        "table" => Ok(Format::Table),
        "json" => Ok(Format::Json),
        _ => Err(format!("--format: {text:?} is neither table nor json").into()),
    }
}

/// The commands between `---`.
fn commands(first: OsString, rest: impl Iterator<Item = OsString>) -> Vec<Vec<OsString>> {
    let words: Vec<OsString> = std::iter::once(first).chain(rest).collect();
    let commands = words.split(|word| word == "---").filter(|command| !command.is_empty());
    commands.map(<[OsString]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Option<Options>, Failure> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn several_commands() {
        let line = "--memory 64m --cpus 0.5 --count 2 -- sh -c x --- sleep --help --- ---";
        let options = options(line).unwrap().unwrap();
        assert_eq!(options.commands, [vec!["sh", "-c", "x"], vec!["sleep", "--help"]]);
        let limits = Limits::default().memory_max(64 << 20).cpus("0.5".parse().unwrap());
        assert_eq!(options.limits, limits);
        assert_eq!((options.count, options.shown), (2, Shown::Stream));
        assert_eq!(options.lines, Lines::Subjects);
    }

    #[test]
    fn groups_alone() {
        let options =
            options("--interfaces --group /a --group b --no-stream --format json --interval 0.25");
        let options = options.unwrap().unwrap();
        assert_eq!(options.groups, ["/a", "b"].map(|path| path.parse().unwrap()));
        assert_eq!((options.shown, options.format), (Shown::Once, Format::Json));
        assert_eq!(options.interval, Duration::from_millis(250));
        assert_eq!(options.lines, Lines::Interfaces);
    }

    #[test]
    fn what_cannot_be() {
        for (line, word) in [
            ("", "--group"),
            ("--memory", "--memory"),
            ("--memory x true", "x"),
            ("--group / true", "group"),
            ("--interval 0 true", "--interval"),
            ("--interval -1 true", "negative"),
            ("--format xml true", "xml"),
            ("--pods", "--pods"),
        ] {
            let error = options(line).unwrap_err().to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
        assert_eq!(options("--help").unwrap(), None);
    }
}
