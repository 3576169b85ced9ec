//! Events of real groups. Needs root and v1 hierarchies or v2 controllers below `/sys/fs/cgroup`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod group;

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ampoule_cgroups::Controller;
use ampoule_cgroups::events::{Event, EventStream};
use ampoule_cgroups::stat::Dir;
use group::{Hierarchy, Shell, TestGroup};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn stream(group: &TestGroup, source: Controller) -> EventStream {
    let dir = File::open(group.path()).unwrap();
    EventStream::open(&|each| {
        let dir = if group.is_v2() { Dir::V2(dir.as_fd()) } else { Dir::V1(dir.as_fd()) };
        (each == source).then_some(dir)
    })
    .unwrap()
}

/// Events until one is `last`.
fn until(stream: &mut EventStream, last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let (mut seen, end) = (Vec::new(), Instant::now() + Duration::from_secs(20));
    while !seen.last().is_some_and(&last) {
        assert!(Instant::now() < end, "{seen:?}");
        seen.extend(stream.next(LONG).unwrap());
    }
    seen
}

fn ready(stream: &EventStream, timeout: i64) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: timeout, tv_nsec: 0 })).unwrap() > 0
}

#[test]
fn an_oom_kill_is_reported_with_what_led_to_it() {
    let group = TestGroup::new(Hierarchy::of("memory"), "events-oom");
    let limits = if group.is_v2() {
        [("memory.max", "16M"), ("memory.swap.max", "0")]
    } else {
        // Since Linux 6.13 the kernel does not count how often the second limit is met.
        [("memory.limit_in_bytes", "16M"), ("memory.memsw.limit_in_bytes", "24M")]
    };
    limits.iter().for_each(|(file, text)| group.write(file, text));
    let mut stream = stream(&group, Controller::Memory);
    let before = stream.snapshot().clone();
    assert_eq!(stream.next(NOW).unwrap(), None);
    let script = "echo ready; read line; x=$(head -c 64M /dev/zero | tr '\\0' x)";
    let mut shell = Shell::start([&group].into_iter(), script);
    shell.proceed();
    let seen = until(&mut stream, |event| matches!(event, Event::OomKill { .. }));
    shell.status();
    assert!(seen.iter().any(|event| matches!(event, Event::MemoryMax { .. })), "{seen:?}");
    assert!(seen.iter().any(|event| matches!(event, Event::Oom { .. })), "{seen:?}");
    let after = stream.snapshot();
    assert!(after.memory.oom_kill > before.memory.oom_kill);
    let counters = ampoule_cgroups::events::Counters {
        events: [&before.memory, &after.memory],
        local: [&before.memory_local, &after.memory_local],
    };
    let cause = ampoule_cgroups::events::oom_cause(counters, &[]);
    assert_eq!(cause, Some(ampoule_cgroups::events::OomCause::Own));
}

#[test]
fn a_failed_fork_is_reported() {
    let group = TestGroup::new(Hierarchy::of("pids"), "events-forks");
    let mut stream = stream(&group, Controller::Pids);
    let script = "echo ready; read line; sleep 0.01 & sleep 0.01 & wait";
    let shell = Shell::start([&group].into_iter(), script);
    group.write("pids.max", "1");
    assert!(!ready(&stream, 0));
    let begin = Instant::now();
    shell.end();
    assert!(ready(&stream, 5));
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(matches!(stream.next(NOW).unwrap(), Some(Event::PidsMax { count: 1.. })));
    assert_eq!(stream.next(NOW).unwrap(), None);
    assert!(!ready(&stream, 0), "all that happened has been read");
}

#[test]
fn the_first_and_the_last_process_are_reported_on_v2() {
    let group = TestGroup::new(Hierarchy::v2(), "events-v2");
    let mut stream = stream(&group, Controller::Core);
    assert!(!ready(&stream, 0));
    let shell = Shell::start([&group].into_iter(), "echo ready; read line");
    assert!(ready(&stream, 5));
    assert_eq!(stream.next(NOW).unwrap(), Some(Event::Populated(true)));
    assert_eq!(stream.next(NOW).unwrap(), None);
    group.write("cgroup.freeze", "1");
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Frozen(true)));
    group.write("cgroup.freeze", "0");
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Frozen(false)));
    shell.end();
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Populated(false)));
    let begin = Instant::now();
    assert_eq!(stream.next(Some(Duration::from_millis(200))).unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_millis(200));
    group.remove();
    assert_eq!(stream.next(Some(Duration::from_millis(100))).unwrap(), Some(Event::Removed));
    assert_eq!(stream.next(None).unwrap(), Some(Event::Removed));
}

#[test]
fn the_first_and_the_last_process_are_reported_on_v1() {
    let group = TestGroup::new(Hierarchy::of("freezer"), "events-v1");
    let controller = if group.is_v2() { Controller::Core } else { Controller::Freezer };
    let mut stream = stream(&group, controller);
    let shell = Shell::start([&group].into_iter(), "echo ready; read line");
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Populated(true)));
    let (file, freeze, thaw) = if group.is_v2() {
        ("cgroup.freeze", "1", "0")
    } else {
        ("freezer.state", "FROZEN", "THAWED")
    };
    group.write(file, freeze);
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Frozen(true)));
    group.write(file, thaw);
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Frozen(false)));
    shell.end();
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Populated(false)));
    group.remove();
    assert_eq!(stream.next(LONG).unwrap(), Some(Event::Removed));
}

#[test]
fn what_happens_between_two_looks_is_not_lost() {
    let group = TestGroup::new(Hierarchy::of("pids"), "events-many");
    let mut stream = stream(&group, Controller::Pids);
    group.write("pids.max", "1");
    for _ in 0..5 {
        let script = "echo ready; read line; sleep 0.01 & sleep 0.01 & wait";
        Shell::start([&group].into_iter(), script).end();
    }
    let count = group.read("pids.events");
    let count = count.lines().next().unwrap().strip_prefix("max ").unwrap().parse().unwrap();
    assert_eq!(stream.next(NOW).unwrap(), Some(Event::PidsMax { count }));
    assert!(count >= 5);
}
