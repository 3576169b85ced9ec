//! Landlock on the kernels of the machines: 6.1, which has less than the rules ask for, and a newer one, which has all.
//!
//! Kernel objects: as in [`scene::landlock`]. Invariant: what is asserted of a kernel is what its version says, not what
//! the library found.

mod oracle;
mod scene;

use ampoule::{Container, Control, ErrorKind, Landlock, LandlockScope, Stage, State};
use oracle::{tier, unchanged};
use scene::landlock::{DENIED, NOT_PERMITTED, denies_in, program_only, view};
use scene::{is_error, refused};

/// Whether this is the kernel of ABI 2; the other one has at least ABI 6.
fn is_old() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    match release.split('.').take(2).collect::<Vec<_>>().as_slice() {
        ["6", "1"] => true,
        ["6", minor] if minor.parse().is_ok_and(|minor: u32| minor >= 12) => false,
        other => panic!("{other:?} is a kernel that this test does not know"),
    }
}

fn everything() -> Landlock {
    program_only().connect_tcp(9).scope(LandlockScope::Signal)
}

#[test]
fn a_required_rule_is_in_force_or_a_typed_error() {
    tier::vm();
    unchanged(|| {
        let plan = view().landlock(everything()).command("true").plan();
        if !is_old() {
            let plan = plan.expect("a plan");
            assert!(plan.report().is_in_force(Control::Landlock), "{}", plan.report());
            return;
        }
        let words = ["ABI 6 is needed and the kernel has 2", "truncation of files (ABI 3)"];
        let error = refused(plan);
        is_error(&error, ErrorKind::Unsupported, Stage::Plan, &words);
        let more = ["TCP ports (ABI 4)", "ioctl of devices (ABI 5)", "scopes (ABI 6)"];
        is_error(&error, ErrorKind::Unsupported, Stage::Plan, &more);
        assert!(error.hint().is_some_and(|hint| hint.contains("best_effort")), "{error:?}");
        let tcp = Landlock::new().deny_tcp();
        let error = refused(Container::bare().landlock(tcp.clone()).command("true").plan());
        is_error(&error, ErrorKind::Unsupported, Stage::Plan, &["ABI 4 is needed"]);
        let nothing = Container::bare().best_effort(Control::Landlock).landlock(tcp);
        let plan = nothing.command("true").plan().expect("a plan");
        assert!(!plan.to_string().contains("landlock"), "{plan}");
        assert!(plan.launch().status().expect("a run").success());
    });
}

#[test]
fn best_effort_keeps_what_there_is_and_says_the_rest() {
    tier::vm();
    unchanged(|| {
        let builder = view().best_effort(Control::Landlock).landlock(everything());
        let plan = builder.clone().command("true").plan().expect("a plan");
        let wanted = "only in part: ABI 6 is needed and the kernel has 2; not restricted: \
            truncation of files (ABI 3), ioctl of devices (ABI 5), TCP ports (ABI 4), scopes (ABI 6)";
        match plan.report().state(Control::Landlock) {
            Some(State::NotPossible(reason)) if is_old() => assert_eq!(reason, wanted),
            Some(State::InForce(_)) if !is_old() => {}
            other => panic!("{other:?}"),
        }
        let newer = if is_old() { 0 } else { DENIED };
        let signal = if is_old() { 0 } else { NOT_PERMITTED };
        let wanted = [
            ("read:/etc/passwd", 0),
            ("list:/", DENIED),
            ("make:/tmp/x", DENIED),
            ("bind:8001", newer),
            ("signal:2", signal),
        ];
        let container = builder.idle().expect("a container");
        // Process 2, of the same user and under rules of its own.
        let _other = container.exec("sleep").arg("1000").spawn().expect("a process");
        denies_in(&container, &wanted);
    });
}

#[test]
fn payload_main() {
    scene::landlock::payload_main();
}
