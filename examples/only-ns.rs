//! How do I make namespaces without a container: a new user, UTS and pid namespace, and nothing else?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ampoule_examples::arguments::{Failure, only_help};
use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{Draft, First, Launch, PidNamespace, Program, Started, Timings, process, start};
use ampoule_ns::prepared::id_maps::{self, Writer};
use ampoule_ns::{Hostname, IdMap, Namespace, NamespaceSet, Setting};
use rustix::process::{getegid, geteuid};

const HELP: &str = "\
Runs a shell in new user, UTS and pid namespaces, with the crates ampoule-ns and ampoule-init alone.

Usage: only-ns
";

const SCRIPT: &str = "\
echo \"inside:  process $$, user $(id -u), host name $(uname -n)\"; for kind in user uts pid net; do
echo \"         $(readlink /proc/self/ns/$kind)\"; done";

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    println!("outside: process {}, user {}", std::process::id(), geteuid().as_raw());
    let own = ampoule_ns::Namespaces::of(std::process::id())?;
    for kind in [Namespace::User, Namespace::Uts, Namespace::Pid, Namespace::Net] {
        println!("         {kind}:[{}]", own.get(kind).map_or(0, |id| id.inode));
    }
    let program = program()?;
    println!("steps:\n{program}");
    let started = launch(&program)?;
    process::wait_readable(&started.pidfd, None)?;
    println!("wait status: {:?}", process::reap(&started.pidfd)?);
    Ok(())
}

/// What the launcher and the first process do, in order.
fn program() -> Result<Program, Failure> {
    let new = [Namespace::User, Namespace::Uts, Namespace::Pid];
    let kinds = new
        .into_iter()
        .fold(NamespaceSet::all(Setting::Host), |set, kind| set.with(kind, Setting::New));
    // User 0 inside is who we are outside; an ordinary user may map nothing else by itself.
    let map = IdMap::single(0, 0, geteuid().as_raw(), getegid().as_raw());
    map.validate()?;
    let mut draft = Draft::default();
    let proc = draft.inherit(OwnedFd::from(std::fs::File::open("/proc")?));
    draft.launcher(l::clone_first(
        kinds.clone_flags(),
        "CLONE_NEWUSER|CLONE_NEWUTS|CLONE_NEWPID",
        None,
    ));
    for step in id_maps::prepare(&map, Writer::OwnId, proc)? {
        draft.launcher(step);
    }
    draft.launcher(l::release());
    let name = Hostname::new("only-ns")?;
    draft.first_all([
        l::wait_for_release(),
        p::sethostname(name.as_str().as_bytes()),
        l::reset_signals(),
        p::no_new_privs(),
        l::close_others(),
        l::exec(),
    ]);
    Ok(Program::seal(draft)?)
}

fn launch(program: &Program) -> Result<Started, Failure> {
    let text = |text: &str| CString::new(text);
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    Ok(start(
        program,
        &Launch {
            argv: vec![text("sh")?, text("-c")?, text(SCRIPT)?],
            env: vec![text("PATH=/usr/bin:/bin")?],
            paths: vec![text("/bin/sh")?],
            parameters: Vec::new(),
            payload_fds: (0..).zip(streams).collect(),
            fds: Vec::new(),
            host: None,
            status: None,
            kept: None,
            first: First::Payload,
            pid_namespace: PidNamespace::New,
            timeout: None,
            timings: Timings::Off,
            deadline: Instant::now() + Duration::from_secs(10),
            begin: ampoule_init::Begin::AtOnce,
            fault: None,
        },
    )?)
}
