//! How do I run a command in the namespaces of another process, all of them or some?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

use std::ffi::OsString;
use std::process::ExitCode;

use ampoule::{
    Builder, Capabilities, CapabilitySet, Container, Namespace, NewPrivileges, Pid1, Setting,
    Target, User,
};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::{self, FAILED, Signals};
use ampoule_examples::terminal;

const HELP: &str = "\
Runs a command, or a shell, in the namespaces of a process.

Usage: nsenter -t PID [-a] [-m] [-u] [-i] [-n] [-p] [-U] [-C] [-T] [-S UID] [-G GID] [COMMAND [ARGUMENTS]]

  -t, --target PID  the process
  -a, --all         every namespace in which it is and we are not
  -m, --mount  -u, --uts  -i, --ipc  -n, --net  -p, --pid  -U, --user  -C, --cgroup  -T, --time
  -S, --setuid UID  -G, --setgid GID  who the command runs as; 0 when the user namespace is joined
  -h, --help        this text
";

#[derive(Default)]
struct Options {
    target: Option<u32>,
    kinds: Vec<Namespace>,
    all: Option<All>,
    uid: Option<u32>,
    gid: Option<u32>,
    words: Vec<OsString>,
}

struct All;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("nsenter: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run() -> Result<u8, Failure> {
    let Some(options) = parse(lexopt::Parser::from_env())? else { return print(HELP).map(|()| 0) };
    let builder = builder(&options)?;
    let interactive = options.words.is_empty();
    let mut words = options.words.into_iter();
    let program = words.next().unwrap_or_else(|| "/bin/sh".into());
    let mut command = builder.command(program).args(words).env_clear().envs(std::env::vars_os());
    if interactive && rustix::termios::isatty(rustix::stdio::stdin()) {
        command = command.tty(terminal::window_size());
    }
    let mut signals = Signals::catch()?;
    let mut container = command.spawn()?;
    let status = terminal::run(&mut container, &mut signals, None)?;
    Ok(foreground::exit_code(&status))
}

fn parse(mut arguments: lexopt::Parser) -> Result<Option<Options>, Failure> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('t') | Long("target") => options.target = Some(arguments.value()?.parse()?),
            Short('a') | Long("all") => options.all = Some(All),
            Short('S') | Long("setuid") => options.uid = Some(arguments.value()?.parse()?),
            Short('G') | Long("setgid") => options.gid = Some(arguments.value()?.parse()?),
            Short('h') | Long("help") => return Ok(None),
            Value(word) => {
                options.words = std::iter::once(word).chain(arguments.raw_args()?).collect();
            }
            Short(letter) => options.kinds.push(by_letter(letter).ok_or(argument.unexpected())?),
            Long(name) => options.kinds.push(name.parse()?),
        }
    }
    Ok(Some(options))
}

fn by_letter(letter: char) -> Option<Namespace> {
    Some(match letter {
        'm' => Namespace::Mount,
        'u' => Namespace::Uts,
        'i' => Namespace::Ipc,
        'n' => Namespace::Net,
        'p' => Namespace::Pid,
        'U' => Namespace::User,
        'C' => Namespace::Cgroup,
        'T' => Namespace::Time,
        _ => return None,
    })
}

/// Nothing but the joins: the caller's own privileges, as far as they go in there.
fn builder(options: &Options) -> Result<Builder, Failure> {
    let target = options.target.ok_or("no process given (see --help)")?;
    let kinds = match options.all {
        Some(All) => differing(target)?,
        None => options.kinds.clone(),
    };
    let mut builder = Container::bare().pid1(Pid1::Payload).new_privileges(NewPrivileges::Allowed);
    for kind in &kinds {
        builder = builder.namespace(*kind, Setting::Join(Target::Pid(target)));
    }
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let default = if kinds.contains(&Namespace::User) { (0, 0) } else { own };
    let user = (options.uid.unwrap_or(default.0), options.gid.unwrap_or(default.1));
    if user.0 == 0 {
        // Who joins a user namespace has every capability in it; otherwise it is what this program has.
        let all = kinds.contains(&Namespace::User).then_some(CapabilitySet::ALL);
        builder = builder.capabilities(Capabilities::of(all.unwrap_or_else(own_capabilities)));
    }
    Ok(builder.user(User::ids(user.0, user.1)))
}

/// What this program has of the capabilities (proc_pid_status(5)).
fn own_capabilities() -> CapabilitySet {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name| {
        let digits = status.lines().find_map(|line: &str| line.strip_prefix(name));
        digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
    };
    CapabilitySet::from_bits_truncate(of("CapPrm:") & of("CapBnd:"))
}

/// The kinds in which a process differs from this one.
fn differing(pid: u32) -> Result<Vec<Namespace>, Failure> {
    let (own, other) =
        (ampoule_ns::Namespaces::of(std::process::id())?, ampoule_ns::Namespaces::of(pid)?);
    Ok(Namespace::ALL.into_iter().filter(|kind| own.get(*kind) != other.get(*kind)).collect())
}
