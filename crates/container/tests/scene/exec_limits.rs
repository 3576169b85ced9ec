//! Processes that join a container which is frozen, out of memory, or full, and starts that fail at each step.
//!
//! Kernel objects: containers with groups of their own. Invariant: the host lives, every start ends within its time limit,
//! and nothing is left of one that failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ampoule::{Bytes, Container, ErrorKind, OwnGroup, Stdio, WindowSize};
use ampoule_init::wire::fault;

use super::exec::idle;
use super::outside::descendants;
use super::{is_error, printed, refused, shell, soon, times};

pub(crate) fn a_frozen_container_lets_the_time_pass() {
    let sandbox = Container::host_view().own_group(OwnGroup::Always).idle().expect("a container");
    // Before and after the first process has joined.
    for _ in 0..2 {
        sandbox.pause().expect("a pause");
        let begun = Instant::now();
        let error = refused(sandbox.exec("true").start_timeout(Duration::from_millis(80)).spawn());
        is_error(&error, ErrorKind::StartTimeout, error.stage(), &["frozen"]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(descendants(), 1, "init alone");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| sandbox.exec("true").status());
            thread::sleep(Duration::from_millis(20));
            sandbox.resume().expect("the end of the pause");
            assert!(waiting.join().expect("a thread").expect("a status").success());
        });
    }
}

/// Frozen and thawed by somebody who does not ask the handle.
pub(crate) fn a_container_that_freezes_meanwhile() {
    let sandbox = Container::host_view().own_group(OwnGroup::Always).idle().expect("a container");
    let group = sandbox.group().expect("a group").clone();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                group.freeze().and_then(|()| group.thaw()).expect("a pause");
            }
        });
        for _ in 0..times(60, 2000) {
            match sandbox.exec("true").start_timeout(Duration::from_millis(50)).status() {
                Ok(status) => assert!(status.success(), "{status}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::StartTimeout, "{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    group.thaw().expect("the end of the pause");
    assert_eq!(descendants(), 1, "init alone");
}

/// One process is killed for want of memory after the other, with everything else in the group.
pub(crate) fn want_of_memory_ends_the_container_not_the_host() {
    const EAT: &str = "x=0123456789; while :; do x=$x$x; done";
    for _ in 0..times(3, 30) {
        let builder = Container::host_view().memory_max(Bytes::mib(16)).own_group(OwnGroup::Always);
        let mut container = shell(builder, &format!("while :; do ({EAT}) 2>/dev/null; done"))
            .stdin(Stdio::null())
            .spawn()
            .expect("a container");
        for path in container.group().expect("a group").paths() {
            // Only v2 has it.
            drop(std::fs::write(path.join("memory.oom.group"), "1"));
        }
        let begun = Instant::now();
        for _ in 0..40 {
            match container.exec("/bin/true").start_timeout(Duration::from_secs(2)).status() {
                Ok(status) => assert!(status.success() || status.signal() == Some(9), "{status}"),
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::InitDied
                            | ErrorKind::Ended
                            | ErrorKind::ResourceLimit
                            | ErrorKind::StartTimeout
                            | ErrorKind::System
                    ),
                    "{error}"
                ),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(90));
        container.stop(Duration::ZERO).expect("a status");
        assert_eq!(descendants(), 0);
    }
}

pub(crate) fn a_container_that_is_full_is_a_typed_error() {
    let builder = Container::host_view().pids_max(4).own_group(OwnGroup::Always);
    let command = shell(builder, "sleep 1000 & sleep 1000 & wait").stdin(Stdio::null());
    let container = command.spawn().expect("a container");
    let full = || container.group().expect("a group").procs(ampoule_cgroups::Depth::One);
    assert!(soon(|| full().expect("its processes").len() == 4));
    let error = refused(container.exec("true").spawn());
    assert_eq!((error.kind(), error.errno()), (ErrorKind::ResourceLimit, Some(11)), "{error}");
    assert_eq!(full().expect("its processes").len(), 4, "nothing is left");
}

pub(crate) fn many_threads_share_a_sandbox() {
    let (_root, sandbox) = idle();
    thread::scope(|scope| {
        for number in 0..8 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for round in 0..times(50, 1000) {
                    let word = format!("{number}.{round}");
                    let exec = sandbox.exec("sh").args(["-c", "echo $WORD; exit ${WORD%.*}"]);
                    let output = exec.env("WORD", word.as_str()).output().expect("a run");
                    assert_eq!(output.status.code(), Some(number), "{output:?}");
                    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), word);
                }
            });
        }
    });
    assert_eq!(descendants(), 1, "init alone");
}

/// Each operation fails in turn: with an error, by the end of its process, and by taking too long.
pub(crate) fn every_operation_can_fail() {
    const ERRORS: [i32; 4] = [12, 1, 4, 11];
    let sandbox = Container::host_view().oom_score_adj(300).idle().expect("a container");
    let exec = || sandbox.exec("/bin/true").tty(WindowSize::default());
    for operation in 0..exec().operations().expect("a plan") {
        let number = u32::try_from(operation).expect("few");
        let errno = ERRORS[operation % ERRORS.len()];
        let error = refused(exec().inject_fault(number, errno.unsigned_abs()).spawn());
        assert_eq!(error.errno(), Some(errno), "{operation}: {error}");
        let begun = Instant::now();
        let error = refused(exec().inject_fault(number, fault::EXIT).spawn());
        assert_eq!(error.kind(), ErrorKind::InitDied, "{operation}: {error}");
        let limit = Duration::from_millis(30);
        let error = refused(exec().inject_fault(number, fault::HANG).start_timeout(limit).spawn());
        assert_eq!(error.kind(), ErrorKind::StartTimeout, "{operation}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{operation} hangs");
        assert_eq!(
            descendants(),
            1,
            "operation {operation} of\n{}",
            exec().steps().expect("a plan")
        );
    }
    let output = sandbox.exec("echo").arg("still there").output().expect("a run");
    assert_eq!(printed(output), "still there\n");
}
