//! What a payload under Landlock can still do: files, TCP ports, abstract sockets, signals.
//!
//! Kernel objects: those that the payload tries, by itself, each with its error number. Invariant: what is denied works
//! in the same container without the rule.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command as Process;

use ampoule::{
    Builder, Container, Control, ErrorKind, Landlock, LandlockScope, Namespace, NewPrivileges,
    Output, Stage, State,
};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, test_kill_process};

use super::{is_error, print, refused, rooted, run};
use crate::oracle::{fixture, payload};

pub(crate) const DENIED: i32 = 13;
pub(super) const REFUSED: i32 = 111;
pub(crate) const NOT_PERMITTED: i32 = 1;

/// What `payload_main` does: each word is tried, and its error number, or 0, printed.
pub(crate) fn payload_main() {
    let Some(words) = payload::verb() else { return };
    let tried = words.split(' ').map(|word| format!("{word}={}", attempt(word)));
    payload::print_report(&tried.collect::<Vec<_>>().join(" "));
}

fn attempt(word: &str) -> i32 {
    let (verb, about) = word.split_once(':').expect("a verb");
    let port = || about.parse::<u16>().expect("a port");
    let done: io::Result<()> = match verb {
        "read" => fs::read(about).map(drop),
        "list" => fs::read_dir(about).map(drop),
        "write" => fs::OpenOptions::new().write(true).open(about).map(drop),
        "truncate" => open(about, OFlags::TRUNC, Mode::empty()).map(drop).map_err(io::Error::from),
        "make" => fs::create_dir(about),
        "move" => {
            let above = Path::new(about).parent().and_then(Path::parent).expect("two directories");
            fs::rename(about, above.join("b/moved"))
        }
        "run" => Process::new(about).status().map(drop),
        "connect" => TcpStream::connect(("127.0.0.1", port())).map(drop),
        "bind" => TcpListener::bind(("127.0.0.1", port())).map(drop),
        "abstract" => SocketAddr::from_abstract_name(about)
            .and_then(|address| UnixStream::connect_addr(&address))
            .map(drop),
        "signal" => {
            let pid = Pid::from_raw(about.parse().expect("a process id")).expect("not 0");
            test_kill_process(pid).map_err(io::Error::from)
        }
        _ => panic!("{verb}"),
    };
    done.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1))
}

/// What the test binary needs to run.
pub(crate) fn program_only() -> Landlock {
    let own = payload::own_program("");
    let directory = own.program.parent().expect("a directory");
    Landlock::new().execute(directory).execute("/usr").read("/etc").read("/proc")
}

/// Tries words in a container; the error numbers by word.
#[track_caller]
fn tries(builder: Builder, words: &[&str]) -> BTreeMap<String, i32> {
    let own = payload::own_program(&words.join(" "));
    let command = builder.command(&own.program).args(own.args).env(own.env.0, own.env.1);
    numbers(command.output().unwrap_or_else(|error| panic!("{error}")))
}

/// What `payload_main` has printed.
#[track_caller]
pub(super) fn numbers(output: Output) -> BTreeMap<String, i32> {
    let text = super::printed(output);
    let report = payload::report(&text).unwrap_or_else(|| panic!("{text}"));
    let one = |pair: &str| {
        let (word, number) = pair.rsplit_once('=').expect("a pair");
        (word.to_owned(), number.parse().expect("a number"))
    };
    report.split(' ').map(one).collect()
}

/// Tries words that must give these numbers with the rules, and other ones without.
#[track_caller]
fn denies(builder: Builder, rules: Landlock, wanted: &[(&str, i32)]) {
    let words: Vec<&str> = wanted.iter().map(|(word, _)| *word).collect();
    let with = tries(builder.clone().landlock(rules), &words);
    for (word, number) in wanted {
        assert_eq!(with.get(*word), Some(number), "{word}: {with:?}");
    }
    let without = tries(builder, &words);
    let denied = wanted.iter().filter(|(_, number)| [DENIED, NOT_PERMITTED].contains(number));
    for (word, number) in denied {
        assert_ne!(without.get(*word), Some(number), "{word} is denied without the rule, too");
    }
}

/// Tries words in a process that joins.
#[track_caller]
pub(super) fn tries_in(container: &Container, words: &[&str]) -> BTreeMap<String, i32> {
    let own = payload::own_program(&words.join(" "));
    let exec = container.exec(&own.program).args(own.args).env(own.env.0, own.env.1);
    numbers(exec.output().unwrap_or_else(|error| panic!("{error}")))
}

/// Tries words in a process that joins, which must give these numbers.
#[track_caller]
pub(crate) fn denies_in(container: &Container, wanted: &[(&str, i32)]) {
    let words: Vec<&str> = wanted.iter().map(|(word, _)| *word).collect();
    let seen = tries_in(container, &words);
    for (word, number) in wanted {
        assert_eq!(seen.get(*word), Some(number), "{word}: {seen:?}");
    }
}

/// Two directories for the rules and one outside, each with a file.
fn directories() -> tempfile::TempDir {
    let place = fixture::directory("landlock");
    for name in ["a", "b", "out"] {
        let directory = place.path().join(name);
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("file"), "text").expect("a file");
    }
    fs::copy("/bin/true", place.path().join("a/true")).expect("a program");
    place
}

fn path(place: &Path, verb: &str, name: &str) -> String {
    format!("{verb}:{}", place.join(name).display())
}

pub(crate) fn files_outside_the_rules_are_denied() {
    let place = directories();
    let at = |verb, name| path(place.path(), verb, name);
    let rules = program_only().read(place.path().join("a"));
    let wanted = [
        (at("read", "a/file"), 0),
        (at("list", "a"), 0),
        (at("write", "a/file"), DENIED),
        (at("truncate", "a/file"), DENIED),
        (at("make", "a/made"), DENIED),
        (at("run", "a/true"), DENIED),
        (at("read", "out/file"), DENIED),
        (at("list", "out"), DENIED),
        (at("truncate", "out/file"), DENIED),
        (at("make", "out/made"), DENIED),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(word, number)| (word.as_str(), *number)).collect();
    denies(Container::bare(), rules, &wanted);
}

pub(crate) fn what_may_be_written_can_be_made_and_moved_but_not_run() {
    let place = directories();
    let at = |verb, name| path(place.path(), verb, name);
    let inside = |name| place.path().join(name);
    let rules = program_only().read_write(inside("a")).read_write(inside("b"));
    let wanted = [
        (at("run", "a/true"), DENIED),
        (at("write", "a/file"), 0),
        (at("truncate", "a/file"), 0),
        (at("move", "a/file"), 0),
        (at("make", "b/made"), 0),
        (at("write", "out/file"), DENIED),
        (at("make", "out/made"), DENIED),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(word, number)| (word.as_str(), *number)).collect();
    let words: Vec<_> = wanted.iter().map(|(word, _)| *word).collect();
    let seen = tries(Container::bare().landlock(rules), &words);
    for (word, number) in &wanted {
        assert_eq!(seen.get(*word), Some(number), "{word}: {seen:?}");
    }
    assert_eq!(fs::read(inside("b/moved")).expect("the moved file"), b"");
}

/// A rule can name one file, too.
pub(crate) fn a_rule_for_a_file_holds_for_it_alone() {
    let place = directories();
    let at = |verb, name| path(place.path(), verb, name);
    let rules = program_only().read_write(place.path().join("a/file"));
    let wanted =
        [(at("write", "a/file"), 0), (at("list", "a"), DENIED), (at("read", "a/true"), DENIED)];
    let wanted: Vec<_> = wanted.iter().map(|(word, number)| (word.as_str(), *number)).collect();
    denies(Container::bare(), rules, &wanted);
}

/// The paths of rules are those of the container, and are looked up in it.
pub(crate) fn paths_are_those_of_the_containers_root() {
    let root = fixture::rootfs()
        .with_file("home/app/secret", "secret", 0o644)
        .with_file("srv/data/file", "data", 0o644)
        // On the host this leads somewhere else.
        .with_symlink("link", "/srv/data");
    let rules =
        Landlock::new().execute("/bin").read("/link").read("/etc/passwd").read_write("/dev/null");
    let script = "cat /srv/data/file; head -c 4 /etc/passwd; \
        cat /home/app/secret 2>/dev/null || echo denied; \
        cat /etc/group 2>/dev/null || echo denied; ls / 2>/dev/null || echo denied; \
        true >/dev/null && echo made; true 2>/dev/null >/tmp/x || echo denied";
    let plan = || rooted(&root).landlock(rules.clone());
    assert_eq!(
        print(plan(), script),
        "dataroot".to_owned() + "denied\n".repeat(3).as_str() + "made\ndenied\n"
    );
}

/// A ruleset is the launch's own where the root is: the same plan gives the same each time.
pub(crate) fn every_launch_of_a_plan_has_the_same_rules() {
    let root = fixture::rootfs();
    let rules = Landlock::new().execute("/bin").read_write("/tmp");
    for builder in [rooted(&root), Container::bare()] {
        let rules = rules.clone().execute("/usr").read("/etc");
        let script = "echo > /tmp/$0 && rm /tmp/$0; ls /home 2>/dev/null || echo denied";
        let command = builder.landlock(rules).command("/bin/sh").args(["-c", script]);
        let name = format!("ampoule-test-{}-landlock", std::process::id());
        let plan = command.arg(name).plan().expect("a plan");
        for _ in 0..3 {
            let output = plan.launch().output().expect("a run");
            assert_eq!(super::printed(output), "denied\n");
        }
    }
}

/// A view of the host that has the test binary.
pub(crate) fn view() -> Builder {
    let own = payload::own_program("");
    Container::host_view().bind(own.program.parent().expect("a directory"))
}

pub(crate) fn ports_without_a_rule_are_denied() {
    // Nobody listens in the new network namespace: what is allowed is refused by the peer.
    let wanted =
        [("connect:9", REFUSED), ("connect:10", DENIED), ("bind:8000", 0), ("bind:8001", DENIED)];
    denies(view(), Landlock::new().connect_tcp(9).bind_tcp(8000), &wanted);
    let with_files = program_only().connect_tcp(9).bind_tcp(8000);
    denies(view(), with_files, &wanted);
    denies(view(), Landlock::new().deny_tcp(), &[("connect:9", DENIED), ("bind:8000", DENIED)]);
    let bare = Container::bare();
    denies(bare, Landlock::new().bind_tcp(0), &[("connect:9", DENIED), ("bind:0", 0)]);
}

pub(crate) fn scopes_end_at_the_payloads_own_processes() {
    let name = format!("ampoule-test-{}-landlock", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("an abstract socket");
    let socket = format!("abstract:{name}");
    let signal = format!("signal:{}", std::process::id());
    let own = |scope| Landlock::new().scope(scope);
    let one = own(LandlockScope::Signal);
    denies(Container::bare(), one, &[(&signal, NOT_PERMITTED), (&socket, 0)]);
    let other = own(LandlockScope::AbstractUnixSocket);
    denies(Container::bare(), other, &[(&socket, NOT_PERMITTED), (&signal, 0)]);
    drop(listener);
    // Signals between the payload's own processes, and from the host, still arrive.
    let builder = Container::bare().landlock(own(LandlockScope::Signal));
    let status = run(builder.clone(), "sleep 60 & kill $! && wait $!; exit 7").status;
    assert_eq!(status.code(), Some(7));
    let mut container = builder.command("sleep").arg("60").spawn().expect("a container");
    container.kill(9).expect("a signal");
    assert_eq!(container.wait().expect("a status").signal(), Some(9));
}

pub(crate) fn what_cannot_be_opened_is_an_error() {
    let missing = Landlock::new().execute("/usr").read("/ampoule/is/not/there");
    let plan = Container::bare().landlock(missing.clone()).command("true").plan();
    let words = ["landlock", "/ampoule/is/not/there", "No such file"];
    is_error(&refused(plan), ErrorKind::FileSystem, Stage::Plan, &words);
    // In a root of its own it is known at the launch.
    let plan = Container::host_view().landlock(missing).command("true").plan().expect("a plan");
    let error = refused(plan.launch().status());
    is_error(&error, ErrorKind::FileSystem, Stage::Process, &["openat2", words[1], words[2]]);
    let command = || Container::host_view().command("true");
    assert!(command().status().expect("a run").success());
    let builder = Container::host_view().landlock(Landlock::new().read("/usr"));
    let error = refused(builder.command("true").status());
    let words = ["true", "Landlock: execute() must cover"];
    is_error(&error, ErrorKind::ProgramNotExecutable, Stage::Exec, &words);
}

pub(crate) fn the_report_says_what_is_denied() {
    let plan = |builder: Builder| builder.command("true").plan().expect("a plan");
    assert_eq!(plan(Container::bare()).report().state(Control::Landlock), Some(&State::Off));
    let rules = Landlock::new().execute("/").connect_tcp(443).scope(LandlockScope::Signal);
    let builder = Container::bare().best_effort(Control::Landlock).landlock(rules);
    let wanted = "denied: files but 1 paths; TCP but connect [443], bind []; signals";
    let state = plan(builder.clone()).report().state(Control::Landlock).cloned();
    assert_eq!(state, Some(State::InForce(wanted.to_owned())));
    let text = plan(builder.share(Namespace::Net)).to_string();
    assert_eq!(text.matches("landlock_restrict_self(plan:").count(), 1, "{text}");
    assert!(!text.contains("landlock_create_ruleset"), "{text}");
    let builder = Container::bare().new_privileges(NewPrivileges::Allowed);
    let refusal = refused(builder.landlock(Landlock::new().deny_tcp()).command("true").plan());
    is_error(&refusal, ErrorKind::InvalidSettings, Stage::Plan, &["landlock", "new_privileges"]);
}
