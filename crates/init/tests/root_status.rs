//! The status of a payload as the reaper reports it, and what becomes of its other processes.

mod support;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use ampoule_init::reaper::{self, Cause, Ended};
use ampoule_init::{ErrorKind, PidNamespace, process};
use support::{
    children_of, comm_and_state, direct, drained, ends_within, eventually, finish, launch,
    pidfds_of_tree, pipe, reap, reaped, refused, run, seal, shell, status_line, tree, turn,
};

fn status_of(script: &str) -> Ended {
    let program = reaped();
    let started = run(&program, &shell(script));
    finish(&started).expect("a status")
}

#[test]
fn exit_codes_are_exact() {
    let _turn = turn();
    for code in [0, 1, 2, 3, 125, 127, 128, 255] {
        let ended = status_of(&format!("exit {code}"));
        assert_eq!((ended.status, ended.cause), (code << 8, Cause::Ended));
    }
}

#[test]
fn signals_are_exact() {
    let _turn = turn();
    // As PID 1 itself none of these would be seen: abort shows as SIGSEGV, the others do nothing.
    for (name, signal) in
        [("ABRT", 6), ("SEGV", 11), ("PIPE", 13), ("TERM", 15), ("KILL", 9), ("USR1", 10)]
    {
        let ended = status_of(&format!("ulimit -c 0; kill -{name} $$; exit 77"));
        assert_eq!(ended.status & 0x7f, signal, "{name}");
        assert_eq!(ended.status >> 8 & 0xff, 0, "{name}");
    }
}

#[test]
fn a_payload_with_a_copy_of_the_memory_does_the_same() {
    use ampoule_init::steps::launch::become_reaper_apart;
    let _turn = turn();
    let program = seal(support::NEW_PID, &[become_reaper_apart(None)]);
    let started = run(&program, &shell("exit 41"));
    assert_eq!(finish(&started).map(|ended| ended.status), Some(41 << 8));
}

#[test]
fn a_writer_without_reader_ends_by_sigpipe() {
    let _turn = turn();
    let (reader, writer) = pipe();
    let mut launch = launch(&["/usr/bin/yes"]);
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&reaped(), &launch);
    drop(reader);
    assert_eq!(finish(&started).map(|ended| ended.status), Some(13));
}

#[test]
fn a_direct_payload_gives_its_status_to_waitid() {
    let _turn = turn();
    for flags in [0, support::NEW_PID] {
        let program = direct(flags);
        let mut launch = shell("exit 9");
        launch.pid_namespace = PidNamespace::Other;
        assert_eq!(reap(&run(&program, &launch)), Some(9 << 8));
    }
    let mut launch = shell("kill -KILL $$");
    launch.pid_namespace = PidNamespace::Other;
    assert_eq!(reap(&run(&direct(0), &launch)), Some(9));
}

#[test]
fn the_usage_is_filled() {
    let _turn = turn();
    let usage = status_of("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 0.01").usage;
    assert!(usage.user > Duration::from_millis(10), "{usage:?}");
    assert!(usage.user + usage.system < Duration::from_secs(60), "{usage:?}");
    assert!((500..1_000_000).contains(&usage.max_rss_kib), "{usage:?}");
    assert!(usage.minor_faults > 50, "{usage:?}");
    assert!(usage.voluntary_switches > 0, "{usage:?}");
}

#[test]
fn orphans_are_reaped() {
    let _turn = turn();
    let (mut reader, writer) = pipe();
    let (input, hold) = pipe();
    // Thirty processes that lose their parent and then end.
    let mut launch = shell(
        "for i in 1 2 3; do (for j in 1 2 3 4 5 6 7 8 9 10; do true & done); done; echo; read x",
    );
    launch.payload_fds[0].1 = input.as_fd();
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&reaped(), &launch);
    reader.read_exact(&mut [0]).expect("the payload is done");
    assert!(eventually(|| children_of(started.pid).len() == 1), "{:?}", children_of(started.pid));
    drop(hold);
    assert_eq!(finish(&started).map(|ended| ended.status), Some(1 << 8));
}

#[test]
fn everything_in_the_namespace_ends_with_the_payload() {
    let _turn = turn();
    let (mut reader, writer) = pipe();
    let (input, hold) = pipe();
    let mut launch =
        shell("setsid sleep 1000 & (setsid sleep 1001 &) ; sleep 1002 & echo; read x; exit 4");
    launch.payload_fds[0].1 = input.as_fd();
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&reaped(), &launch);
    reader.read_exact(&mut [0]).expect("the payload is ready");
    assert!(eventually(|| tree(started.pid).len() >= 5), "{:?}", tree(started.pid));
    let all = pidfds_of_tree(started.pid);
    (&hold).write_all(b"\n").expect("a reader");
    assert_eq!(finish(&started).map(|ended| ended.status), Some(4 << 8));
    // The first process can be reaped only after all the others (pid_namespaces(7)).
    assert!(all.iter().all(|pidfd| ends_within(pidfd, Duration::ZERO)));
}

#[test]
fn a_report_is_not_lost_behind_unread_requests() {
    let _turn = turn();
    for _ in 0..30 {
        let (input, hold) = pipe();
        let mut launch = shell("read x; exit 3");
        launch.payload_fds[0].1 = input.as_fd();
        let started = run(&reaped(), &launch);
        drop(hold);
        // Signal 0 does nothing; what the reaper has not read when it ends resets the connection.
        for _ in 0..50 {
            if reaper::signal(&started.control, 0).is_err() {
                break;
            }
        }
        assert_eq!(finish(&started).map(|ended| ended.status), Some(3 << 8));
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_a_typed_error() {
    let _turn = turn();
    let program = reaped();
    let before = support::warm_up(&program, &shell("exit"));
    let script = std::env::temp_dir().join(format!("ampoule-init-script-{}", std::process::id()));
    std::fs::write(&script, "#!/nowhere/interpreter\n").expect("a temporary file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).expect("chmod");
    let script_name = script.to_str().expect("text").to_owned();
    let table = [
        ("/nowhere", libc::ENOENT, 0),
        ("/etc", libc::EACCES, libc::S_IFDIR),
        ("/etc/passwd", libc::EACCES, libc::S_IFREG),
        ("/etc/passwd/x", libc::ENOENT, 0),
        (&script_name, libc::ENOENT, libc::S_IFREG),
    ];
    for (path, errno, kind) in table {
        let error = refused(&program, &launch(&[path]));
        assert_eq!(
            (error.kind(), error.errno()),
            (ErrorKind::Exec, Some(errno)),
            "{path}: {error}"
        );
        assert_eq!(error.aux() & libc::S_IFMT, kind, "{path}: {error}");
        before.is_still(path);
    }
    std::fs::remove_file(script).expect("the temporary file");
}

#[test]
fn the_first_executable_path_is_taken() {
    let _turn = turn();
    let program = reaped();
    let mut launch = launch(&["sh", "-c", "exit 5"]);
    launch.paths = ["/nowhere/sh", "/etc/passwd/sh", "/etc", "/bin/sh"].map(support::text).to_vec();
    let started = run(&program, &launch);
    assert_eq!(finish(&started).map(|ended| ended.status), Some(5 << 8));
}

#[test]
fn the_reaper_has_its_name_and_only_cap_kill() {
    let _turn = turn();
    let (input, hold) = pipe();
    let mut launch = launch(&["/bin/cat"]);
    launch.payload_fds[0].1 = input.as_fd();
    let started = run(&reaped(), &launch);
    assert_eq!(comm_and_state(started.pid).map(|(comm, _)| comm), Some("ampoule-init".to_owned()));
    for set in ["CapEff", "CapPrm"] {
        assert_eq!(status_line(started.pid, set), "0000000000000020", "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status_line(started.pid, set), "0000000000000000", "{set}");
    }
    drop(hold);
    finish(&started);
}

#[test]
fn an_idle_reaper_stops_when_it_is_told() {
    let _turn = turn();
    let mut launch = launch(&["none"]);
    launch.first = ampoule_init::First::Idle;
    let program = seal(support::NEW_PID, &[ampoule_init::steps::launch::become_reaper(None)]);
    let started = run(&program, &launch);
    assert!(!ends_within(&started.pidfd, Duration::from_millis(20)));
    reaper::stop(&started.control).expect("a request");
    assert_eq!(finish(&started).map(|ended| ended.cause), Some(Cause::Ended));
}

#[test]
fn a_status_descriptor_gets_one_line() {
    let _turn = turn();
    let table = [
        ("exit 7", None, "exited 7\n"),
        ("kill -9 $$", None, "signaled 9\n"),
        ("sleep 100", Some(Duration::from_millis(30)), "timed-out\n"),
    ];
    for (script, timeout, line) in table {
        let (reader, writer) = pipe();
        let mut launch = shell(script);
        launch.fds = vec![writer.as_fd()];
        launch.status = Some(0);
        launch.timeout = timeout;
        let started = run(&reaped(), &launch);
        drop(launch);
        drop(writer);
        finish(&started);
        assert_eq!(String::from_utf8_lossy(&support::drained(reader)), line);
    }
}

#[test]
fn a_dropped_handle_leaves_the_container_to_itself() {
    let _turn = turn();
    let (reader, writer) = pipe();
    let mut launch = shell("sleep 0.05; echo still here");
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&reaped(), &launch);
    drop(writer);
    let ampoule_init::Started { pidfd, control, .. } = started;
    drop(control);
    assert_eq!(support::drained(reader), b"still here\n");
    process::reap(&pidfd).expect("the first process");
}

#[test]
fn what_the_reaper_keeps_is_open_until_it_ends_and_never_the_payloads() {
    let _turn = turn();
    let (reader, writer) = pipe();
    let script = "for fd in 3 4 5 6 7 8 9; do test -e /proc/self/fd/$fd && exit 1; done; sleep 0.2";
    let mut launch = shell(script);
    (launch.fds, launch.kept) = (vec![writer.as_fd()], Some(0));
    let started = run(&reaped(), &launch);
    drop(launch);
    drop(writer);
    let open = process::wait_readable(&reader, Some(std::time::Instant::now())).expect("poll");
    assert!(!open, "it is closed early");
    assert_eq!(finish(&started).map(|ended| ended.status), Some(0));
    assert!(drained(reader).is_empty());
}
