//! The command line: a verb, its options, and words.
//!
//! Touches nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use ampoule_examples::arguments::Failure;
use lexopt::Arg::{Long, Short, Value};

pub(crate) const HELP: &str = "\
Containers that go on when this program ends, without a daemon.

Usage: engine [--root DIR] [--store DIR] VERB [OPTIONS] [CONTAINER] [WORDS…]

  create [OPTIONS] IMAGE [WORDS…]   a container: its own layer over the image's, and its config.json
  run [OPTIONS] IMAGE [WORDS…]      create and start; shows the output to the end, or with -d its id
  start CONTAINER…                  starts the program; what was written before is still there
  exec [-i] [-t] CONTAINER WORDS…   a further program; -e NAME=VALUE, -u USER, -w DIR
  stop [-t SECONDS] CONTAINER…      asks it to end, and kills it after 10 seconds
  kill [-s SIGNAL] CONTAINER…       sends a signal (KILL)
  wait CONTAINER…                   waits for the end, shows the exit code
  rm [-f] CONTAINER…                removes it and what it wrote; with -f also one that runs
  mount CONTAINER                   its files in a directory of the host; umount CONTAINER
  ps [-a] [-q]                      the containers that run; with -a all, with -q their ids alone
  top CONTAINER                     its processes, with scheduling class, real-time priority and nice value
  stats [CONTAINER…]                what they use, in one second
  logs [-f] CONTAINER               what it wrote; with -f until it ends
  inspect CONTAINER…                everything about it, as JSON
  info                              this machine, and where everything is

create, run: --name NAME -h, --hostname NAME -m, --memory SIZE --cpus NUMBER --pids-limit NUMBER -t, --tty
             -e, --env NAME=VALUE -u, --user USER -v, --volume SRC:DST[:ro|rw][,z|,Z]   (z, Z: an SELinux label)
run:         -d, --detach --rm

--root DIR   where containers are: /var/lib/ampoule/engine for root, ampoule/engine in $XDG_DATA_HOME otherwise
--store DIR  where images are, as for the example `image`; an IMAGE is a name there, or a path (./x.tar, oci:DIR)

A container is said by its name, its id, or the beginning of that. The exit code is the program's, 128 + N when signal
N ended it; 125 when this engine failed, 126 for a program that cannot be executed, 127 for one that is not there.
";

/// Options of a verb: long name, short name, and whether there is a value.
type Options = &'static [(&'static str, char, bool)];

const CREATE: Options = &[
    ("name", '\0', true),
    ("hostname", 'h', true),
    ("memory", 'm', true),
    ("cpus", '\0', true),
    ("pids-limit", '\0', true),
    ("volume", 'v', true),
    ("env", 'e', true),
    ("user", 'u', true),
    ("tty", 't', false),
    ("detach", 'd', false),
    ("rm", '\0', false),
];
const EXEC: Options = &[
    ("interactive", 'i', false),
    ("tty", 't', false),
    ("env", 'e', true),
    ("user", 'u', true),
    ("workdir", 'w', true),
];

/// Each verb with its options; behind a word of some everything is a word.
const VERBS: &[(&str, Options, usize)] = &[
    ("create", CREATE, 1),
    ("run", CREATE, 1),
    ("start", &[("attend", '\0', false)], usize::MAX),
    ("exec", EXEC, 1),
    ("stop", &[("time", 't', true)], usize::MAX),
    ("kill", &[("signal", 's', true)], usize::MAX),
    ("wait", &[], usize::MAX),
    ("rm", &[("force", 'f', false)], usize::MAX),
    ("mount", &[], usize::MAX),
    ("umount", &[], usize::MAX),
    ("ps", &[("all", 'a', false), ("quiet", 'q', false)], usize::MAX),
    ("top", &[], usize::MAX),
    ("stats", &[("no-stream", '\0', false)], usize::MAX),
    ("logs", &[("follow", 'f', false)], usize::MAX),
    ("inspect", &[], usize::MAX),
    ("info", &[], usize::MAX),
];

/// A verb with its options and words.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) root: Option<PathBuf>,
    pub(crate) store: Option<PathBuf>,
    pub(crate) verb: &'static str,
    options: Vec<(&'static str, OsString)>,
    pub(crate) words: Vec<OsString>,
}

impl Call {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        let named = self.options.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, value)| value.as_os_str())
    }

    /// The last one counts.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        self.all(name).last().map(|value| value.to_string_lossy().into_owned())
    }

    /// The first word: a container or an image.
    pub(crate) fn first(&self) -> Result<String, Failure> {
        let word = self.words.first().ok_or_else(|| format!("{}: of what?", self.verb))?;
        Ok(word.to_string_lossy().into_owned())
    }

    /// The words behind it.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &OsString> {
        self.words.iter().skip(1)
    }
}

/// Takes the command line; `None` when the help was asked for.
pub(crate) fn parse(mut from: lexopt::Parser) -> Result<Option<Call>, Failure> {
    let mut call = Call::default();
    let verb = loop {
        match from.next()? {
            None | Some(Short('h') | Long("help")) => return Ok(None),
            Some(Long("root")) => call.root = Some(std::path::absolute(from.value()?)?),
            Some(Long("store")) => call.store = Some(std::path::absolute(from.value()?)?),
            Some(Value(verb)) => break verb.to_string_lossy().into_owned(),
            Some(other) => return Err(other.unexpected().into()),
        }
    };
    let found = VERBS.iter().find(|(name, ..)| *name == verb);
    let (verb, known, words) = found.ok_or_else(|| format!("there is no verb {verb}"))?;
    call.verb = verb;
    while let Some(argument) = from.next()? {
        let option = match argument {
            Long("help") => return Ok(None),
            Long(name) => known.iter().find(|(long, ..)| *long == name),
            Short(name) => known.iter().find(|(_, short, _)| *short == name),
            Value(word) => {
                call.words.push(word);
                if call.words.len() == *words {
                    call.words.extend(from.raw_args()?);
                }
                continue;
            }
        };
        match option {
            Some((name, _, true)) => call.options.push((name, from.value()?)),
            Some((name, ..)) => call.options.push((name, OsString::new())),
            None => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(call))
}
