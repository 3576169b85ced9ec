//! The launch path with the smallest programs: what `Ok` and `Err` mean, and that nothing is left.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{Draft, First, Launch, PidNamespace, Program, Timings, start};

const NEW_PID: u64 = libc::CLONE_NEWPID as u64;

fn program(flags: u64) -> Program {
    let mut draft = Draft::default();
    draft.launcher(l::clone_first(flags, "CLONE_NEWPID", None));
    draft.launcher(l::release());
    draft.first_all([
        l::wait_for_release(),
        p::undumpable(),
        l::become_reaper(None),
        l::reset_signals(),
        l::close_others(),
        l::exec(),
    ]);
    Program::seal(draft).unwrap()
}

fn launch<'a>(argv: &[&str], stdio: [BorrowedFd<'a>; 3]) -> Launch<'a> {
    Launch {
        argv: argv.iter().map(|a| CString::new(*a).unwrap()).collect(),
        env: vec![],
        paths: vec![CString::new(argv[0]).unwrap()],
        parameters: vec![],
        payload_fds: stdio.into_iter().enumerate().map(|(n, fd)| (n as i32, fd)).collect(),
        fds: vec![],
        host: None,
        status: None,
        first: First::Payload,
        pid_namespace: PidNamespace::New,
        timeout: None,
        timings: Timings::Off,
        deadline: Instant::now() + Duration::from_secs(5),
        fault: None,
    }
}

#[test]
fn the_payload_runs_and_its_status_comes_back() {
    let program = program(NEW_PID);
    println!("{program}");
    let (i, o, e) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stdio = [i.as_fd(), o.as_fd(), e.as_fd()];
    for _ in 0..200 {
        let started = start(&program, &launch(&["/bin/sh", "-c", "exit 3"], stdio)).unwrap();
        assert!(
            ampoule_init::process::wait_readable(
                &started.control,
                Some(Instant::now() + Duration::from_secs(5))
            )
            .unwrap()
        );
        let ended = ampoule_init::reaper::report(&started.control).unwrap().unwrap();
        assert_eq!(ended.status, 3 << 8);
        ampoule_init::process::reap(&started.pidfd).unwrap();
    }
    let t = Instant::now();
    for _ in 0..500 {
        let started = start(&program, &launch(&["/bin/busybox", "true"], stdio)).unwrap();
        ampoule_init::process::reap(&started.pidfd).unwrap();
    }
    println!("{:?}", t.elapsed() / 500);
    let error = start(&program, &launch(&["/nowhere"], stdio)).unwrap_err();
    println!("{error}");
    let error = start(&program, &launch(&["/etc"], stdio)).unwrap_err();
    println!("{error} {:o}", error.aux());
}
