//! How do I keep containers that go on when my program ends: what is a small Podman made of?

mod container;
mod life;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::background;
use ampoule_examples::verbs::Call;
use container::{Engine, Saved};

const HELP: &str = "\
Containers that go on when this program ends, without a daemon.

Usage: engine [--root DIR] [--store DIR] VERB [OPTIONS] [CONTAINER] [WORDS…]

  create [OPTIONS] IMAGE [WORDS…]   a container: its own layer over the image's, and its config.json
  run [OPTIONS] IMAGE [WORDS…]      create and start; shows the output to the end, or with -d its id
  start CONTAINER…                  starts the program; what was written before is still there
  exec [-i] [-t] CONTAINER WORDS…   a further program; -e NAME=VALUE
  stop [-t SECONDS] CONTAINER…      asks it to end, and kills it after 10 seconds
  kill [-s SIGNAL] CONTAINER…       sends a signal (KILL)
  wait CONTAINER…                   waits for the end, shows the exit code
  rm [-f] CONTAINER…                removes it and what it wrote; with -f also one that runs
  mount CONTAINER…                  its files in a directory of the host, until it starts or umount(8)
  ps [-a] [-q]                      the containers that run; with -a all, with -q their ids alone
  top CONTAINER…                    its processes, with scheduling class, real-time priority and nice value
  stats [CONTAINER…]                what they use, in one second
  logs [-f] CONTAINER…              what it wrote; with -f until it ends
  inspect CONTAINER…                everything about it, as JSON
  info                              this machine, and where everything is

create, run: --name NAME -h, --hostname NAME -m, --memory SIZE --cpus NUMBER --pids-limit NUMBER -t, --tty
             -v, --volume SRC:DST[:ro|rw][,z|,Z]   (z, Z: an SELinux label)      run: -d, --detach --rm

--root DIR   where containers are: /var/lib/ampoule/engine for root, ampoule/engine in $XDG_DATA_HOME otherwise
--store DIR  where images are, as for the example `image`; an IMAGE is a name there, or a path (./x.tar, oci:DIR)

A container is said by its name, its id, or the beginning of that. The exit code is the program's, 128 + N when signal
N ended it; 125 when this engine failed, 126 for a program that cannot be executed, 127 for one that is not there.
";

/// What a verb does: something with each container of its words, which gives a text, or something of its own.
#[derive(Clone, Copy)]
enum Does {
    Each(fn(&Engine, &Call, &Saved) -> Result<String, Failure>),
    Once(fn(&Engine, &Call) -> Result<u8, Failure>),
}
use Does::{Each, Once};

const RUN: &str = "name= hostname|h= memory|m= cpus= pids-limit= volume|v= tty|t detach|d rm";
const ALL: usize = usize::MAX;

/// Each verb with its options, and behind how many words everything is a word.
const VERBS: &[(&str, &str, usize, Does)] = &[
    ("create", RUN, 1, Once(life::create)),
    ("run", RUN, 1, Once(life::run)),
    ("start", "", ALL, Each(life::start)),
    ("attend", "", ALL, Each(life::attend)),
    ("exec", "interactive|i tty|t env|e=", 1, Once(life::exec)),
    ("stop", "time|t=", ALL, Each(life::stop)),
    ("kill", "signal|s=", ALL, Each(life::kill)),
    ("wait", "", ALL, Each(life::wait)),
    ("rm", "force|f", ALL, Each(life::remove)),
    ("mount", "", ALL, Each(life::mount)),
    ("ps", "all|a quiet|q", ALL, Once(show::ps)),
    ("top", "", ALL, Each(show::top)),
    ("stats", "no-stream", ALL, Once(show::stats)),
    ("logs", "follow|f", ALL, Each(show::logs)),
    ("inspect", "", ALL, Once(show::inspect)),
    ("info", "", ALL, Once(show::info)),
];

fn main() -> ExitCode {
    background::exit("engine", answer(lexopt::Parser::from_env()))
}

fn answer(mut from: lexopt::Parser) -> Result<u8, Failure> {
    use lexopt::Arg::{Long, Short, Value};
    let (mut root, mut store) = (None::<PathBuf>, None::<PathBuf>);
    let verb = loop {
        match from.next()? {
            None | Some(Short('h') | Long("help")) => return print(HELP).map(|()| 0),
            Some(Long("root")) => root = Some(std::path::absolute(from.value()?)?),
            Some(Long("store")) => store = Some(std::path::absolute(from.value()?)?),
            Some(Value(verb)) => break verb.to_string_lossy().into_owned(),
            Some(other) => return Err(other.unexpected().into()),
        }
    };
    let found = VERBS.iter().find(|(name, ..)| *name == verb);
    let (verb, options, words, does) = *found.ok_or_else(|| format!("there is no verb {verb}"))?;
    let Some(call) = Call::parse(verb, options, words, from)? else {
        return print(HELP).map(|()| 0);
    };
    let engine = Engine::open(root, store.as_deref())?;
    match does {
        Once(done) => done(&engine, &call),
        Each(done) => {
            let mut named = engine.named(&call)?.into_iter();
            named.try_for_each(|saved| print(&done(&engine, &call, &saved)?)).map(|()| 0)
        }
    }
}
