//! The payload's descriptors: exactly its own, at their numbers, whatever the host's table looks like.

mod support;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use ampoule_init::{Error, ErrorKind, Launch, Program};
use proptest::prelude::*;
use support::{
    State, alone, children_of, descriptors, finish, name_of, null, pipe, reaped, refused, run,
    shell, turn, warm_up,
};

/// Starts a shell that waits, with these descriptors, checks what it has, and ends it.
fn check(program: &Program, wanted: &[(RawFd, &OwnedFd)]) {
    let (input, hold) = pipe();
    let mut launch = shell("read x");
    launch.payload_fds = wanted.iter().map(|&(to, from)| (to, from.as_fd())).collect();
    launch.payload_fds.push((0, input.as_fd()));
    let expected: BTreeMap<RawFd, String> =
        launch.payload_fds.iter().map(|(to, from)| (*to, name_of(from))).collect();
    let started = run(program, &launch);
    let payload = children_of(started.pid)[0];
    // The loader opens and closes its files first.
    let held = || descriptors(&payload.to_string());
    let exact = support::eventually(|| held() == expected);
    assert!(exact, "{:?} is not {expected:?}", held());
    drop(launch);
    drop(hold);
    finish(&started);
}

/// A descriptor with this very number in this process, which names something of its own.
fn at(number: RawFd) -> OwnedFd {
    let (reader, _) = pipe();
    rustix::io::fcntl_dupfd_cloexec(&reader, number).expect("a free number")
}

#[test]
fn exactly_its_own_at_their_numbers() {
    let _turn = turn();
    let fds: Vec<OwnedFd> = (0..5).map(|_| at(3)).collect();
    let numbers = [1, 2, 3, 7, 500];
    check(&reaped(), &numbers.into_iter().zip(&fds).collect::<Vec<_>>());
    check(&reaped(), &[]);
}

#[test]
fn swapped_numbers() {
    let _turn = turn();
    let (three, seven) = (at(30), at(70));
    assert_eq!((three.as_raw_fd(), seven.as_raw_fd()), (30, 70));
    check(&reaped(), &[(1, &three), (70, &three), (30, &seven)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]
    #[test]
    fn any_permutation(
        sources in proptest::collection::btree_set(3_i32..40, 1..12),
        targets in proptest::sample::subsequence((1_i32..40).collect::<Vec<_>>(), 12),
        order in Just((0_usize..12).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let _turn = turn();
        let program = reaped();
        let fds: Vec<OwnedFd> = sources.into_iter().map(at).collect();
        let wanted: Vec<_> = order.iter().map(|&index| targets[index]).zip(&fds).collect();
        check(&program, &wanted);
    }
}

#[test]
fn one_source_at_many_numbers() {
    let _turn = turn();
    let fd = at(3);
    check(&reaped(), &[(1, &fd), (2, &fd), (9, &fd), (10, &fd)]);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let _turn = turn();
    let program = reaped();
    let before = warm_up(&program, &shell("exit"));
    for (number, errno) in
        [(-1, libc::EBADF), (i32::MIN, libc::EBADF), (i32::MAX, libc::EBADF), (1, libc::EEXIST)]
    {
        let mut launch = shell("exit");
        launch.payload_fds.push((number, null()));
        let error = refused(&program, &launch);
        assert_eq!(
            (error.kind(), error.errno()),
            (ErrorKind::Host, Some(errno)),
            "{number}: {error}"
        );
    }
    let mut launch = shell("exit");
    launch.payload_fds.push((0x3fff_0000, null()));
    let error = refused(&program, &launch);
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Clone, Some(libc::EMFILE)), "{error}");
    let positions: [fn(&mut Launch<'_>); 2] =
        [|launch| launch.host = Some(0), |launch| launch.status = Some(9)];
    for position in positions {
        let mut launch = shell("exit");
        position(&mut launch);
        let error = refused(&program, &launch);
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Host, Some(libc::EBADF)), "{error}");
    }
    before.is_still("refused numbers");
}

#[test]
fn a_host_without_standard_streams() {
    let words = ["/bin/sh", "-c", "exec \"$@\" 0<&- 2>&-", "sh"];
    alone("a_host_without_standard_streams", &words, || {
        // Rust opens /dev/null for each that is closed at the start, so that they are closed again here.
        null();
        let output =
            rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 10).expect("a number");
        for number in 0..3 {
            close(number);
        }
        let before = descriptors("self");
        assert!(!before.contains_key(&0) && !before.contains_key(&1), "{before:?}");
        let program = reaped();
        let mut launch = shell("exit 8");
        launch.payload_fds.clear();
        let started = run(&program, &launch);
        let status = finish(&started).map(|ended| ended.status);
        drop(started);
        let error = refused(&program, &{
            let mut launch = support::launch(&["/nowhere"]);
            launch.payload_fds.clear();
            launch
        });
        let low: Vec<_> = descriptors("self").into_keys().filter(|&number| number < 3).collect();
        drop(program);
        let after = descriptors("self");
        // The harness wants to print.
        for _ in 0..3 {
            let stream = rustix::io::fcntl_dupfd_cloexec(&output, 0).expect("a number");
            let _for_good = std::os::fd::IntoRawFd::into_raw_fd(stream);
        }
        assert_eq!(low, [0_i32; 0], "nothing of ours at the streams' numbers");
        assert_eq!(status, Some(8 << 8));
        assert_eq!(error.kind(), ErrorKind::Exec);
        assert_eq!(before, after);
    });
}

/// Closes a number that nobody owns: the shell gives it back closed.
fn close(number: RawFd) {
    // A range of one, through a safe call: std's streams are not owned descriptors.
    nix::unistd::close(number).expect("an open stream");
}

#[test]
fn a_host_with_5000_descriptors() {
    alone(
        "a_host_with_5000_descriptors",
        &["/bin/sh", "-c", "ulimit -n 6000; exec \"$@\"", "sh"],
        || {
            let program = reaped();
            let many: Vec<OwnedFd> = (0..5000).map(|_| at(3)).collect();
            let inherited: Vec<OwnedFd> =
                many.iter().skip(4900).map(|fd| rustix::io::dup(fd).expect("dup")).collect();
            let fd = at(3);
            check(&program, &[(1, &fd), (17, &inherited[0]), (700, &inherited[50])]);
        },
    );
}

#[test]
fn a_host_at_its_limit_gets_a_typed_error() {
    alone("a_host_at_its_limit_gets_a_typed_error", &["/usr/bin/env"], || {
        null();
        let mut outcomes = Vec::new();
        for limit in (3..40).chain([2, 1, 0]) {
            let before = State::now();
            let outcome = with_limit(limit, start_one);
            before.is_still(&format!("a limit of {limit}"));
            if let Err(error) = &outcome {
                let kinds = [ErrorKind::Host, ErrorKind::Clone, ErrorKind::Step];
                assert!(kinds.contains(&error.kind()), "{limit}: {error:?}");
                assert_eq!(error.errno(), Some(libc::EMFILE), "{limit}: {error}");
            }
            outcomes.push((limit, outcome.is_ok()));
        }
        assert!(outcomes.contains(&(39, true)), "{outcomes:?}");
        assert!([3, 8].iter().all(|&low| outcomes.contains(&(low, false))), "{outcomes:?}");
    });
}

fn with_limit<T>(limit: u64, body: impl FnOnce() -> T) -> T {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let old = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..old }).expect("lower");
    let result = body();
    setrlimit(Resource::Nofile, old).expect("as before");
    result
}

fn start_one() -> Result<(), Error> {
    let program = Program::seal(support::reaped_draft())?;
    let mut launch = shell("exit 8");
    launch.payload_fds.clear();
    let started = ampoule_init::start(&program, &launch)?;
    assert_eq!(finish(&started).map(|ended| ended.status), Some(8 << 8));
    Ok(())
}
