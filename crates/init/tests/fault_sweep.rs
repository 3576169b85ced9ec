//! Every operation fails, ends or hangs: the error names the step, nothing is left, and the payload does not run.

mod support;

use std::time::{Duration, Instant};

use ampoule_init::wire::fault::{EXIT, HANG};
use ampoule_init::{Error, ErrorKind, Program};
use support::sweep::{SHAPES, Shape, Stage, fault};
use support::{State, drained, kill, pipe, refused, run, turn};

/// Runs `check` with the error of a launch with this fault; then nothing may be left and nothing may have run.
fn sweep(outcome: u32, limit: Duration, check: impl Fn(Shape, &Program, usize, Stage, &Error)) {
    for shape in SHAPES {
        let program = shape.program();
        let before = warm_up(shape, &program);
        for (operation, (_, stage)) in shape.stages(&program).into_iter().enumerate() {
            let (reader, writer) = pipe();
            let mut launch = shape.launch(&writer);
            launch.fault = fault(operation, outcome);
            launch.deadline = Instant::now() + limit;
            let begin = Instant::now();
            let error = refused(&program, &launch);
            assert!(
                begin.elapsed() < limit + Duration::from_secs(1),
                "{shape:?} {operation}: {:?}",
                begin.elapsed()
            );
            drop(launch);
            drop(writer);
            assert_eq!(
                drained(reader),
                b"",
                "{shape:?}: the payload ran in spite of a fault at {operation}"
            );
            before.is_still(&format!("{shape:?}: fault {outcome} at {operation}"));
            check(shape, &program, operation, stage, &error);
        }
    }
}

fn warm_up(shape: Shape, program: &Program) -> State {
    let (reader, writer) = pipe();
    let launch = shape.launch(&writer);
    let started = run(program, &launch);
    assert_eq!(started.fds.len(), 1, "the mount");
    assert_eq!(started.marks.iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), [1, 2]);
    support::reap(&started);
    drop(launch);
    drop((writer, started));
    assert_eq!(drained(reader), b"PAYLOAD-RAN\n");
    State::now()
}

#[test]
fn every_operation_fails_with_every_errno() {
    let _turn = turn();
    let errnos = [
        libc::ENOMEM,
        libc::EPERM,
        libc::EINTR,
        libc::EAGAIN,
        libc::ENOSPC,
        libc::EMFILE,
        libc::ENOSYS,
        libc::EIO,
    ];
    for errno in errnos {
        sweep(
            errno.unsigned_abs(),
            Duration::from_secs(10),
            |shape, program, operation, _, error| {
                let step = shape.stages(program)[operation].0;
                let text = program.step(step).map(ToString::to_string);
                assert_eq!(error.step(), Some(step), "{shape:?} {operation}: {error}");
                assert_eq!(error.step_text(), text.as_deref());
                assert_eq!(error.errno(), Some(errno));
                let expected = match program.step(step).map(|step| step.name()) {
                    Some("clone3") => ErrorKind::Clone,
                    Some("execve") => ErrorKind::Exec,
                    _ => ErrorKind::Step,
                };
                assert_eq!(error.kind(), expected, "{error}");
                let said = error.to_string();
                assert!(said.starts_with(&format!("step {step}: ")), "{said}");
            },
        );
    }
}

#[test]
fn an_end_at_every_operation_is_init_died() {
    let _turn = turn();
    sweep(EXIT, Duration::from_secs(10), |shape, _, operation, _, error| {
        assert_eq!(error.kind(), ErrorKind::InitDied, "{shape:?} {operation}: {error}");
    });
}

#[test]
fn a_hang_at_every_operation_is_a_start_timeout() {
    let _turn = turn();
    sweep(HANG, Duration::from_millis(20), |shape, _, operation, _, error| {
        assert_eq!(error.kind(), ErrorKind::StartTimeout, "{shape:?} {operation}: {error}");
    });
}

#[test]
fn a_deadline_that_has_passed_is_a_start_timeout_or_a_start() {
    let _turn = turn();
    let program = Shape::Reaper.program();
    let before = warm_up(Shape::Reaper, &program);
    for micros in (0..2500).step_by(25) {
        let (_reader, writer) = pipe();
        let mut launch = Shape::Reaper.launch(&writer);
        launch.deadline = Instant::now() + Duration::from_micros(micros);
        match ampoule_init::start(&program, &launch) {
            Ok(started) => kill(&started),
            Err(error) => assert_eq!(error.kind(), ErrorKind::StartTimeout, "{micros} us: {error}"),
        }
        drop(launch);
        drop((_reader, writer));
        before.is_still(&format!("{micros} us"));
    }
}
