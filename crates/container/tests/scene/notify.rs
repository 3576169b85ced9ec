//! Filters that ask the host, and recordings, for every tier.
//!
//! Kernel objects: whole containers, the listener of their filter. Invariant: whatever is not answered, the host goes on
//! and nothing is left.

use std::time::{Duration, Instant};

use ampoule::seccomp::notify::{Listener, Received, Request};
use ampoule::seccomp::{Filter, Profile};
use ampoule::{Builder, Container, Outcome, Seccomp, Stdio};

use super::{print, printed, rooted, run, shell};
use crate::oracle::fixture;

const EACCES: u16 = 13;

/// The default profile, but directories are made by the host.
fn asking() -> Filter {
    Filter::default_profile().notify(["mkdir", "mkdirat"])
}

#[track_caller]
fn next(listener: &Listener) -> Option<Request> {
    match listener.receive(Some(Duration::from_secs(10))).expect("a listener") {
        Received::Request(request) => Some(request),
        Received::NobodyLeft => None,
        other => panic!("{other:?}"),
    }
}

fn path(listener: &Listener, request: &Request) -> String {
    let at = usize::from(request.name() == Some("mkdirat"));
    let text = listener.read_text(request, request.call.args[at], 4096).expect("a path");
    text.into_string().expect("UTF-8")
}

pub(crate) fn directories_are_made_by_the_host() {
    let root = fixture::rootfs();
    let script = "mkdir /nowhere/a && echo made; mkdir /nowhere/b || echo refused; mkdir -p /tmp/own && ls -d /tmp/own";
    for pid1 in [ampoule::Pid1::Reaper, ampoule::Pid1::Payload] {
        let builder = rooted(&root).seccomp(asking()).pid1(pid1);
        let command = shell(builder, script).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut container = command.spawn().expect("a start");
        let listener = container.listener.take().expect("a listener");
        let mut asked = Vec::new();
        while let Some(request) = next(&listener) {
            let path = path(&listener, &request);
            match path.as_str() {
                "/nowhere/a" => listener.answer(&request, 0),
                "/nowhere/b" => listener.refuse(&request, EACCES),
                _ => listener.proceed(&request),
            }
            .expect("an answer");
            asked.push(path);
        }
        let mut out = String::new();
        let mut stdout = container.stdout.take().expect("a pipe");
        std::io::Read::read_to_string(&mut stdout, &mut out).expect("text");
        assert_eq!(out, "made\nrefused\n/tmp/own\n");
        assert_eq!(asked.first().map(String::as_str), Some("/nowhere/a"));
        assert!(asked.iter().any(|path| path.ends_with("own")), "{asked:?}");
        assert!(container.wait().expect("an end").success());
    }
}

pub(crate) fn without_notification_there_is_no_listener() {
    let root = fixture::rootfs();
    let mut container = shell(rooted(&root), "true").spawn().expect("a start");
    assert!(container.listener.is_none());
    container.wait().expect("an end");
}

/// Each loads the filter anew: who answers one of them sees nothing of the other.
pub(crate) fn each_process_that_joins_has_its_own_listener() {
    let root = fixture::rootfs();
    let container = rooted(&root).seccomp(asking()).idle().expect("a container");
    let exec = |script: &str| {
        let exec = container.exec("/bin/sh").args(["-c", script]);
        exec.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process")
    };
    let script = |name: &str| format!("mkdir /nowhere/{name} && echo made || echo refused");
    let mut two = [exec(&script("a")), exec(&script("b"))];
    let listeners = two.each_mut().map(|process| process.listener.take().expect("a listener"));
    // The second one first.
    for (at, wanted) in [(1, "/nowhere/b"), (0, "/nowhere/a")] {
        let request = next(&listeners[at]).expect("a request");
        assert_eq!(path(&listeners[at], &request), wanted);
        match at {
            0 => listeners[at].answer(&request, 0).expect("an answer"),
            _ => listeners[at].refuse(&request, EACCES).expect("an answer"),
        }
    }
    for (process, wanted) in two.iter_mut().zip(["made\n", "refused\n"]) {
        let mut out = String::new();
        let mut stdout = process.stdout.take().expect("a pipe");
        std::io::Read::read_to_string(&mut stdout, &mut out).expect("text");
        assert_eq!(out, wanted);
        assert!(process.wait().expect("an end").success());
    }
    assert!(listeners.iter().all(|listener| next(listener).is_none()), "nobody is left");
    // One with a terminal, too; without a listener its call fails, and the program goes on.
    let exec = container.exec("/bin/sh").args(["-c", "mkdir /x || exit 7"]);
    let mut left = exec.tty(ampoule::WindowSize::default()).spawn().expect("a process");
    drop(left.listener.take().expect("a listener"));
    assert_eq!(left.wait().expect("an end").code(), Some(7));
    let plain = rooted(&root).idle().expect("a container");
    let mut process = plain.exec("true").spawn().expect("a process");
    assert!(process.listener.is_none());
    process.wait().expect("an end");
}

/// The host lives and has its deadline, however long it does not answer.
pub(crate) fn a_notification_that_is_never_answered() {
    let root = fixture::rootfs();
    let started = Instant::now();
    let command = shell(rooted(&root).seccomp(asking()), "mkdir /x");
    let mut kept = command.timeout(Duration::from_millis(300)).spawn().expect("a start");
    assert_eq!(kept.wait().expect("an end").outcome(), Outcome::TimedOut);
    // Nobody waits for one that is dropped.
    drop(shell(rooted(&root).seccomp(asking()), "mkdir /x").spawn().expect("a start"));
    // Without a listener the call fails; its program goes on.
    let mut left = shell(rooted(&root).seccomp(asking()), "mkdir /x 2>/dev/null || exit 7")
        .spawn()
        .expect("a start");
    drop(left.listener.take());
    assert_eq!(left.wait().expect("an end").code(), Some(7));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// Everything in one container is answered: its shell's children, too.
pub(crate) fn what_was_recorded_runs_again() {
    let root = fixture::rootfs();
    let script = "cd /tmp && mkdir a && echo x > a/b && cat a/b | sort && rm -r a && id -u";
    let wanted = print(rooted(&root), script);
    let record = |builder: Builder| {
        let command = shell(builder, script).stdout(Stdio::null());
        let (status, recording) = command.timeout(Duration::from_secs(20)).record().expect("a run");
        assert!(status.success(), "{status}");
        recording
    };
    let recording = record(rooted(&root));
    let calls: Vec<_> = recording.calls().collect();
    assert!(calls.contains(&"mkdir") || calls.contains(&"mkdirat"), "{calls:?}");
    let filter = recording.smallest();
    assert_eq!(print(rooted(&root).seccomp(filter.clone()), script), wanted);
    let json = filter.to_oci_json().expect("a profile");
    let profile = || Profile::from_json(json.as_bytes()).expect("a profile");
    assert_eq!(print(rooted(&root).seccomp(profile()), script), wanted);
    // What it did not do is not permitted.
    let other = run(rooted(&root).seccomp(profile()), "chmod 700 /tmp 2>/dev/null || echo refused");
    assert_eq!(printed(other), "refused\n");
}

/// Without each one of the recorded calls something goes another way: none is there for nothing. Programs that try a call
/// and do without it are why this looks at a program that does not.
pub(crate) fn nothing_is_recorded_for_nothing() {
    use crate::oracle::fixture::{Gate, one_call};
    let root = fixture::empty_rootfs();
    let number = ampoule::seccomp::syscall::number(ampoule::seccomp::Arch::native(), "sched_yield");
    let program = one_call(Gate::Native, number.expect("a call"), [0; 5]);
    let command = |seccomp: Option<Seccomp>| {
        let builder = rooted(&root).file_with_mode("/call", program.clone(), 0o755);
        seccomp.map_or(builder.clone(), |seccomp| builder.seccomp(seccomp)).command("/call")
    };
    let (status, recording) = command(None).record().expect("a run");
    assert!(status.success(), "{status}");
    assert_eq!(recording.calls().collect::<Vec<_>>(), ["sched_yield"]);
    let again = command(Some(recording.smallest().into())).status().expect("a run");
    assert!(again.success(), "{again}");
    let without = ampoule::seccomp::Recording::new().smallest();
    assert_eq!(command(Some(without.into())).status().expect("a run").code(), Some(1));
}

/// A recording ends with its time limit, whoever keeps it.
pub(crate) fn a_recording_has_a_deadline() {
    let root = fixture::rootfs();
    for pid1 in [ampoule::Pid1::Reaper, ampoule::Pid1::Payload] {
        let command = shell(rooted(&root).pid1(pid1), "while :; do : < /dev/null; done");
        let started = Instant::now();
        let (status, _) = command.timeout(Duration::from_millis(300)).record().expect("a run");
        assert_eq!(status.outcome(), Outcome::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    }
}

/// A host view, where the program is a usual one with a dynamic loader.
pub(crate) fn a_recording_of_a_usual_program() {
    let command = Container::host_view().command("ls").arg("/").stdout(Stdio::null());
    let (status, recording) = command.record().expect("a run");
    assert!(status.success(), "{status}");
    let builder = Container::host_view().seccomp(recording.smallest());
    let again = builder.command("ls").arg("/").output().expect("a run");
    assert!(again.status.success() && !again.stdout.is_empty(), "{again:?}");
}
