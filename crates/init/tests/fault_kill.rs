//! SIGKILL of the launcher, the first process, the payload's process and the host, at every operation and at any time.

mod support;

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ampoule_init::wire::fault::HANG;
use ampoule_init::{Error, ErrorKind, Program};
use proptest::test_runner::TestRng;
use rustix::process::{Signal, pidfd_send_signal};
use support::sweep::{SHAPES, Shape, Stage, fault, waiting_below};
use support::{
    State, children, drained, ends_within, eventually, long_or, pidfd, pidfds_of_tree, pipe, run,
    tree, turn,
};

/// How many processes wait when an operation of this stage hangs: reapers wait, too.
fn waiting(stage: Stage) -> usize {
    if stage == Stage::Payload { 2 } else { 1 }
}

/// Hangs at an operation, kills one process of the launch, and gives the error.
fn killed_at(
    shape: Shape,
    program: &Program,
    operation: usize,
    stage: Stage,
    victim: usize,
) -> Error {
    let (reader, writer) = pipe();
    let error = thread::scope(|scope| {
        let starter = scope.spawn(|| {
            let mut launch = shape.launch(&writer);
            launch.fault = fault(operation, HANG);
            launch.deadline = Instant::now() + Duration::from_millis(1500);
            ampoule_init::start(program, &launch).map(drop).expect_err("it was killed")
        });
        let own = std::process::id();
        let hangs =
            eventually(|| waiting_below(own).len() == waiting(stage) || starter.is_finished());
        assert!(hangs && !starter.is_finished(), "{shape:?} {operation} does not hang");
        let alive =
            || tree(own).into_iter().skip(1).filter(|&pid| is_alive(pid)).collect::<Vec<_>>();
        // A launcher that is done may still be ending.
        let settled = eventually(|| alive().len() == processes(stage));
        let victims = alive();
        assert!(settled, "{shape:?} {operation}: {victims:?}");
        let victim =
            victims.get(victim).unwrap_or_else(|| panic!("{shape:?} {operation}: {victims:?}"));
        kill_now(*victim);
        starter.join().expect("a result")
    });
    drop(writer);
    assert_eq!(drained(reader), b"", "{shape:?}: the payload ran at {operation}");
    error
}

/// How many processes a launch has then.
fn processes(stage: Stage) -> usize {
    match stage {
        Stage::Launcher | Stage::First => 1,
        // The first process waits beside the launcher that hangs, the reaper above the payload's process.
        Stage::LauncherBesideFirst | Stage::Payload => 2,
    }
}

fn is_alive(pid: u32) -> bool {
    support::comm_and_state(pid).is_some_and(|(_, state)| state != 'Z')
}

fn kill_now(pid: u32) {
    pidfd_send_signal(pidfd(pid), Signal::KILL).expect("a kill");
}

#[test]
fn a_kill_at_every_operation_is_an_error_and_leaves_nothing() {
    let _turn = turn();
    for shape in SHAPES {
        let program = shape.program();
        let before = warm_up(shape, &program);
        for (operation, (_, stage)) in shape.stages(&program).into_iter().enumerate() {
            for victim in 0..processes(stage) {
                let begin = Instant::now();
                let error = killed_at(shape, &program, operation, stage, victim);
                let first_beside_a_hanging_launcher =
                    stage == Stage::LauncherBesideFirst && victim == 1;
                let expected = if first_beside_a_hanging_launcher {
                    ErrorKind::StartTimeout
                } else {
                    ErrorKind::InitDied
                };
                assert_eq!(error.kind(), expected, "{shape:?} {operation} {victim}: {error}");
                assert!(
                    begin.elapsed() < Duration::from_secs(2),
                    "{shape:?} {operation}: {:?}",
                    begin.elapsed()
                );
                before.is_still(&format!("{shape:?}: a kill of {victim} at {operation}"));
            }
        }
    }
}

fn warm_up(shape: Shape, program: &Program) -> State {
    let (_reader, writer) = pipe();
    let started = run(program, &shape.launch(&writer));
    support::reap(&started);
    drop((_reader, writer, started));
    State::now()
}

#[test]
fn a_kill_at_any_time_is_an_error_or_a_start_and_leaves_nothing() {
    let _turn = turn();
    let mut random = proptest::test_runner::TestRng::deterministic_rng(
        proptest::test_runner::RngAlgorithm::ChaCha,
    );
    let mut failures = 0;
    for shape in SHAPES {
        let program = shape.program();
        let before = warm_up(shape, &program);
        for round in 0..long_or(150, 2000) {
            let error =
                killed_after(shape, &program, Duration::from_nanos(below(&mut random, 2_500_000)));
            failures += usize::from(error.is_some());
            if let Some(error) = error {
                let kinds = [
                    ErrorKind::InitDied,
                    ErrorKind::Clone,
                    ErrorKind::Step,
                    ErrorKind::StartTimeout,
                ];
                assert!(kinds.contains(&error.kind()), "{shape:?}: {error:?}");
            }
            before.is_still(&format!("{shape:?}: kill {round}"));
        }
    }
    assert!(failures > 30, "only {failures} launches were hit");
}

fn below(random: &mut TestRng, limit: u64) -> u64 {
    use proptest::prelude::Rng;
    random.next_u64() % limit
}

/// Kills the launcher, or the first child that is left, a while after it is seen.
fn killed_after(shape: Shape, program: &Program, delay: Duration) -> Option<Error> {
    let (_reader, writer) = pipe();
    thread::scope(|scope| {
        let starter = scope.spawn(|| {
            let mut launch = shape.launch(&writer);
            launch.deadline = Instant::now() + Duration::from_secs(2);
            let result = ampoule_init::start(program, &launch);
            result.map(|started| support::reap(&started)).err()
        });
        while children().is_empty() && !starter.is_finished() {}
        let seen = Instant::now();
        while seen.elapsed() < delay && !starter.is_finished() {}
        for pid in children() {
            let id =
                i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("an id");
            // A process of an earlier moment may be gone.
            if let Ok(pidfd) = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty())
            {
                let _ended_already = pidfd_send_signal(pidfd, Signal::KILL);
            }
            if delay.subsec_nanos().is_multiple_of(2) {
                break;
            }
        }
        starter.join().expect("a result")
    })
}

const HOST: &str = "AMPOULE_DYING_HOST";

#[test]
fn a_host_killed_at_any_operation_leaves_no_process() {
    const NAME: &str = "a_host_killed_at_any_operation_leaves_no_process";
    if let Ok(order) = std::env::var(HOST) {
        return be_a_dying_host(&order);
    }
    let _turn = turn();
    let own = std::env::current_exe().expect("a path");
    for (number, shape) in SHAPES.into_iter().enumerate() {
        let stages = shape.stages(&shape.program());
        for (operation, (_, stage)) in stages.into_iter().enumerate() {
            let (mut reader, writer) = pipe();
            let mut command = Command::new(&own);
            command
                .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
                .env(HOST, format!("{number} {operation}"));
            let mut host = command.stdin(Stdio::null()).stdout(writer).spawn().expect("a process");
            drop(command);
            let hangs = eventually(|| waiting_below(host.id()).len() == waiting(stage));
            assert!(hangs, "{shape:?} {operation} does not hang");
            let all = pidfds_of_tree(host.id());
            host.kill().expect("a kill");
            let begin = Instant::now();
            for each in &all {
                let left = support::at_once().saturating_sub(begin.elapsed());
                assert!(
                    ends_within(each, left),
                    "{shape:?} {operation}: a process outlives its host"
                );
            }
            host.wait().expect("a status");
            let mut said = String::new();
            reader.read_to_string(&mut said).expect("text");
            assert!(!said.contains("PAYLOAD-RAN"), "{shape:?} {operation}: the payload ran");
        }
    }
}

/// The host's part of the test above.
fn be_a_dying_host(order: &str) {
    let (shape, operation) = order.split_once(' ').expect("two numbers");
    let shape = SHAPES[shape.parse::<usize>().expect("a number")];
    let stdout = rustix::io::dup(rustix::stdio::stdout()).expect("a pipe");
    let marker = std::io::PipeWriter::from(stdout);
    let mut launch = shape.launch(&marker);
    launch.fault = fault(operation.parse().expect("a number"), HANG);
    launch.deadline = Instant::now() + Duration::from_secs(60);
    panic!("{:?}", ampoule_init::start(&shape.program(), &launch));
}
