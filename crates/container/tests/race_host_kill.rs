//! The host is killed at any moment.
//!
//! Kernel objects: a second process that starts containers, and everything below it. Invariant: a tenth of a second
//! after its end no process of it lives.

mod oracle;
mod scene;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ampoule::{Container, OnDrop};
use oracle::{alone, payload, tier};
use scene::outside::descendants;
use scene::{shell, soon, times};

/// How long after the host's end its containers may live.
const LIMIT: Duration = Duration::from_millis(100);

/// The host that will be killed.
#[test]
fn payload_main() {
    match payload::verb().as_deref() {
        Some("forever") => loop {
            let plan = shell(Container::host_view(), "setsid sleep 1000 & sleep 0.005")
                .plan()
                .expect("a plan");
            let mut one = plan.launch().spawn().expect("a container");
            let _two = plan.launch().spawn().expect("a container");
            one.wait().expect("a status");
        },
        Some("ten") => {
            let script = "trap '' TERM HUP INT; setsid sleep 1000 & sleep 1000";
            let plan = shell(Container::host_view(), script).plan().expect("a plan");
            let _alive: Vec<_> =
                (0..10).map(|_| plan.launch().spawn().expect("a container")).collect();
            payload::print_report("ready");
            sleep(Duration::from_secs(1000));
        }
        Some("detached") => {
            let builder = Container::host_view().on_drop(OnDrop::Detach);
            let plan = shell(builder, "sleep 0.5; exit 21").plan().expect("a plan");
            let status = rustix::io::dup(std::io::stderr()).expect("a second descriptor");
            plan.launch().status_fd(status).spawn().expect("a container").detach();
            payload::print_report("ready");
            sleep(Duration::from_secs(1000));
        }
        _ => {}
    }
}

fn host(verb: &str) -> Child {
    let own = payload::own_program(verb);
    let mut command = Command::new(own.program);
    command.args(own.args).env(own.env.0, own.env.1).stdin(Stdio::null()).stderr(Stdio::piped());
    command.stdout(Stdio::piped()).spawn().expect("the test binary starts again")
}

/// Orphans of the host come to this process, which lets them be seen and reaped.
fn adopt() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
}

/// Reaps adopted processes; true when none is left.
fn none_left() -> bool {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    while let Ok(Some(_)) = waitpid(None, options) {}
    descendants() == 0
}

/// Kills the host; how long it then takes until everything below it has ended.
#[track_caller]
fn kill(mut host: Child) -> Duration {
    host.kill().expect("our child");
    host.wait().expect("our child");
    let ended = Instant::now();
    while !none_left() {
        assert!(ended.elapsed() < LIMIT * 30, "{} processes live", descendants());
        sleep(Duration::from_millis(2));
    }
    ended.elapsed()
}

/// Nine of ten must be in time: the machine may do other things as well.
#[track_caller]
fn in_time(mut taken: Vec<Duration>) {
    taken.sort_unstable();
    let slow = taken[taken.len() * 9 / 10];
    assert!(slow < LIMIT, "one of ten takes {slow:?} or more");
}

#[test]
fn at_random_moments() {
    tier::root();
    alone(|| {
        adopt();
        let mut taken = Vec::new();
        for round in 0..times(50, 2000) {
            let host = host("forever");
            // From before the first start to some hundred starts later.
            let pause = Duration::from_micros((round as u64 * 7919) % 60_000);
            sleep(pause);
            taken.push(kill(host));
        }
        in_time(taken);
    });
}

#[test]
fn with_containers_that_ignore_signals() {
    tier::root();
    alone(|| {
        adopt();
        let mut taken = Vec::new();
        for _ in 0..times(3, 20) {
            let mut host = host("ten");
            scene::read_until(host.stdout.as_mut().expect("piped"), "ready");
            assert!(soon(|| descendants() >= 30), "{}", descendants());
            taken.push(kill(host));
        }
        in_time(taken);
    });
}

#[test]
fn a_detached_container_goes_on() {
    tier::root();
    alone(|| {
        adopt();
        let mut host = host("detached");
        scene::read_until(host.stdout.as_mut().expect("piped"), "ready");
        let mut stderr = host.stderr.take().expect("piped");
        host.kill().expect("our child");
        host.wait().expect("our child");
        assert!(descendants() >= 2, "{}", descendants());
        let mut text = String::new();
        stderr.read_to_string(&mut text).expect("text");
        assert!(text.ends_with("exited 21\n"), "{text:?}");
        assert!(soon(none_left));
    });
}
