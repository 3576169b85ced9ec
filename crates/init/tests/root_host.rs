//! Odd hosts: file size limits, SIGCHLD ignored, somebody else's waitpid, forks by somebody else, foreign pid namespaces.

mod support;

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ampoule_init::reaper::Cause;
use ampoule_init::{Draft, ErrorKind, PidNamespace, Program, process, start};
use support::{
    State, alone, children_of, direct, finish, null, pidfd, pipe, reap, reaped, reaped_draft, run,
    seal, shell, turn,
};

#[test]
fn a_file_size_limit_is_a_typed_error_without_sigxfsz() {
    alone("a_file_size_limit_is_a_typed_error_without_sigxfsz", &["/usr/bin/env"], || {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let old = getrlimit(Resource::Fsize);
        let set = |current| setrlimit(Resource::Fsize, Rlimit { current, ..old }).expect("a limit");
        null();
        let before = State::now();
        for limit in [0, 1, 100, 400] {
            set(Some(limit));
            let error = Program::seal(reaped_draft()).expect_err("too large");
            assert_eq!(error.kind(), ErrorKind::FileSizeLimit, "{limit}");
        }
        set(old.current);
        let program = reaped();
        // Enough for neither the executable nor, at last, the launch's record.
        for limit in [4096, 0] {
            set(Some(limit));
            let error = start(&program, &shell("exit")).expect_err("too large");
            assert_eq!(error.kind(), ErrorKind::FileSizeLimit, "{limit}: {error}");
        }
        set(old.current);
        finish(&run(&program, &shell("exit")));
        drop(program);
        before.is_still("a file size limit");
    });
}

const IGNORE_CHILDREN: [&str; 4] = ["/bin/bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"];

#[test]
fn a_host_that_ignores_sigchld_gets_the_status_of_the_reaper() {
    alone("a_host_that_ignores_sigchld_gets_the_status_of_the_reaper", &IGNORE_CHILDREN, || {
        assert!(ampoule_init::sys::process_state::children_are_discarded());
        let _turn = turn();
        let program = reaped();
        for code in [0, 3, 77] {
            let ended =
                finish(&run(&program, &shell(&format!("true; exit {code}")))).expect("a status");
            assert_eq!((ended.status, ended.cause), (code << 8, Cause::Ended));
        }
        let error = support::refused(&program, &support::launch(&["/nowhere"]));
        assert_eq!(error.kind(), ErrorKind::Exec);
    });
}

#[test]
fn a_host_that_ignores_sigchld_never_gets_a_wrong_status() {
    alone("a_host_that_ignores_sigchld_never_gets_a_wrong_status", &IGNORE_CHILDREN, || {
        let _turn = turn();
        let program = direct(0);
        for code in 0..30 {
            let mut launch = shell(&format!("exit {code}"));
            launch.pid_namespace = PidNamespace::Other;
            let status = reap(&run(&program, &launch));
            // From PIDFD_GET_INFO (Linux 6.15), or lost.
            let expected = if has_exit_info() { Some(code << 8) } else { None };
            assert_eq!(status, expected);
        }
    });
}

/// Whether the kernel keeps the status of a reaped process.
fn has_exit_info() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs");
    let mut numbers = release.split(['.', '-']).map(|word| word.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn a_helper_below_a_host_that_ignores_sigchld_is_waited_for() {
    alone("a_helper_below_a_host_that_ignores_sigchld_is_waited_for", &IGNORE_CHILDREN, || {
        use ampoule_init::steps::{launch as l, process as p};
        let _turn = turn();
        let mut draft = Draft::default();
        draft.launcher(l::clone_first(support::NEW_PID, "flags", None));
        draft.launcher(l::run_map_helper(c"/bin/true", &[]));
        draft.launcher(l::release());
        draft.first_all([
            l::wait_for_release(),
            p::undumpable(),
            l::become_reaper(None),
            l::close_others(),
            l::exec(),
        ]);
        let program = Program::seal(draft).expect("a small program");
        assert_eq!(
            finish(&run(&program, &shell("exit 4"))).map(|ended| ended.status),
            Some(4 << 8)
        );
    });
}

#[test]
fn a_failing_helper_is_a_typed_error() {
    use ampoule_init::steps::{launch as l, process as p};
    let _turn = turn();
    for (helper, status) in [(c"/bin/false", 1 << 8), (c"/nowhere", 2 << 8)] {
        let mut draft = Draft::default();
        draft.launcher(l::clone_first(support::NEW_PID, "flags", None));
        draft.launcher(l::run_map_helper(helper, &[]));
        draft.launcher(l::release());
        draft.first_all([l::wait_for_release(), p::undumpable(), l::exec()]);
        let program = Program::seal(draft).expect("a small program");
        let error = support::refused(&program, &shell("exit 4"));
        assert_eq!(
            (error.kind(), error.step(), error.aux()),
            (ErrorKind::Step, Some(1), status),
            "{error}"
        );
    }
}

#[test]
fn a_helper_that_hangs_ends_with_the_launch() {
    use ampoule_init::steps::launch as l;
    let _turn = turn();
    let mark = format!("{}.25", 86_400 + std::process::id());
    let script = std::env::temp_dir().join(format!("ampoule-helper-{mark}"));
    std::fs::write(&script, format!("#!/bin/sh\nexec sleep {mark}\n")).expect("a script");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("its mode");
    let mut draft = Draft::default();
    draft.launcher(l::clone_first(support::NEW_PID, "flags", None));
    let path = support::text(script.to_string_lossy());
    draft.launcher(l::run_map_helper(&path, &[]));
    draft.launcher(l::release());
    draft.first_all([l::wait_for_release(), l::exec()]);
    let program = Program::seal(draft).expect("a small program");
    let mut launch = shell("exit 4");
    launch.deadline = Instant::now() + Duration::from_millis(500);
    let error = support::refused(&program, &launch);
    assert_eq!(error.kind(), ErrorKind::StartTimeout, "{error}");
    std::fs::remove_file(&script).expect("the script is there");
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten();
    let sleeps = |process: &std::fs::DirEntry| {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&mark)
    };
    assert_eq!(processes.filter(sleeps).count(), 0, "sleep {mark} still runs");
}

#[test]
fn a_foreign_waitpid_steals_no_status() {
    alone("a_foreign_waitpid_steals_no_status", &["/usr/bin/env"], || {
        let _turn = turn();
        let stop = Arc::new(AtomicBool::new(false));
        let thief = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut stolen = 0;
                while !stop.load(Ordering::Relaxed) {
                    match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
                        Ok(Some(_)) => stolen += 1,
                        _ => thread::yield_now(),
                    }
                }
                stolen
            }
        });
        let program = reaped();
        let plain = direct(0);
        for code in 0..60 {
            let ended = finish(&run(&program, &shell(&format!("exit {code}")))).expect("a status");
            assert_eq!(ended.status, code << 8);
            let mut launch = shell(&format!("exit {code}"));
            launch.pid_namespace = PidNamespace::Other;
            let status = reap(&run(&plain, &launch));
            let exact = status == Some(code << 8);
            assert!(exact || (status.is_none() && !has_exit_info()), "{code}: {status:?}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(thief.join().expect("the thief") > 0, "nothing was stolen");
    });
}

#[test]
fn a_foreign_fork_does_not_delay_a_start() {
    alone("a_foreign_fork_does_not_delay_a_start", &["/usr/bin/env"], || {
        null();
        let program = reaped();
        support::warm_up(&program, &shell("exit"));
        let stop = Arc::new(AtomicBool::new(false));
        // Forks without exec at every moment of the launches, each holding a copy of all descriptors for seconds.
        let forks = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut forks = Vec::new();
                while !stop.load(Ordering::Relaxed) && forks.len() < 3000 {
                    match fork::fork().expect("a fork") {
                        fork::Fork::Child => {
                            thread::sleep(Duration::from_secs(8));
                            nix::sys::signal::raise(nix::sys::signal::SIGKILL).expect("the end");
                        }
                        fork::Fork::Parent(pid) => forks.push(pid),
                    }
                }
                forks
            }
        });
        let mut slowest = Duration::ZERO;
        for round in 0..60 {
            let begin = Instant::now();
            let (path, expected) =
                if round % 3 == 2 { ("/nowhere", None) } else { ("/bin/sh", Some(3 << 8)) };
            let mut launch = shell("exit 3");
            launch.paths = vec![support::text(path)];
            match start(&program, &launch) {
                Ok(started) => assert_eq!(finish(&started).map(|ended| ended.status), expected),
                Err(error) => assert_eq!((error.kind(), expected), (ErrorKind::Exec, None)),
            }
            slowest = slowest.max(begin.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        let forks = forks.join().expect("the forking thread");
        for pid in forks.iter().filter_map(|&pid| rustix::process::Pid::from_raw(pid)) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
                .expect("a fork of ours");
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
                .expect("a fork of ours");
        }
        assert!(forks.len() > 10, "{} forks", forks.len());
        assert!(
            slowest < Duration::from_secs(2),
            "a start took {slowest:?} beside {} forks",
            forks.len()
        );
    });
}

#[test]
fn a_fork_of_the_host_holds_no_end_of_inits() {
    alone("a_fork_of_the_host_holds_no_end_of_inits", &["/usr/bin/env"], || {
        null();
        let (input, hold) = pipe();
        let mut launch = support::launch(&["/bin/cat"]);
        launch.payload_fds[0].1 = input.as_fd();
        let started = run(&reaped(), &launch);
        let fork::Fork::Parent(fork) = fork::fork().expect("a fork") else {
            thread::sleep(Duration::from_secs(60));
            return;
        };
        drop(hold);
        // The payload reads from a pipe that the fork holds, too: it is ended by a signal instead.
        ampoule_init::reaper::signal(&started.control, 9).expect("a request");
        assert_eq!(finish(&started).map(|ended| ended.status), Some(9));
        let closed = ampoule_init::control::receive(&started.control).expect("a look");
        assert!(matches!(closed, ampoule_init::control::Received::Closed), "{closed:?}");
        let fork = rustix::process::Pid::from_raw(fork).expect("an id");
        rustix::process::kill_process(fork, rustix::process::Signal::KILL).expect("a fork of ours");
        rustix::process::waitpid(Some(fork), rustix::process::WaitOptions::empty())
            .expect("a fork of ours");
    });
}

#[test]
fn a_host_in_a_pid_namespace_of_its_own() {
    let words = ["/usr/bin/unshare", "-pf", "--mount-proc"];
    alone("a_host_in_a_pid_namespace_of_its_own", &words, || {
        let _turn = turn();
        let ended = finish(&run(&reaped(), &shell("exit 11"))).expect("a status");
        assert_eq!(ended.status, 11 << 8);
    });
}

#[test]
fn a_program_is_shared_by_many_threads() {
    let _turn = turn();
    let program = Arc::new(reaped());
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let program = Arc::clone(&program);
            thread::spawn(move || {
                for _ in 0..10 {
                    let ended = finish(&run(&program, &shell(&format!("exit {number}"))))
                        .expect("a status");
                    assert_eq!(ended.status, number << 8);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

#[test]
fn a_big_host_is_as_quick_as_a_small_one() {
    alone("a_big_host_is_as_quick_as_a_small_one", &["/usr/bin/env"], || {
        null();
        let program = reaped();
        let launch_once = || {
            let begin = Instant::now();
            let started = run(&program, &support::launch(&["/bin/true"]));
            finish(&started);
            begin.elapsed()
        };
        let median = || {
            let mut times: Vec<_> = (0..30).map(|_| launch_once()).collect();
            times.sort_unstable();
            times[15]
        };
        median();
        let mut ratios = Vec::new();
        for _ in 0..3 {
            let small = median();
            let ballast = vec![1_u8; 1 << 30];
            let big = median();
            assert_eq!(
                ballast.iter().step_by(4096).map(|&byte| u64::from(byte)).sum::<u64>(),
                1 << 18
            );
            drop(ballast);
            ratios.push(big.as_secs_f64() / small.as_secs_f64());
            if ratios.iter().any(|&ratio| ratio < 1.3) {
                return;
            }
        }
        panic!("1 GiB resident: {ratios:?} times as long");
    });
}

#[test]
fn the_host_is_as_before() {
    let _turn = turn();
    let program = seal(
        support::NEW_PID,
        &[
            ampoule_init::steps::process::umask(0),
            ampoule_init::steps::process::undumpable(),
            ampoule_init::steps::launch::become_reaper(None),
            ampoule_init::steps::process::setuid(65534),
        ],
    );
    let facts = || {
        let read = |name: &str| {
            std::fs::read_to_string(format!("/proc/thread-self/{name}")).expect("procfs")
        };
        let status = read("status");
        let kept = [
            "Umask",
            "Uid",
            "Gid",
            "Sig",
            "Cap",
            "NoNewPrivs",
            "Seccomp:",
            "Threads",
            "CoreDumping",
        ];
        let lines = status.lines().filter(|line| {
            kept.iter().any(|name| line.starts_with(name)) && !line.starts_with("SigQ")
        });
        let dumpable = rustix::process::dumpable_behavior().expect("prctl");
        let limits = read("limits");
        (
            lines.map(str::to_owned).collect::<Vec<_>>(),
            format!("{dumpable:?}"),
            limits,
            read("oom_score_adj"),
            std::env::current_dir().expect("cwd"),
        )
    };
    let before = facts();
    for script in ["exit 0", "kill -9 $$"] {
        finish(&run(&program, &shell(script)));
    }
    support::refused(&program, &support::launch(&["/nowhere"]));
    assert_eq!(facts(), before);
}

#[test]
fn the_launcher_is_gone_when_the_start_returns() {
    let _turn = turn();
    let (input, hold) = pipe();
    let mut launch = support::launch(&["/bin/cat"]);
    launch.payload_fds[0].1 = input.as_fd();
    let started = run(&reaped(), &launch);
    assert_eq!(support::children(), [started.pid]);
    assert!(started.pidfd.as_raw_fd() > 2);
    let payload = pidfd(children_of(started.pid)[0]);
    drop(hold);
    finish(&started);
    assert!(process::wait_readable(&payload, Some(Instant::now())).expect("poll"));
}
