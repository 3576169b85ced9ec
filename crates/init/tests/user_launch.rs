//! The launch by an ordinary user, in a user namespace of its own.

mod support;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ampoule_init::reaper::Cause;
use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::wire::fault::{EXIT, HANG};
use ampoule_init::{Arg, Draft, ErrorKind, Fault, Program, Step};
use support::{
    children_of, finish, launch, output, refused, run, shell, status_line, turn, warm_up,
};

/// A program in new user, pid and mount namespaces, whose root is the caller.
fn program(secrecy: &[Step]) -> Program {
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS;
    let mut draft = Draft::default();
    let proc = draft.inherit(OwnedFd::from(File::open("/proc").expect("procfs")));
    draft.launcher(l::clone_first(u64::from(flags.unsigned_abs()), "flags", None));
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    draft.launcher(l::child_file(proc, c"setgroups", b"deny"));
    draft.launcher(l::child_file(proc, c"uid_map", format!("0 {uid} 1").as_bytes()));
    draft.launcher(l::child_file(proc, c"gid_map", format!("0 {gid} 1").as_bytes()));
    draft.launcher(l::release());
    draft.first_all([l::wait_for_release(), p::setgid(0), p::setuid(0)]);
    let text = |text: &std::ffi::CStr| Arg::from(text);
    let args = vec![text(c"proc"), text(c"/proc"), text(c"proc"), 0_u64.into(), 0_u64.into()];
    draft.first(Step::call("mount", libc::SYS_mount, args));
    draft.first_all(secrecy.iter().cloned());
    draft.first_all([l::become_reaper(None), l::reset_signals(), l::close_others(), l::exec()]);
    Program::seal(draft).expect("a small program")
}

#[test]
fn the_status_comes_back() {
    let _turn = turn();
    let program = program(&[p::undumpable()]);
    for code in [0, 3, 255] {
        let ended = finish(&run(&program, &shell(&format!("exit {code}")))).expect("a status");
        assert_eq!((ended.status, ended.cause), (code << 8, Cause::Ended));
    }
    let mut limited = shell("sleep 100");
    limited.timeout = Some(Duration::from_millis(50));
    assert_eq!(finish(&run(&program, &limited)).map(|ended| ended.cause), Some(Cause::TimedOut));
}

#[test]
fn the_payload_is_root_inside_and_nobody_else_outside() {
    let _turn = turn();
    let said =
        output(&program(&[p::undumpable()]), &mut shell("id -u; id -g; cat /proc/self/uid_map"));
    let uid = rustix::process::getuid().as_raw();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", &uid.to_string(), "1"]);
}

#[test]
fn the_containers_root_cannot_read_the_reaper() {
    let _turn = turn();
    // It has every capability in its user namespace, CAP_SYS_PTRACE included; the reaper's memory belongs to the host's.
    let said = output(
        &program(&[p::undumpable()]),
        &mut shell(
            "grep -o ampoule-init /proc/1/status; for f in mem environ auxv maps fd/0 fd/4; do cat /proc/1/$f >/dev/null 2>&1 && echo read $f; done; \
         for f in exe cwd root fd/0 fd/4; do readlink /proc/1/$f; done; chmod 0 /proc/1/exe 2>/dev/null && echo changed; kill -9 1; echo end",
        ),
    );
    assert_eq!(said, "ampoule-init\nend\n");
}

#[test]
fn a_payload_of_the_same_user_that_changes_the_executable_harms_no_later_launch() {
    let _turn = turn();
    let open = program(&[]);
    for change in ["chmod 0111 /proc/1/exe", "chmod 0 /proc/1/exe", "chmod 0777 /proc/1/exe"] {
        output(&open, &mut shell(change));
        let ended = finish(&run(&open, &shell("exit 5"))).expect("a status");
        assert_eq!(ended.status, 5 << 8, "{change}");
    }
}

#[test]
fn the_reaper_keeps_cap_kill_only() {
    let _turn = turn();
    let started = run(&program(&[p::undumpable()]), &launch(&["/bin/sleep", "100"]));
    assert_eq!(status_line(started.pid, "CapEff"), "0000000000000020");
    assert_eq!(children_of(started.pid).len(), 1);
    ampoule_init::reaper::signal(&started.control, 15).expect("a request");
    assert_eq!(finish(&started).map(|ended| ended.status), Some(15));
}

#[test]
fn faults_at_every_operation_leave_nothing() {
    let _turn = turn();
    let program = program(&[p::undumpable()]);
    let before = warm_up(&program, &shell("exit"));
    let operations = u32::try_from(program.operations()).expect("a small program");
    for outcome in [libc::EPERM.unsigned_abs(), libc::EIO.unsigned_abs(), EXIT, HANG] {
        for operation in 0..operations {
            let mut launch = shell("exit");
            launch.fault = Some(Fault { operation, outcome });
            if outcome == HANG {
                launch.deadline = std::time::Instant::now() + Duration::from_millis(20);
            }
            let error = refused(&program, &launch);
            let expected = match outcome {
                // A first process that has ended takes its maps along: the launcher may notice first.
                EXIT if error.to_string().contains("write_map") => error.kind(),
                EXIT => ErrorKind::InitDied,
                HANG => ErrorKind::StartTimeout,
                _ => error.kind(),
            };
            assert_eq!(error.kind(), expected, "{operation}: {error}");
            before.is_still(&format!("fault {outcome} at {operation}"));
        }
    }
}

#[test]
fn a_map_that_the_kernel_refuses_is_a_typed_error() {
    let _turn = turn();
    let flags = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let mut draft = Draft::default();
    let proc = draft.inherit(OwnedFd::from(File::open("/proc").expect("procfs")));
    draft.launcher(l::clone_first(flags, "CLONE_NEWUSER", None));
    draft.launcher(l::child_file(proc, c"uid_map", b"0 4294967295 1"));
    draft.launcher(l::release());
    draft.first_all([l::wait_for_release(), l::exec()]);
    let program = Program::seal(draft).expect("a small program");
    let error = refused(&program, &shell("exit"));
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Step, Some(libc::EINVAL)));
    let text = "write_map(plan:0, \"uid_map\", \"0 4294967295 1\", 14)";
    assert_eq!(error.step_text(), Some(text));
}
