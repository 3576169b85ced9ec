//! What a container's events tell, and when they end.
//!
//! Kernel objects: containers with groups of their own. Invariant: each event follows from what the payload did.

mod oracle;
mod scene;

use std::io::Write;
use std::time::{Duration, Instant};

use ampoule::{Builder, Bytes, Container, ErrorKind, Event, Events, OwnGroup, Stage, Stdio};
use oracle::{tier, unchanged};
use scene::{is_error, readable, refused, shell};

const LONG: Duration = Duration::from_secs(10);

/// A payload that begins when it is told to.
fn waiting(builder: Builder, script: &str) -> Container {
    let command = shell(builder, &format!("read go; {script}"));
    command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a container")
}

fn go(container: &mut Container) {
    let stdin = container.stdin.as_mut().expect("piped");
    stdin.write_all(b"go\n").expect("a living payload");
}

/// The events until one that is wanted, which must come.
#[track_caller]
fn until(events: &mut Events, wanted: fn(&Event) -> bool) -> Vec<Event> {
    let deadline = Instant::now() + LONG;
    let mut seen = Vec::new();
    while !seen.last().is_some_and(wanted) {
        let event = events.next_until(deadline).expect("readable files");
        seen.push(event.unwrap_or_else(|| panic!("nothing more in time: {seen:?}")));
    }
    seen
}

#[test]
fn memory_runs_out() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().memory_max(Bytes::mib(16));
        let mut container = waiting(builder, "x=0123456789; while :; do x=$x$x; done");
        let mut events = container.events().expect("events");
        assert_eq!(events.try_next().expect("readable files"), None);
        go(&mut container);
        let seen = until(&mut events, |event| matches!(event, Event::OomKill { .. }));
        let before = |event: &Event| matches!(event, Event::Oom { .. } | Event::MemoryMax { .. });
        assert!(seen.iter().any(before), "{seen:?}");
        until(&mut events, |event| *event == Event::Populated(false));
        assert!(container.wait().expect("a status").oom_killed());
        until(&mut events, |event| *event == Event::Removed);
        assert!(events.next().is_none() && events.try_next().expect("the end").is_none());
    });
}

#[test]
fn the_limit_of_processes_is_met() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().pids_max(6);
        let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done";
        let mut container = waiting(builder, script);
        let mut events = container.events().expect("events");
        go(&mut container);
        assert!(readable(&events), "the descriptor tells");
        until(&mut events, |event| matches!(event, Event::PidsMax { count } if *count > 0));
    });
}

#[test]
fn a_pause_is_seen_without_limits_too() {
    tier::root();
    unchanged(|| {
        let mut container = waiting(Container::host_view(), "exit 0");
        let mut events = container.events().expect("events");
        container.pause().expect("a pause");
        until(&mut events, |event| *event == Event::Frozen(true));
        container.resume().expect("it goes on");
        until(&mut events, |event| *event == Event::Frozen(false));
        let short = Duration::from_millis(50);
        assert_eq!(events.next_timeout(short).expect("readable files"), None);
        go(&mut container);
        let rest: Vec<Event> = std::thread::scope(|threads| {
            let reader = threads.spawn(|| events.map(|event| event.expect("an event")).collect());
            container.wait().expect("a status");
            reader.join().expect("a thread")
        });
        // The last process has left before the group goes; the reader may be too late to see that.
        assert_eq!(rest.last(), Some(&Event::Removed));
        assert!(rest.iter().all(|event| matches!(event, Event::Populated(false) | Event::Removed)));
    });
}

#[test]
fn usage_above_high_is_told() {
    tier::root();
    unchanged(|| {
        let mut limits = ampoule::Limits::default();
        limits.memory.high = Some(Bytes::mib(8).into());
        let mut container = match shell(Container::host_view().limits(limits), "sleep 1").plan() {
            // v1 has no such limit, and says so.
            Err(error) => {
                return is_error(&error, ErrorKind::Limits, Stage::Plan, &["memory.high"]);
            }
            Ok(plan) => {
                let script = "read go; x=$(head -c 20M /dev/zero | tr '\\0' x); sleep 100";
                let launch = plan.launch().args(["-c", script]).stdin(Stdio::piped());
                launch.spawn().expect("a container")
            }
        };
        let mut events = container.events().expect("events");
        go(&mut container);
        until(&mut events, |event| matches!(event, Event::MemoryHigh { .. }));
    });
}

#[test]
fn there_are_none_without_a_group() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().own_group(OwnGroup::WithLimits);
        let container = waiting(builder, "exit 0");
        let error = refused(container.events());
        is_error(&error, ErrorKind::Limits, Stage::Running, &["no control group"]);
    });
}
