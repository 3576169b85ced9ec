//! What the report says of SELinux on the machine as it is: without it, labels are nothing that happens.
//!
//! Kernel objects: selinuxfs, where it is; a volume in memory. Invariant: the host is unchanged. Machines with SELinux are
//! those of the tests `vm_selinux_…`.

mod oracle;
mod scene;

use ampoule::{
    Builder, Container, Control, ErrorKind, Relabel, Selinux, SelinuxContext, Stage, State,
};
use ampoule_selinux::State as Machine;
use oracle::{fixture, tier, unchanged};
use scene::{is_error, print, refused, rooted};

fn state(builder: Builder, control: Control) -> Option<State> {
    let plan = builder.command("true").plan().unwrap_or_else(|error| panic!("{error}"));
    plan.report().state(control).cloned()
}

fn not_possible(state: Option<&State>, word: &str) -> bool {
    matches!(state, Some(State::NotPossible(reason)) if reason.contains(word))
}

fn label() -> SelinuxContext {
    "system_u:system_r:container_t:s0:c1,c2".parse().expect("a context")
}

/// What the tests below are about: with SELinux a container with a root of its own has a label or tells why not.
fn is_disabled() -> bool {
    Machine::of_this_machine().expect("a state") == Machine::Disabled
}

#[test]
fn the_default_is_reported() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let found = state(rooted(&root), Control::Selinux);
        let absent = not_possible(found.as_ref(), "SELinux is not enabled on this host");
        assert_eq!(absent, is_disabled(), "{found:?}");
        assert_ne!(found, Some(State::Off));
        let off = rooted(&root).selinux(Selinux::Disabled);
        assert_eq!(state(off, Control::Selinux), Some(State::Off));
        assert_eq!(state(Container::bare(), Control::Selinux), Some(State::Off));
        let container = rooted(&root).idle().expect("a container");
        assert_eq!(container.selinux_label().is_some(), !is_disabled());
        let steps = rooted(&root).command("true").plan().expect("a plan").to_string();
        assert!(!is_disabled() || !steps.contains("/attr/"), "{steps}");
    });
}

#[test]
fn a_label_that_is_asked_for_is_an_error_or_reported() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let asked = || rooted(&root).selinux(Selinux::Label(Box::new(label())));
        if is_disabled() {
            let error = refused(asked().command("true").plan());
            is_error(&error, ErrorKind::Unsupported, Stage::Plan, &["SELinux is not enabled"]);
        }
        let tolerant = asked().best_effort(Control::Selinux);
        let found = state(tolerant.clone(), Control::Selinux);
        assert_eq!(not_possible(found.as_ref(), "not enabled"), is_disabled(), "{found:?}");
        assert_eq!(print(tolerant, "echo runs"), "runs\n");
        // That of one process alone.
        let container = rooted(&root).idle().expect("a container");
        if is_disabled() {
            let error = refused(container.exec("true").selinux_label(label()).status());
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    });
}

#[test]
fn volumes_stay_as_they_are_without_labels() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let volume = fixture::empty_rootfs().with_file("file", "mine\n", 0o644);
        let before = fixture::Tree::record(volume.path());
        // As if SELinux were off: nothing of this test depends on the machine.
        let builder = rooted(&root).selinux(Selinux::Disabled).bind_to(volume.path(), "/volume");
        for relabel in [Relabel::Shared, Relabel::Private] {
            let builder = builder.clone().relabel("/volume", relabel);
            let found = state(builder.clone(), Control::Relabel);
            assert!(not_possible(found.as_ref(), "no label"), "{found:?}");
            assert_eq!(print(builder, "cat /volume/file"), "mine\n");
        }
        before.assert_untouched();
        // What belongs to the system is refused all the same: a mistake does not wait for a machine with SELinux.
        let wrong = rooted(&root).bind_to("/usr", "/data").relabel("/data", Relabel::Private);
        let error = refused(wrong.command("true").plan());
        is_error(&error, ErrorKind::Selinux, Stage::Plan, &["/usr"]);
    });
}
