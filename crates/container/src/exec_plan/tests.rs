//! The order of the steps of a process that joins, whatever the settings are: read from the program's own text.
//!
//! Kernel objects: descriptors that a plan opens. Invariant: nothing is started, so that no privilege is needed.

use std::cell::RefCell;
use std::collections::BTreeSet;

use ampoule_ns::Capability;
use ampoule_seccomp::{Action, Filter};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::apparmor::Profile;
use crate::builder::Builder;
use crate::container::Container;
use crate::origin::NewPrivileges;
use crate::syscalls::Seccomp;

/// Each step of the first kind stands before each one of the second in the launcher, wherever there are both.
const LAUNCHER: &[(&str, &str)] = &[
    // A label is written while the host's procfs can be trusted and its rights are there; a filter comes much later.
    ("write(plan:0, \"thread-self/attr/apparmor/exec\"", "setns("),
    ("setns(", "fchdir("),
    ("fchdir(", "chroot("),
    // Nothing of the host's is open where the container could look at it, nor is privilege there any more.
    ("setns(", "prctl(PR_CAPBSET_DROP"),
    ("chroot(", "prctl(PR_CAPBSET_DROP"),
    ("prctl(PR_CAPBSET_DROP", "prctl(PR_SET_KEEPCAPS"),
    ("prctl(PR_SET_KEEPCAPS", "capset("),
    ("capset(", "prctl(PR_SET_DUMPABLE, 0"),
    ("prctl(PR_SET_NO_NEW_PRIVS", "prctl(PR_SET_DUMPABLE, 0"),
    ("prctl(PR_SET_DUMPABLE, 0", "clone"),
];

/// The same in the process itself.
const FIRST: &[(&str, &str)] = &[
    ("setsid(", "close_range("),
    ("prlimit64(", "close_range("),
    // Nothing of init's is open where a path of the container is looked up.
    ("close_range(", "chdir("),
    ("chdir(", "seccomp("),
    ("seccomp(", "send_fd(3"),
    ("seccomp(", "execve("),
    ("capset(", "execve("),
];

/// What may stand behind the closing of descriptors: it opens none.
const BEHIND_CLOSING: &[&str] = &["chdir", "seccomp", "send_fd", "capset", "prctl", "execve"];

#[derive(Clone, Debug)]
struct Choice {
    seccomp: Seccomp,
    allowed: bool,
    administers: bool,
    tty: bool,
    own_root: bool,
    labelled: bool,
    user: u32,
}

fn choices() -> impl Strategy<Value = Choice> {
    let seccomp = prop_oneof![
        Just(Seccomp::Default),
        Just(Seccomp::Unconfined),
        Just(Filter::new(Action::Allow).deny(["acct"]).into()),
        Just(Filter::default_profile().notify(["mkdir"]).into()),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (seccomp, flags, prop_oneof![Just(0), Just(1000)]).prop_map(
        |(seccomp, (allowed, administers, tty, own_root, labelled), user)| Choice {
            seccomp,
            allowed,
            administers,
            tty,
            own_root,
            labelled,
            user,
        },
    )
}

fn builder(choice: &Choice, root: &std::path::Path) -> Builder {
    let mut builder = match choice.own_root {
        true => Container::from_rootfs(root),
        false => Container::host_view(),
    };
    let limit =
        ResourceLimit { resource: ampoule_ns::Resource::Nofile, limit: Rlimit::new(64, 64) };
    builder = builder.seccomp(choice.seccomp.clone()).rlimit(limit);
    if choice.allowed {
        builder = builder.new_privileges(NewPrivileges::Allowed);
    }
    if choice.administers {
        builder = builder.cap_add(Capability::SysAdmin);
    }
    builder
}

/// The steps of the launcher and of the process, without their numbers.
fn steps(choice: &Choice, root: &std::path::Path) -> [Vec<String>; 2] {
    let plan = builder(choice, root).command("/bin/true").plan();
    let plan = plan.unwrap_or_else(|error| panic!("{choice:?}: {error}"));
    let prepared = Arc::clone(plan.prepared());
    drop(plan);
    let mut settings = Arc::into_inner(prepared).expect("the only owner").settings;
    settings.apparmor = choice.labelled.then(|| Profile::named("p"));
    let mut user = settings.identity.user.clone();
    (user.uid, user.gid) = (choice.user, choice.user);
    let capabilities = settings.identity.capabilities;
    let tty = choice.tty.then(WindowSize::default);
    let mut ordered = Ordered::default();
    let apparmor = settings.apparmor.clone();
    let joiner = Joiner { user, capabilities, tty, own: Own::default(), apparmor };
    order(&settings, &joiner, &mut ordered).expect("an order");
    let text = Program::seal(ordered.draft).expect("a program").to_string();
    ["launcher", "first"].map(|who| {
        let separator = format!(" {who} ");
        let calls = text.lines().filter_map(|line| line.split_once(&separator));
        calls.map(|(_, call)| call.trim().to_owned()).collect()
    })
}

fn places(steps: &[String], start: &str) -> Vec<usize> {
    let found = steps.iter().enumerate().filter(|(_, step)| step.starts_with(start));
    found.map(|(place, _)| place).collect()
}

/// Asserts an order; gives the rules that said something.
fn assert_order(
    steps: &[String],
    rules: &'static [(&str, &str)],
) -> Vec<(&'static str, &'static str)> {
    let says = |(early, late): &&(&str, &str)| {
        let (one, two) = (places(steps, early), places(steps, late));
        let (Some(last), Some(first)) = (one.last(), two.first()) else { return false };
        assert!(last < first, "{early} at {one:?}, {late} at {two:?}:\n{}", steps.join("\n"));
        true
    };
    rules.iter().filter(says).copied().collect()
}

fn name(step: &str) -> &str {
    step.split('(').next().unwrap_or(step)
}

/// Where the last capabilities go, and what stands behind the filter.
fn assert_end(launcher: &[String], first: &[String], choice: &Choice) {
    let text = format!("{choice:?}:\n{}\n{}", launcher.join("\n"), first.join("\n"));
    let clone = places(launcher, "clone");
    assert_eq!(clone.len(), 1, "{text}");
    assert!(places(launcher, "capset(").iter().all(|place| *place < clone[0]), "{text}");
    assert!(!places(launcher, "capset(").is_empty(), "{text}");
    assert!(
        places(launcher, "seccomp(").is_empty() && places(first, "setns(").is_empty(),
        "{text}"
    );
    assert!(places(first, "write(").is_empty(), "no label behind the clone: {text}");
    let closing = places(first, "close_range(");
    assert_eq!(closing.len(), 1, "{text}");
    let behind = &first[closing[0] + 1..];
    assert!(behind.iter().all(|step| BEHIND_CLOSING.contains(&name(step))), "{text}");
    assert!(first.last().is_some_and(|step| step.starts_with("execve(")), "{text}");
    let load = places(first, "seccomp(");
    assert_eq!(load.is_empty(), choice.seccomp == Seccomp::Unconfined, "{text}");
    let keeps = choice.allowed && !choice.administers && !load.is_empty();
    let sets = places(first, "capset(");
    assert_eq!(keeps, !sets.is_empty(), "one capability stays for the load alone: {text}");
    assert!(sets.iter().all(|set| *set > load[0]), "{text}");
    let allowed = places(launcher, "prctl(PR_SET_NO_NEW_PRIVS").is_empty();
    assert_eq!(allowed, choice.allowed, "{text}");
}

#[test]
fn the_order_of_what_joins_holds_for_every_choice() {
    let root = tempfile::tempdir().expect("a directory");
    let config = Config { failure_persistence: None, cases: 128, ..Config::default() };
    let said = RefCell::new(BTreeSet::new());
    let outcome = TestRunner::new(config).run(&choices(), |choice| {
        let [launcher, first] = steps(&choice, root.path());
        said.borrow_mut().extend(assert_order(&launcher, LAUNCHER));
        said.borrow_mut().extend(assert_order(&first, FIRST));
        assert_end(&launcher, &first, &choice);
        Ok(())
    });
    outcome.expect("every choice");
    let rules = LAUNCHER.iter().chain(FIRST);
    let silent: Vec<_> = rules.filter(|rule| !said.borrow().contains(rule)).collect();
    assert!(silent.is_empty(), "no program has both: {silent:?}");
}
