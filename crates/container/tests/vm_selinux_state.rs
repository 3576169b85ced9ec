//! What the report says of SELinux, and that the kernel says the same; the label's place among the steps.
//!
//! Kernel objects: selinuxfs, containers from a root on the guest's disk. Invariant: the guest enforces again when the
//! tests are over, and one of them at a time has it permissive.

mod oracle;
mod svirt;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ampoule::{
    Builder, Container, Control, NewPrivileges, OnDrop, Pid1, Root, Seccomp, Selinux, State, User,
};
use svirt::{label_of, labelled, payload, root, script};

const ENFORCE: &str = "/sys/fs/selinux/enforce";

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    oracle::tier::vm();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The guest logs only, until this is dropped.
struct Permissive;

impl Permissive {
    fn new() -> Self {
        fs::write(ENFORCE, "0").expect("selinuxfs");
        Self
    }
}

impl Drop for Permissive {
    fn drop(&mut self) {
        fs::write(ENFORCE, "1").expect("selinuxfs");
    }
}

fn state(builder: Builder) -> Option<State> {
    let plan = builder.command("/bin/busybox").plan().expect("a plan");
    plan.report().state(Control::Selinux).cloned()
}

#[test]
fn the_kernel_says_what_the_report_says() {
    let _turn = turn();
    let root = root();
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        for user in [0, 1000] {
            let builder = labelled(root.path(), "c401,c402").pid1(pid1).user(User::ids(user, user));
            let Some(State::InForce(said)) = state(builder.clone()) else {
                panic!("it is in force");
            };
            let (found, complaint) = script(builder, "/bin/busybox cat /proc/self/attr/current");
            assert_eq!(found.trim_end_matches('\0'), said, "{complaint}");
        }
    }
    let builder = Container::from_rootfs(root.path()).selinux(Selinux::Disabled);
    assert_eq!(state(builder.clone()), Some(State::Off));
    let own = label_of("self");
    let container = builder.command("/bin/busybox").args(["sleep", "100"]).spawn();
    assert_eq!(label_of(&payload(&container.expect("a container"))), own);
}

/// Who holds the pair of a container that goes on without its host.
#[test]
fn a_pair_that_nobody_will_hold_is_told() {
    let _turn = turn();
    let root = root();
    for (pid1, on_drop, told) in [
        (Pid1::Reaper, OnDrop::Detach, false),
        (Pid1::Payload, OnDrop::Kill, false),
        (Pid1::Payload, OnDrop::Detach, true),
    ] {
        let chosen = [Container::from_rootfs(root.path()), labelled(root.path(), "c403,c404")];
        for builder in chosen {
            let said = state(builder.pid1(pid1).on_drop(on_drop));
            let Some(State::InForce(said)) = said else { panic!("it is in force: {said:?}") };
            assert_eq!(said.contains("no init holds its categories"), told, "{said}");
        }
    }
}

#[test]
fn permissive_is_seen_and_reported() {
    let _turn = turn();
    let root = root();
    let _permissive = Permissive::new();
    assert_eq!(
        ampoule_selinux::State::of_this_machine().expect("a state"),
        ampoule_selinux::State::Permissive
    );
    let builder = Container::from_rootfs(root.path());
    let Some(State::NotPossible(said)) = state(builder.clone()) else {
        panic!("nothing is denied");
    };
    assert!(said.contains("permissive"), "{said}");
    // It has its label all the same.
    let (found, complaint) = script(builder, "/bin/busybox cat /proc/self/attr/current");
    assert!(found.contains(":container_t:s0:c"), "{found} {complaint}");
}

/// As in `plan_order`, where there is no label: it is written before what could refuse it, after the root's change and
/// while procfs is open.
#[test]
fn the_label_stands_before_the_filter() {
    let _turn = turn();
    let root = root();
    let base = || Container::from_rootfs(root.path());
    let builders = [
        base(),
        base().root(Root::ReadOnly),
        base().user(User::ids(1000, 1000)),
        base().pid1(Pid1::Payload),
        base().new_privileges(NewPrivileges::Allowed),
        base().seccomp(Seccomp::Unconfined),
    ];
    let mut labelled = 0;
    for builder in builders {
        let plan = builder.command("/bin/busybox").plan().expect("a plan").to_string();
        let place = |word: &str| plan.lines().position(|line| line.contains(word));
        let Some(label) = place("self/attr/exec") else { continue };
        labelled += 1;
        let key = place("self/attr/keycreate").expect("the key label");
        assert!(key < place("keyctl(").expect("a keyring"), "{plan}");
        assert!(place("pivot_root(").expect("a root") < key && key < label, "{plan}");
        for late in ["close_range(", "seccomp(", "execve("] {
            assert!(place(late).is_none_or(|late| label < late), "{late}: {plan}");
        }
    }
    assert!(labelled >= 5, "{labelled} plans have a label");
}
