//! Containers that are parked and claimed.
//!
//! Kernel objects: those of created containers. Invariant: each runs one program, and none is left behind the pool.

use std::time::Duration;

use ampoule::{Container, ErrorKind, Outcome, Pid1, Stage, Stdio};

use super::outside::descendants;
use super::{is_error, printed, refused};

pub(crate) fn each_is_used_once_and_all_go() {
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        let plan = Container::host_view().pid1(pid1).command("true").plan().expect("a plan");
        let pool = plan.pool(3).expect("a pool");
        assert_eq!(pool.len(), 3);
        for number in 0..4 {
            let launch = pool.launch().program("/bin/sh").current_dir("/usr").env("N", "x");
            let script =
                "ls -A /tmp; touch /tmp/used; pwd; echo $N$1; cat; ls /proc/self/fd | wc -l";
            let args = ["-c", script, "sh", &number.to_string()];
            let output = launch.args(args).stdin_bytes("in\n").output().expect("a run");
            let text = printed(output);
            assert_eq!(text, format!("/usr\nx{number}\nin\n4\n"));
        }
        assert!(pool.is_empty(), "and the fourth was made for its launch");
        pool.fill().expect("more");
        assert_eq!(pool.len(), 3);
        drop(pool);
        assert_eq!(descendants(), 0);
    }
}

/// Descriptors beside the streams, and none of those that stood there meanwhile.
pub(crate) fn further_descriptors_arrive_with_their_numbers() {
    let made = |text: &str| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("a text");
        std::fs::File::open(file.path()).expect("the file")
    };
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        let plan = Container::host_view().pid1(pid1).command("true").plan().expect("a plan");
        let pool = plan.pool(4).expect("a pool");
        let script = "ls /proc/self/fd | tr '\\n' ' '; cat <&3; cat <&9; cat <&31";
        let launch = || pool.launch().program("/bin/bash").args(["-c", script]);
        let three = launch().fd(3, made("three ")).fd(9, made("nine ")).fd(31, made("last"));
        let text = printed(three.output().expect("a run"));
        // 4 is the directory that ls reads.
        assert_eq!(text, "0 1 2 3 31 4 9 three nine last");
        for (number, twice) in [(2, 5), (32, 5), (4, 4)] {
            let launch = pool.launch().fd(number, made("")).fd(twice, made(""));
            let error = refused(launch.output());
            is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["fd"]);
        }
        assert!(pool.is_empty());
        drop(pool);
        assert_eq!(descendants(), 0);
    }
}

pub(crate) fn a_claim_that_fails_says_why() {
    let plan = Container::host_view().command("true").plan().expect("a plan");
    let pool = plan.pool(4).expect("a pool");
    // It may end before it is told to go on: the reason is the same.
    for _ in 0..20 {
        let error = refused(pool.launch().program("/no/such").spawn());
        is_error(&error, ErrorKind::ProgramNotFound, Stage::Exec, &["/no/such"]);
        pool.fill().expect("more");
    }
    let error = refused(pool.launch().program("/no/such").spawn());
    is_error(&error, ErrorKind::ProgramNotFound, Stage::Exec, &["/no/such"]);
    let error = refused(pool.launch().current_dir("/no/such").spawn());
    is_error(&error, ErrorKind::WorkingDirectory, Stage::Process, &["/no/such"]);
    let error = refused(pool.launch().id("x").spawn());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["id"]);
    let launch = pool.launch().program("sleep").args(["1000"]).timeout(Duration::from_millis(100));
    let mut container = launch.stdin(Stdio::null()).spawn().expect("a container");
    assert_eq!(container.wait().expect("a status").outcome(), Outcome::TimedOut);
    drop(pool);
    assert_eq!(descendants(), 0);
}
