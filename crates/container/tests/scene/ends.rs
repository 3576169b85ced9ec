//! How containers end, and who sees it.
//!
//! Kernel objects: pidfds, signals, the reaper. Invariant: the status is the payload's own, and nothing lives after it.

use std::io::Read;
use std::time::{Duration, Instant};

use ampoule::{Container, ErrorKind, OnDrop, Outcome, Pid1, Stdio};

use super::outside::{descendants, lives};
use super::{read_until, refused, shell, soon};

const SIGNALS: [i32; 9] = [1, 2, 6, 9, 11, 13, 14, 15, 31];

fn view(script: &str) -> ampoule::Command {
    shell(Container::host_view(), script)
}

/// A payload that has done the first part and printed `ready`.
fn ready(first: &str, script: &str) -> Container {
    let command = view(&format!("{first}\necho ready; {script}")).stdout(Stdio::piped());
    let mut container = command.spawn().expect("a container");
    read_until(container.stdout.as_mut().expect("piped"), "ready\n");
    container
}

pub(crate) fn exit_codes_are_the_payloads() {
    for code in [0, 1, 77, 128, 255] {
        let status = view(&format!("exit {code}")).status().expect("a run");
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_eq!(status.success(), code == 0);
    }
}

pub(crate) fn signals_are_the_payloads() {
    for signal in SIGNALS {
        let status =
            view(&format!("ulimit -c 0; kill -{signal} $$; sleep 5")).status().expect("a run");
        assert_eq!((status.signal(), status.code()), (Some(signal), None), "signal {signal}");
    }
}

pub(crate) fn try_wait_and_wait_timeout() {
    let mut container = ready("", "sleep 0.4; exit 5");
    assert_eq!(container.try_wait().expect("no error"), None);
    let started = Instant::now();
    assert_eq!(container.wait_timeout(Duration::from_millis(50)).expect("no error"), None);
    let waited = started.elapsed();
    assert!((50..300).contains(&waited.as_millis()), "{waited:?}");
    let status = container.wait_timeout(Duration::from_secs(10)).expect("no error");
    assert_eq!(status.and_then(|status| status.code()), Some(5));
    assert_eq!(container.wait().expect("again").code(), Some(5));
    assert_eq!(container.try_wait().expect("again").and_then(|status| status.code()), Some(5));
}

pub(crate) fn kill_sends_the_signal_to_the_payload() {
    let mut container = ready("trap 'exit 42' USR1", "while :; do sleep 0.02; done");
    container.kill(10).expect("a signal");
    assert_eq!(container.wait().expect("a status").code(), Some(42));
    container.kill(10).expect("one that has ended is no error");
    for signal in [9, 15, 3] {
        let mut container = ready("", "exec sleep 100");
        assert!(soon(|| cmdline(&container).contains("sleep")));
        container.kill(signal).expect("a signal");
        assert_eq!(container.wait().expect("a status").signal(), Some(signal));
    }
    let container = ready("", "sleep 100");
    for signal in [-1, 65, 1000, i32::MIN] {
        assert_eq!(refused(container.kill(signal)).kind(), ErrorKind::InvalidSettings, "{signal}");
    }
}

/// What the processes of a container run, as far as procfs shows.
fn cmdline(container: &Container) -> String {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", container.pid()));
    let read =
        |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    children.unwrap_or_default().split_whitespace().map(read).collect()
}

pub(crate) fn stop_kills_what_ignores_the_signal() {
    let mut container = ready("trap '' TERM", "while :; do sleep 0.02; done");
    let started = Instant::now();
    let status = container.stop(Duration::from_millis(200)).expect("a status");
    assert_eq!(status.signal(), Some(9), "{status}");
    assert!((200..2000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

pub(crate) fn stop_waits_for_a_polite_payload() {
    let mut container = ready("trap 'exit 7' TERM", "while :; do sleep 0.02; done");
    let started = Instant::now();
    let status = container.stop(Duration::from_secs(10)).expect("a status");
    assert_eq!(status.code(), Some(7));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

pub(crate) fn the_stop_signal_can_be_chosen() {
    let builder = Container::host_view().stop_signal(12);
    let script = "trap 'exit 12' USR2; echo ready; while :; do sleep 0.02; done";
    let mut container = shell(builder, script).stdout(Stdio::piped()).spawn().expect("a container");
    read_until(container.stdout.as_mut().expect("piped"), "ready\n");
    assert_eq!(container.stop(Duration::from_secs(10)).expect("a status").code(), Some(12));
}

pub(crate) fn a_time_limit_is_kept() {
    for limit in [30, 150, 400] {
        let started = Instant::now();
        let command = view("trap '' TERM INT HUP; setsid sleep 100 & sleep 100");
        let output = command.timeout(Duration::from_millis(limit)).output().expect("a run");
        let taken = started.elapsed();
        assert_eq!(output.status.outcome(), Outcome::TimedOut);
        assert!(output.status.timed_out() && !output.status.success());
        assert!(taken >= Duration::from_millis(limit), "{taken:?}");
        assert!(taken < Duration::from_millis(limit + 1500), "{taken:?}");
    }
    let within = view("exit 3").timeout(Duration::from_secs(20)).status().expect("a run");
    assert_eq!(within.code(), Some(3));
}

pub(crate) fn a_time_limit_is_kept_when_nobody_waits() {
    let command = view("sleep 100").timeout(Duration::from_millis(100)).stdout(Stdio::null());
    let mut container = command.spawn().expect("a container");
    let pid = container.pid();
    assert!(soon(|| !lives(pid)), "it lives");
    assert_eq!(container.wait().expect("a status").outcome(), Outcome::TimedOut);
}

pub(crate) fn drop_kills_everything() {
    let container =
        ready("", "(setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & sleep 1000') & sleep 1000");
    assert!(soon(|| descendants() >= 4), "{} processes", descendants());
    drop(container);
    assert_eq!(descendants(), 0);
}

pub(crate) fn the_end_of_the_payload_ends_everything() {
    let mut container = ready("", "setsid sleep 1000 & setsid sleep 1000 & sleep 0.1");
    assert!(soon(|| descendants() >= 4));
    assert!(container.wait().expect("a status").success());
    assert_eq!(descendants(), 0);
}

pub(crate) fn orphans_are_reaped_by_init() {
    let script = "for n in 1 2 3 4 5 6 7 8; do (sleep 0.01 &) ; done; sleep 0.3; \
                  grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
    let output = view(script).output().expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
}

pub(crate) fn usage_and_wall_time_are_reported() {
    let output = view("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; sleep 0.1").output();
    let status = output.expect("a run").status;
    assert!(status.usage().user + status.usage().system > Duration::from_millis(5), "{status:?}");
    assert!(status.usage().max_rss_kib > 100, "{status:?}");
    assert!(status.wall() >= Duration::from_millis(100), "{status:?}");
}

pub(crate) fn timings_are_measured_on_request() {
    let plan = view("exit 0").plan().expect("a plan");
    let mut container = plan.launch().timings().spawn().expect("a container");
    let stages: Vec<_> = container.timings().expect("measured").iter().collect();
    assert!(stages.len() >= 6, "{stages:?}");
    assert!(stages.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{stages:?}");
    container.wait().expect("a status");
    let mut plain = plan.launch().spawn().expect("a container");
    assert!(plain.timings().is_none());
    plain.wait().expect("a status");
}

pub(crate) fn the_payload_can_be_the_first_process() {
    let builder = Container::host_view().pid1(Pid1::Payload);
    let output = shell(builder.clone(), "echo $$; exit 9").output().expect("a run");
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"1\n"[..], Some(9)));
    let mut polite =
        shell(builder.clone(), "trap 'exit 6' TERM; echo ready; while :; do sleep 0.02; done")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a container");
    read_until(polite.stdout.as_mut().expect("piped"), "ready\n");
    assert_eq!(polite.stop(Duration::from_secs(10)).expect("a status").code(), Some(6));
    // A first process without a handler does not see the signal: the grace period passes.
    let mut deaf = builder.clone().command("sleep").arg("100").spawn().expect("a container");
    assert_eq!(deaf.stop(Duration::from_millis(100)).expect("a status").signal(), Some(9));
    let limited = builder.command("sleep").arg("100").timeout(Duration::from_millis(150));
    let started = Instant::now();
    assert_eq!(limited.output().expect("a run").status.outcome(), Outcome::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(descendants(), 0);
}

pub(crate) fn detached_containers_write_their_end() {
    for (script, line) in [("exit 3", "exited 3\n"), ("kill -15 $$", "signaled 15\n")] {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let plan = shell(Container::host_view().on_drop(OnDrop::Detach), script).plan();
        let launch = plan.expect("a plan").launch().status_fd(writer);
        launch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a container").detach();
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(text, line);
    }
    reap_detached();
}

/// A detached container is still our child; nobody else waits for it here.
fn reap_detached() {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    assert!(soon(|| match waitpid(None, options) {
        Err(rustix::io::Errno::CHILD) => true,
        _ => descendants() == 0,
    }));
}
