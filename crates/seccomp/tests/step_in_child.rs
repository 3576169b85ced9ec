//! The step in a launch: the child is confined, this process is not, and a failed exec is still told.

use std::ffi::CString;
use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{
    Begin, Draft, Error, First, Launch, PidNamespace, Program, Started, Timings, process, start,
};
use ampoule_seccomp::{Action, CALLS_OF_EXEC, Filter, Rule, prepared};

fn program(filter: &Filter) -> Program {
    let step = prepared::load(&filter.compile().expect("a filter")).expect("a step");
    let mut draft = Draft::default();
    draft.launcher(l::clone_first(0, "", None));
    draft.launcher(l::release());
    draft.first_all([l::wait_for_release(), l::reset_signals(), p::no_new_privs()]);
    draft.first_all([l::close_others(), step, l::exec()]);
    Program::seal(draft).expect("a small program")
}

fn run(program: &Program, path: &str, script: &str) -> Result<(Started, PipeReader), Error> {
    let text = |text: &str| CString::new(text).expect("no NUL");
    let (read, write) = std::io::pipe().expect("a pipe");
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    let streams = [null.as_fd(), write.as_fd(), write.as_fd()];
    let launch = Launch {
        argv: ["sh", "-c", script].map(text).into(),
        env: vec![text("PATH=/usr/bin:/bin")],
        paths: vec![text(path)],
        parameters: Vec::new(),
        payload_fds: (0..).zip(streams).collect(),
        fds: Vec::new(),
        host: None,
        status: None,
        kept: None,
        first: First::Payload,
        pid_namespace: PidNamespace::Other,
        timeout: None,
        timings: Timings::Off,
        deadline: Instant::now() + Duration::from_secs(20),
        begin: Begin::AtOnce,
        fault: None,
    };
    Ok((start(program, &launch)?, read))
}

fn output(program: &Program, script: &str) -> String {
    let (started, mut read) = run(program, "/bin/sh", script).expect("a launch");
    let mut said = String::new();
    read.read_to_string(&mut said).expect("text");
    process::wait_readable(&started.pidfd, None).expect("an end");
    process::reap(&started.pidfd).expect("a status");
    said
}

fn own_status() -> String {
    std::fs::read_to_string("/proc/self/status").expect("procfs")
}

#[test]
fn the_payload_is_confined_and_the_host_is_not() {
    let program = program(&Filter::default_profile());
    let shown = program.to_string();
    assert!(shown.contains("seccomp(SECCOMP_SET_MODE_FILTER, 0, "), "{shown}");
    // Many launches share one program.
    for _ in 0..3 {
        let script = "grep -E 'Seccomp|NoNewPrivs' /proc/self/status | tr -s '\\t\\n' '  '";
        assert_eq!(output(&program, script), "NoNewPrivs: 1 Seccomp: 2 Seccomp_filters: 1 ");
    }
    assert!(output(&program, "unshare --user true 2>&1").contains("not permitted"));
    assert!(own_status().contains("Seccomp:\t0\n"));
}

#[test]
fn a_failed_exec_is_told_through_the_filter() {
    // Nothing is allowed but what the exec needs: were the list too short, this would be a success or a dead init.
    let filter = Filter::new(Action::NOT_PERMITTED).allow(CALLS_OF_EXEC);
    let error = run(&program(&filter), "/does/not/exist", "").expect_err("no program");
    assert_eq!((error.kind(), error.errno()), (ampoule_init::ErrorKind::Exec, Some(2)));
    let killing = Filter::new(Action::KillProcess).allow(CALLS_OF_EXEC);
    // It would be killed while it looks why the exec failed, and seem to have started.
    let told = killing.validate_for_exec().unwrap_err().to_string();
    assert!(
        told.ends_with("statx is needed to execute the program, and the answer is kill process"),
        "{told}"
    );
    let killing = killing.deny(["statx"]);
    let error = run(&program(&killing), "/does/not/exist", "").expect_err("no program");
    assert_eq!((error.kind(), error.errno()), (ampoule_init::ErrorKind::Exec, Some(2)));
    let (started, mut read) = run(&program(&killing), "/bin/sh", "echo never").expect("an exec");
    process::wait_readable(&started.pidfd, None).expect("an end");
    process::reap(&started.pidfd).expect("a status");
    let mut said = String::new();
    read.read_to_string(&mut said).expect("text");
    assert_eq!(said, "", "the loader needs more than the exec");
}

#[test]
fn a_filter_that_the_kernel_refuses_is_a_failed_step() {
    let refuse = Filter::new(Action::Allow).rule(Rule::new(Action::Errno(95), ["seccomp"]));
    let second = prepared::load(&Filter::new(Action::Allow).compile().expect("a filter"));
    let first = prepared::load(&refuse.compile().expect("a filter")).expect("a step");
    let mut draft = Draft::default();
    draft.launcher(l::clone_first(0, "", None));
    draft.launcher(l::release());
    draft.first_all([
        l::wait_for_release(),
        p::no_new_privs(),
        first,
        second.expect("a step"),
        l::exec(),
    ]);
    let program = Program::seal(draft).expect("a small program");
    let error = run(&program, "/bin/sh", "").expect_err("a failed step");
    assert_eq!(
        (error.kind(), error.errno(), error.step()),
        (ampoule_init::ErrorKind::Step, Some(95), Some(5))
    );
}
