//! The command line: global options, a command, and its options before and behind the container's id.

use std::ffi::OsStr;
use std::path::PathBuf;

use ampoule::oci::Inherited;
use ampoule::{Kept, StateDirectory};
use ampoule_examples::arguments::Failure;
use ampoule_examples::verbs::Call;
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
      --cgroup-manager NAME cgroupfs, systemd or disabled
      --systemd-cgroup      as --cgroup-manager systemd: groups are in scopes
      --rootless[=]BOOL     whether the caller is an ordinary user (auto)
      --config FILE         instead of the bundle's config.json
      --debug --version --help

create, run, exec: --console-socket PATH --pid-file FILE --pidfd-socket PATH
                   --preserve-fds N --detach
";

// With `no-new-keyring` there is one all the same, without a name: it holds none of the caller's keys, the safer of both.
const CREATE: &str = "bundle|b= config|f= console-socket= pid-file= pidfd-socket= preserve-fds= no-pivot no-new-keyring \
    detach|d keep";
const EXEC: &str = "process|p= console-socket= pid-file= pidfd-socket= preserve-fds= cwd= env|e= user|u= tty|t detach|d";
const UPDATE: &str = "resources|r= memory= memory-reservation= memory-swap= cpu-period= cpu-quota= cpu-share= cpu-shares= \
    cpuset-cpus= cpuset-mems= blkio-weight= pids-limit=";

/// Each command with its options, and how many words may be options.
const COMMANDS: &[(&str, &str, usize)] = &[
    ("create", CREATE, usize::MAX),
    ("run", CREATE, usize::MAX),
    ("start", "", usize::MAX),
    ("exec", EXEC, 2),
    ("state", "", usize::MAX),
    ("kill", "all|a", usize::MAX),
    ("delete", "force|f", usize::MAX),
    ("list", "format|f= quiet|q", usize::MAX),
    ("ps", "format|f=", 1),
    ("pause", "", usize::MAX),
    ("resume", "", usize::MAX),
    ("update", UPDATE, usize::MAX),
    ("events", "stats interval=", usize::MAX),
    ("spec", "bundle|b= rootless", usize::MAX),
    ("features", "", usize::MAX),
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
    /// Nobody: it stays in the caller's.
    Disabled,
}

pub(crate) enum Asked {
    Help,
    Version,
    Call(Call),
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

/// The container's id.
pub(crate) fn id(call: &Call) -> Result<&str, Failure> {
    let id = call.words.first().ok_or("no container id given (see --help)")?;
    Ok(id.to_str().ok_or("the container id is not UTF-8")?)
}

pub(crate) fn container(states: &StateDirectory, call: &Call) -> Result<Kept, Failure> {
    Ok(states.get(id(call)?)?)
}

/// Descriptors from 3 on that go to the payload, as many as was said.
pub(crate) fn inherited(call: &Call) -> Result<Inherited, Failure> {
    Ok(Inherited::collect(call.parsed("preserve-fds")?.unwrap_or(0))?)
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
            "disabled" => to.groups = Groups::Disabled,
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

fn call(verb: &str, from: lexopt::Parser) -> Result<Asked, Failure> {
    let found = COMMANDS.iter().find(|(name, ..)| *name == verb);
    let Some((verb, options, words)) = found.copied() else {
        return Err(format!("there is no command {verb} (see --help)").into());
    };
    Ok(Call::parse(verb, options, words, from)?.map_or(Asked::Help, Asked::Call))
}
