//! The order of a plan's steps, whatever the settings are: what stands in ARCHITECTURE.md, read from the plan's own text.
//!
//! Kernel objects: descriptors that a plan opens. Invariant: nothing is started, so that no privilege is needed.

mod oracle;

use std::cell::RefCell;
use std::collections::BTreeSet;

use ampoule::seccomp::{Action, Filter};
use ampoule::{
    Builder, Capability, Container, Namespace, NewPrivileges, Pid1, Resource, ResourceLimit,
    Rlimit, Root, Seccomp, User, WindowSize,
};
use oracle::{fixture, unchanged};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The steps of the first process, without their numbers.
fn first(plan: &str) -> Vec<&str> {
    let calls =
        plan.lines().filter_map(|line| line.split_once(" first ")).map(|(_, call)| call.trim());
    calls.collect()
}

/// Where a step with this beginning stands, each time.
fn places(steps: &[&str], start: &str) -> Vec<usize> {
    let found = steps.iter().enumerate().filter(|(_, step)| step.starts_with(start));
    found.map(|(place, _)| place).collect()
}

/// Each step of the first kind stands before each one of the second, wherever there are both.
const ORDER: &[(&str, &str)] = &[
    // The root is the container's before anything of the payload's is set up.
    ("pivot_root(", "prctl(PR_CAPBSET_DROP"),
    ("pivot_root(", "seccomp("),
    ("move_mount(", "pivot_root("),
    ("umount2(", "become_reaper("),
    // Nobody in the container can trace what still holds privilege.
    ("prctl(PR_SET_DUMPABLE", "become_reaper("),
    ("prctl(PR_SET_DUMPABLE", "prctl(PR_CAPBSET_DROP"),
    // What takes privilege is done before it goes.
    ("sethostname(", "prctl(PR_CAPBSET_DROP"),
    ("prlimit64(", "prctl(PR_CAPBSET_DROP"),
    ("keyctl(", "prctl(PR_CAPBSET_DROP"),
    ("prctl(PR_CAPBSET_DROP", "prctl(PR_SET_KEEPCAPS"),
    ("prctl(PR_SET_KEEPCAPS", "capset("),
    // Nothing of init's is open where a path of the container is looked up.
    ("send_fd(1", "close_range("),
    ("close_range(", "chdir("),
    ("chdir(", "seccomp("),
    ("prctl(PR_SET_NO_NEW_PRIVS", "seccomp("),
    // The clock is read while that is permitted.
    ("mark(", "seccomp("),
    // The listener is there before it is sent.
    ("seccomp(", "send_fd(3"),
    ("capset(", "execve("),
    // A ruleset is built before the payload's limits, and enforced when nothing is opened any more.
    #[cfg(feature = "landlock")]
    ("landlock_create_ruleset(", "become_reaper("),
    #[cfg(feature = "landlock")]
    ("landlock_create_ruleset(", "prlimit64("),
    #[cfg(feature = "landlock")]
    ("pivot_root(", "landlock_create_ruleset("),
    #[cfg(feature = "landlock")]
    ("prctl(PR_SET_NO_NEW_PRIVS", "landlock_restrict_self("),
    #[cfg(feature = "landlock")]
    ("landlock_restrict_self(", "close_range("),
];

/// What may stand behind the closing of descriptors: it opens none.
const BEHIND_CLOSING: &[&str] =
    &["chdir", "hold", "mark", "seccomp", "send_fd", "capset", "prctl", "execve"];

fn name<'a>(step: &&'a str) -> &'a str {
    step.split('(').next().unwrap_or(step)
}

/// Asserts the order; gives the positions in [`ORDER`] that said something.
#[track_caller]
fn assert_order(steps: &[&str]) -> Vec<usize> {
    let mut said = Vec::new();
    for (rule, (early, late)) in ORDER.iter().enumerate() {
        let (one, two) = (places(steps, early), places(steps, late));
        if let (Some(last), Some(first)) = (one.last(), two.first()) {
            let text = steps.join("\n");
            assert!(last < first, "{early} at {one:?}, {late} at {two:?}:\n{text}");
            said.push(rule);
        }
    }
    let closing = assert_once(steps, "close_range(");
    let behind: Vec<_> = steps[closing + 1..].iter().map(name).collect();
    assert!(behind.iter().all(|name| BEHIND_CLOSING.contains(name)), "{behind:?}");
    said
}

/// Takes out the mount of the terminal at `/dev/console`, the only one in the new root: its target was opened before, and it
/// stands before the privilege for it goes.
#[track_caller]
fn take_console(steps: &mut Vec<&str>) {
    let pivot = assert_once(steps, "pivot_root(");
    let mut mounts = places(steps, "move_mount(");
    mounts.retain(|place| *place > pivot);
    let [console] = mounts[..] else { panic!("{mounts:?}:\n{}", steps.join("\n")) };
    let dropping = places(steps, "prctl(PR_CAPBSET_DROP");
    assert!(dropping.iter().all(|drop| console < *drop), "{}", steps.join("\n"));
    steps.remove(console);
}

#[track_caller]
fn assert_once(steps: &[&str], start: &str) -> usize {
    match places(steps, start).as_slice() {
        [one] => *one,
        other => panic!("{start} at {other:?}:\n{}", steps.join("\n")),
    }
}

/// What stands between the load and the exec, with and without no_new_privs.
#[track_caller]
fn assert_behind_the_filter(steps: &[&str], choice: &Choice) {
    let exec = assert_once(steps, "execve(");
    assert_eq!(exec + 1, steps.len(), "the exec is last");
    let last_set = *places(steps, "capset(").last().expect("capabilities are set");
    if choice.seccomp == Seccomp::Unconfined {
        assert!(places(steps, "seccomp(").is_empty());
        return;
    }
    let load = assert_once(steps, "seccomp(");
    let behind: Vec<_> = steps[load + 1..exec].iter().map(name).collect();
    if choice.allowed && !choice.administers {
        assert!(last_set > load, "CAP_SYS_ADMIN stays until the filter is loaded");
        let fits = |name: &&str| ["capset", "prctl", "send_fd"].contains(name);
        assert!(behind.iter().all(fits), "{behind:?}");
    } else {
        assert!(last_set < load, "all capabilities are gone by then");
        assert!(behind.iter().all(|name| *name == "send_fd"), "{behind:?}");
    }
}

#[derive(Clone, Debug)]
struct Choice {
    origin: u8,
    seccomp: Seccomp,
    allowed: bool,
    administers: bool,
    payload: bool,
    shared: Vec<usize>,
    root: bool,
    tty: bool,
    #[cfg(feature = "landlock")]
    landlock: bool,
}

fn choices() -> impl Strategy<Value = Choice> {
    let seccomp = prop_oneof![
        Just(Seccomp::Default),
        Just(Seccomp::Unconfined),
        Just(Filter::new(Action::Allow).deny(["acct"]).into()),
        Just(Filter::default_profile().notify(["mkdir"]).into()),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0..3_u8, seccomp, flags, prop::collection::vec(0..8_usize, 0..3)).prop_map(
        |(origin, seccomp, (allowed, administers, payload, root, tty), shared)| Choice {
            origin,
            seccomp,
            allowed,
            administers,
            payload,
            shared,
            root,
            tty,
            // Beside a terminal or without one, both often enough.
            #[cfg(feature = "landlock")]
            landlock: payload != root,
        },
    )
}

fn builder(choice: &Choice, rootfs: &std::path::Path) -> Builder {
    let mut builder = match choice.origin {
        0 => Container::host_view(),
        1 => Container::from_rootfs(rootfs),
        _ => Container::from_rootfs(rootfs).root(Root::ReadOnly).file("/file", "x"),
    };
    builder = builder
        .seccomp(choice.seccomp.clone())
        .rlimit(ResourceLimit { resource: Resource::Nofile, limit: Rlimit::new(64, 64) });
    #[cfg(feature = "landlock")]
    if choice.landlock && !choice.allowed {
        let rules = ampoule::Landlock::new().execute("/").deny_tcp();
        builder = builder.landlock(rules).best_effort(ampoule::Control::Landlock);
    }
    if choice.root {
        builder = builder.user(User::ids(0, 0));
    }
    if choice.allowed {
        builder = builder.new_privileges(NewPrivileges::Allowed);
    }
    if choice.administers {
        builder = builder.cap_add(Capability::SysAdmin);
    }
    if choice.payload {
        builder = builder.pid1(Pid1::Payload);
    }
    let own = |kind: &Namespace| !matches!(kind, Namespace::Mount | Namespace::User);
    let shared = choice.shared.iter().map(|kind| Namespace::ALL[*kind]).filter(own);
    shared.fold(builder, Builder::share)
}

#[test]
fn the_order_holds_for_every_choice() {
    unchanged(|| {
        let rootfs = fixture::rootfs();
        let config = Config { failure_persistence: None, cases: 128, ..Config::default() };
        let said = RefCell::new(BTreeSet::new());
        let outcome = TestRunner::new(config).run(&choices(), |choice| {
            let command = builder(&choice, rootfs.path()).command("/bin/true");
            let command = if choice.tty { command.tty(WindowSize::default()) } else { command };
            let plan = command.plan();
            let plan = plan.unwrap_or_else(|error| panic!("{choice:?}: {error}")).to_string();
            let mut steps = first(&plan);
            if choice.tty {
                take_console(&mut steps);
            }
            said.borrow_mut().extend(assert_order(&steps));
            assert_behind_the_filter(&steps, &choice);
            Ok(())
        });
        outcome.expect("every choice");
        let silent = (0..ORDER.len()).filter(|rule| !said.borrow().contains(rule));
        let silent: Vec<_> = silent.map(|rule| ORDER[rule]).collect();
        assert!(silent.is_empty(), "no plan has both: {silent:?}");
    });
}

#[test]
fn a_filter_is_one_line() {
    let plan = Container::host_view().command("true").plan().expect("a plan").to_string();
    let lines: Vec<_> = plan.lines().filter(|line| line.contains("seccomp(")).collect();
    assert_eq!(lines.len(), 1, "{plan}");
    assert!(lines[0].ends_with(" instructions)"), "{}", lines[0]);
}
