//! The command line: global options, a command, and its options before and behind the container's id.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ampoule::{Kept, StateDirectory};
use ampoule_examples::arguments::Failure;
use lexopt::Arg::{Long, Short, Value};

pub(crate) const HELP: &str = "\
Creates and runs containers of the Open Container Initiative, for engines.

Usage: oci-runtime [GLOBAL OPTIONS] COMMAND [OPTIONS] [ID] [WORDS…]

  create run     a container from --bundle DIR (here: the current directory)
  start          the program of a created container
  exec           a further process: --process FILE, or words behind the id
  state list     what is known of one container, and of all
  kill           a signal (TERM) to the program, or with --all to everything
  delete         removes what has ended; with --force also what runs
  ps             the processes, by their ids (--format json) or as ps OPTIONS shows them
  events         what is used: --stats once, or again and again
  pause resume   stops everything where it is, and lets it go on
  update         limits: --resources FILE, --memory, --cpu-quota, --pids-limit…
  spec features  a new config.json, and what this runtime can do

Global options:
      --root DIR            where containers are written down
      --log FILE            errors are appended here, too
      --log-format FORMAT   text or json
      --cgroup-manager NAME cgroupfs or systemd
      --systemd-cgroup      as --cgroup-manager systemd: groups are in scopes
      --rootless[=]BOOL     whether the caller is an ordinary user (auto)
      --config FILE         instead of the bundle's config.json
      --debug --version --help

create, run, exec: --console-socket PATH --pid-file FILE --pidfd-socket PATH
                   --preserve-fds N --detach
";

/// Options of a command, each with its short form, and whether it has a value.
type Options = &'static [(&'static str, char, Takes)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
}
use Takes::{Nothing as N, Value as V};

const CREATE: Options = &[
    ("bundle", 'b', V),
    ("config", 'f', V),
    ("console-socket", '\0', V),
    ("pid-file", '\0', V),
    ("pidfd-socket", '\0', V),
    ("preserve-fds", '\0', V),
    ("no-pivot", '\0', N),
    // There is one all the same, without a name: it holds none of the caller's keys, which is the safer of both.
    ("no-new-keyring", '\0', N),
    ("detach", 'd', N),
    ("keep", '\0', N),
];
const EXEC: Options = &[
    ("process", 'p', V),
    ("console-socket", '\0', V),
    ("pid-file", '\0', V),
    ("pidfd-socket", '\0', V),
    ("preserve-fds", '\0', V),
    ("cwd", '\0', V),
    ("env", 'e', V),
    ("user", 'u', V),
    ("tty", 't', N),
    ("detach", 'd', N),
];
const UPDATE: Options = &[
    ("resources", 'r', V),
    ("memory", '\0', V),
    ("memory-reservation", '\0', V),
    ("memory-swap", '\0', V),
    ("cpu-period", '\0', V),
    ("cpu-quota", '\0', V),
    ("cpu-share", '\0', V),
    ("cpu-shares", '\0', V),
    ("cpuset-cpus", '\0', V),
    ("cpuset-mems", '\0', V),
    ("blkio-weight", '\0', V),
    ("pids-limit", '\0', V),
];

/// Each command with its options, and how many words may be options.
const COMMANDS: &[(&str, Options, usize)] = &[
    ("create", CREATE, usize::MAX),
    ("run", CREATE, usize::MAX),
    ("start", &[], usize::MAX),
    ("exec", EXEC, 2),
    ("state", &[], usize::MAX),
    ("kill", &[("all", 'a', N)], usize::MAX),
    ("delete", &[("force", 'f', N)], usize::MAX),
    ("list", &[("format", 'f', V), ("quiet", 'q', N)], usize::MAX),
    ("ps", &[("format", 'f', V)], 1),
    ("pause", &[], usize::MAX),
    ("resume", &[], usize::MAX),
    ("update", UPDATE, usize::MAX),
    ("events", &[("stats", '\0', N), ("interval", '\0', V)], usize::MAX),
    ("spec", &[("bundle", 'b', V), ("rootless", '\0', N)], usize::MAX),
    ("features", &[], usize::MAX),
];

/// What stands in front of the command.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    pub(crate) root: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) rootless: Option<bool>,
    pub(crate) groups: Groups,
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Who makes the group that the container's is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Systemd where the path has its form, else this program.
    #[default]
    AsThePath,
    Systemd,
}

pub(crate) enum Asked {
    Help,
    Version,
    Call(Call),
}

/// A command with its options and words.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    options: Vec<(&'static str, OsString)>,
    pub(crate) words: Vec<OsString>,
}

impl Globals {
    pub(crate) fn is_rootless(&self) -> bool {
        // An engine of an ordinary user calls as the root of its user namespace.
        let is_root = || rustix::process::geteuid().is_root() && has_all_ids();
        self.rootless.unwrap_or_else(|| !is_root())
    }
}

/// Whether this user namespace has every id, as the first one has (user_namespaces(7)).
fn has_all_ids() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

impl Call {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    /// The last one counts.
    pub(crate) fn option(&self, name: &str) -> Option<&OsStr> {
        let mut named = self.options.iter().rev().filter(|(known, _)| *known == name);
        named.next().map(|(_, value)| value.as_os_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a OsStr> {
        let named = self.options.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, value)| value.as_os_str())
    }

    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        self.option(name).map(Path::new)
    }

    /// The container's id.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        let id = self.words.first().ok_or("no container id given (see --help)")?;
        Ok(id.to_str().ok_or("the container id is not UTF-8")?)
    }

    pub(crate) fn container(&self, states: &StateDirectory) -> Result<Kept, Failure> {
        Ok(states.get(self.id()?)?)
    }

    /// How many descriptors from 3 on go to the payload.
    pub(crate) fn preserved(&self) -> Result<u16, Failure> {
        let text = self.option("preserve-fds").map(OsStr::to_string_lossy);
        Ok(text.map_or(Ok(0), |text| text.parse())?)
    }
}

pub(crate) fn parse(mut from: lexopt::Parser) -> Result<(Globals, Asked), Failure> {
    let mut globals = Globals::default();
    while let Some(argument) = from.next()? {
        match argument {
            Short('h') | Long("help") => return Ok((globals, Asked::Help)),
            Short('v') | Long("version") => return Ok((globals, Asked::Version)),
            Long(name) => {
                let name = name.to_owned();
                global(&name, &mut from, &mut globals)?;
            }
            Value(verb) => {
                let verb = verb.to_string_lossy().into_owned();
                let asked = call(&verb, from)?;
                return Ok((globals, asked));
            }
            Short(_) => return Err(argument.unexpected().into()),
        }
    }
    Ok((globals, Asked::Help))
}

fn global(name: &str, from: &mut lexopt::Parser, to: &mut Globals) -> Result<(), Failure> {
    use lexopt::ValueExt as _;
    match name {
        "root" => to.root = Some(from.value()?.into()),
        "log" => to.log = Some(from.value()?.into()),
        "config" => to.config = Some(from.value()?.into()),
        "debug" => drop(from.optional_value()),
        "rootless" => to.rootless = rootless(from)?,
        "systemd-cgroup" => match from.optional_value() {
            Some(value) if value == "false" => {}
            _ => to.groups = Groups::Systemd,
        },
        "log-format" => {
            to.log_format = match from.value()?.string()?.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => {
                    return Err(format!("--log-format: {other} is neither text nor json").into());
                }
            };
        }
        "cgroup-manager" => match from.value()?.string()?.as_str() {
            "cgroupfs" => {}
            "systemd" => to.groups = Groups::Systemd,
            other => return Err(format!("--cgroup-manager: {other} is not supported").into()),
        },
        _ => return Err(format!("there is no option --{name} (see --help)").into()),
    }
    Ok(())
}

/// `true`, `false` or `auto`, behind `=` or as the next word; nothing is `true`.
fn rootless(from: &mut lexopt::Parser) -> Result<Option<bool>, Failure> {
    let value = match from.optional_value() {
        Some(value) => Some(value),
        None => from.raw_args()?.next_if(|next| {
            [OsStr::new("true"), OsStr::new("false"), OsStr::new("auto")].contains(&next)
        }),
    };
    match value.as_deref().map(OsStr::to_string_lossy).as_deref() {
        None | Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some("auto") => Ok(None),
        Some(other) => Err(format!("--rootless: {other} is neither true, false nor auto").into()),
    }
}

fn call(verb: &str, mut from: lexopt::Parser) -> Result<Asked, Failure> {
    let found = COMMANDS.iter().find(|(name, ..)| *name == verb);
    let Some((verb, known, words_with_options)) = found.copied() else {
        return Err(format!("there is no command {verb} (see --help)").into());
    };
    let mut call = Call { verb, options: Vec::new(), words: Vec::new() };
    while let Some(argument) = from.next()? {
        let found = match argument {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Long(name) => match known.iter().find(|(long, ..)| *long == name) {
                None => return Err(format!("{verb} has no option --{name} (see --help)").into()),
                found => found,
            },
            Short(letter) => match known.iter().find(|(_, short, _)| *short == letter) {
                None => return Err(format!("{verb} has no option -{letter} (see --help)").into()),
                found => found,
            },
            Value(word) => {
                call.words.push(word);
                if call.words.len() >= words_with_options {
                    call.words.extend(from.raw_args()?);
                    break;
                }
                continue;
            }
        };
        match found {
            Some((name, _, Takes::Value)) => call.options.push((name, from.value()?)),
            Some((name, _, Takes::Nothing)) => match from.optional_value() {
                Some(value) if value == "false" => {}
                _ => call.options.push((name, OsString::new())),
            },
            None => {}
        }
    }
    Ok(Asked::Call(call))
}
