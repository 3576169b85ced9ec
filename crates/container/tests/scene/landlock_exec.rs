//! Processes that join a container whose payload is under Landlock, or that has no payload.
//!
//! Kernel objects: as in [`super::landlock`]. Invariant: what joins may do nothing that the payload may not.

use std::io::Read;

use ampoule::{
    Container, Control, ErrorKind, Landlock, LandlockScope, Process, Stage, State, Stdio,
    WindowSize,
};

use super::landlock::{DENIED, NOT_PERMITTED, REFUSED, denies_in, program_only, tries_in, view};
use super::{is_error, printed, refused, rooted};
use crate::oracle::fixture;

#[track_caller]
fn print_in(container: &Container, script: &str) -> String {
    let output = container.exec("/bin/sh").args(["-c", script]).output();
    printed(output.unwrap_or_else(|error| panic!("{script}: {error}")))
}

/// A payload that stays.
fn sleeper(builder: ampoule::Builder) -> Container {
    let command = builder.command("sleep").arg("1000").stdin(Stdio::null());
    command.spawn().expect("a container")
}

/// Rules that a plan builds, and rules that each launch builds in its own root.
pub(crate) fn what_joins_has_the_rules() {
    let ports = [("connect:9", REFUSED), ("connect:10", DENIED), ("bind:8001", DENIED)];
    let container = sleeper(view().landlock(Landlock::new().connect_tcp(9)));
    denies_in(&container, &ports);
    let files = [("read:/etc/passwd", 0), ("list:/", DENIED), ("make:/tmp/x", DENIED)];
    let rules = program_only().connect_tcp(9);
    let container = sleeper(view().landlock(rules));
    denies_in(&container, &[&ports[..], &files[..]].concat());
    denies_in(&container, &[&ports[..], &files[..]].concat());
    let without = tries_in(&sleeper(view()), &["connect:10", "bind:8001", "list:/"]);
    assert!(without.values().all(|number| *number != DENIED), "{without:?}");
}

pub(crate) fn what_joins_an_idle_container_has_the_rules() {
    let root = fixture::rootfs().with_file("srv/secret", "secret", 0o644);
    let rules = || Landlock::new().execute("/bin").read("/proc").read_write("/tmp");
    let idle = rooted(&root).landlock(rules()).idle().expect("a container");
    let script = "cat /srv/secret 2>/dev/null || echo denied; echo x > /tmp/x && cat /tmp/x; \
        echo x 2>/dev/null > /srv/x || echo denied; ls /proc/self/fd | tr '\\n' ' '";
    for _ in 0..2 {
        assert_eq!(print_in(&idle, script), "denied\nx\ndenied\n0 1 2 3 ");
    }
    let open = rooted(&root).idle().expect("a container");
    assert_eq!(print_in(&open, script), "secretx\n0 1 2 3 ");
    let wanted = "denied: files but 3 paths; for each process that joins".to_owned();
    assert_eq!(idle.report().state(Control::Landlock), Some(&State::InForce(wanted)));
    // The host still reads and writes: init has no rules.
    idle.write("/srv/by-the-host", "x").expect("a file");
    let container = view().landlock(Landlock::new().deny_tcp()).idle().expect("a container");
    denies_in(&container, &[("connect:9", DENIED), ("bind:8000", DENIED)]);
}

/// What a rule names is what was there at the launch: a link that the container makes later gives nothing.
pub(crate) fn the_container_cannot_change_what_the_rules_name() {
    let root = fixture::rootfs().with_file("srv/secret", "secret", 0o644);
    let root = root.with_dir("tmp/data", 0o777);
    let rules = Landlock::new()
        .execute("/bin")
        .read_write("/tmp")
        .read("/tmp/data")
        .read_write("/dev/null");
    let idle = rooted(&root).landlock(rules).idle().expect("a container");
    let swap = "rmdir /tmp/data && ln -s /srv /tmp/data && echo swapped";
    assert_eq!(print_in(&idle, swap), "swapped\n");
    let script = "cat /tmp/data/secret 2>/dev/null || echo denied; ls /tmp/data; true";
    assert!(print_in(&idle, &format!("{script} 2>&1")).starts_with("denied\n"));
}

/// The rules of what joins are its own: a signal reaches neither the payload nor what joined before.
pub(crate) fn a_scope_ends_at_what_joins() {
    let container = sleeper(view().landlock(Landlock::new().scope(LandlockScope::Signal)));
    let joined = container.exec("sleep").arg("1000").stdin(Stdio::null());
    let joined: Process = joined.spawn().expect("a process");
    // 1 is init, 2 the payload, 3 what joined.
    denies_in(&container, &[("signal:2", NOT_PERMITTED), ("signal:3", NOT_PERMITTED)]);
    denies_in(&sleeper(view()), &[("signal:2", 0)]);
    let own = "sleep 60 & kill $! && wait $!; exit 7";
    let status = container.exec("/bin/sh").args(["-c", own]).status().expect("a status");
    assert_eq!(status.code(), Some(7));
    joined.kill(9).expect("the host may");
}

pub(crate) fn a_terminal_is_opened_before_the_rules_hold() {
    let root = fixture::rootfs();
    let rules = Landlock::new().execute("/bin").read("/etc");
    let idle = rooted(&root).landlock(rules).idle().expect("a container");
    let script = "[ -t 0 ] && [ -t 1 ] && echo terminal; (: > /dev/tty) || echo denied";
    let exec = idle.exec("/bin/sh").args(["-c", script]).tty(WindowSize::default());
    let mut process = exec.spawn().expect("a process");
    let mut seen = String::new();
    process.pty.take().expect("a terminal").read_to_string(&mut seen).expect("text");
    assert!(seen.starts_with("terminal\r\n") && seen.ends_with("\r\ndenied\r\n"), "{seen}");
    assert!(process.wait().expect("a status").success());
}

pub(crate) fn what_joins_is_told_what_it_may_not_execute() {
    let idle = Container::host_view().landlock(Landlock::new().read("/usr")).idle();
    let error = refused(idle.expect("a container").exec("true").status());
    let words = ["true", "Landlock: execute() must cover"];
    is_error(&error, ErrorKind::ProgramNotExecutable, Stage::Exec, &words);
}
