//! The table of defaults, for a host that is an ordinary user.
//!
//! Kernel objects: whole containers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use ampoule::{Container, Control, ErrorKind, Namespace, NewPrivileges, Seccomp, Stage, State};
use oracle::payload::IdRange;
use oracle::{fixture, tier, unchanged};
use scene::defaults::{assert_host_view, assert_host_view_files, assert_isolated, assert_masks};
use scene::look::own_namespace;
use scene::{Look, is_error, print, refused, rooted};

/// The capabilities that containers usually have.
const USUAL: u64 = 0x8004_05fb;

fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

#[test]
fn host_view() {
    tier::user();
    unchanged(|| {
        let look = Look::at(Container::host_view());
        assert_host_view(&look);
        let (uid, gid) = own_ids();
        let status = look.status();
        assert_eq!((status.uid, status.gid), ([uid; 4], [gid; 4]));
        assert_eq!(look.map("uid_map"), [IdRange { inside: uid, outside: uid, count: 1 }]);
        assert_eq!(look.map("gid_map"), [IdRange { inside: gid, outside: gid, count: 1 }]);
    });
}

#[test]
fn host_view_shows_no_secrets() {
    tier::user();
    unchanged(|| {
        assert_host_view_files(Container::host_view());
        assert_masks(Container::host_view());
    });
}

#[test]
fn rootfs() {
    tier::user();
    unchanged(|| {
        let root = fixture::rootfs();
        let look = Look::at(rooted(&root));
        assert_isolated(&look);
        let (uid, gid) = own_ids();
        let status = look.status();
        assert_eq!((status.uid, status.gid), ([0; 4], [0; 4]));
        assert_eq!([status.permitted, status.effective, status.bounding], [USUAL; 3]);
        assert_eq!(look.map("uid_map"), [IdRange { inside: 0, outside: uid, count: 1 }]);
        assert_eq!(look.map("gid_map"), [IdRange { inside: 0, outside: gid, count: 1 }]);
        assert!(look.environ().contains(&"HOME=/root"), "{:?}", look.environ());
        assert_masks(rooted(&root));
    });
}

#[test]
fn writes_to_a_rootfs_are_thrown_away() {
    tier::user();
    unchanged(|| {
        let root = fixture::rootfs();
        let before = fixture::Tree::record(root.path());
        let script = "echo new > /new && echo changed > /etc/passwd && rm /etc/group && cat /new";
        assert_eq!(print(rooted(&root), script), "new\n");
        before.assert_untouched();
    });
}

#[test]
fn groups_are_reported_as_fixed() {
    tier::user();
    unchanged(|| {
        let plan = Container::host_view().command("true").plan().expect("a plan");
        let state = plan.report().state(Control::SupplementaryGroups);
        assert!(matches!(state, Some(State::NotPossible(_))), "{}", plan.report());
    });
}

/// Nothing but what is asked for: the caller may not change the bounding set, and need not.
#[test]
fn bare() {
    tier::user();
    unchanged(|| {
        let look = Look::at(Container::bare());
        for kind in Namespace::ALL {
            assert_eq!(look.namespace(kind), own_namespace(kind), "{kind}");
        }
        let (uid, gid) = own_ids();
        let status = look.status();
        assert_eq!((status.uid, status.gid), ([uid; 4], [gid; 4]));
        assert!(status.no_new_privs);
        assert_eq!([status.permitted, status.effective, status.ambient], [0; 3]);
        let plan = Container::bare().command("true").plan().expect("a plan");
        assert!(plan.report().is_in_force(Control::Capabilities), "{}", plan.report());
    });
}

#[test]
fn a_bounding_set_that_counts_must_be_settable() {
    tier::user();
    unchanged(|| {
        let bare = || {
            let bare = Container::bare().seccomp(Seccomp::Unconfined);
            bare.new_privileges(NewPrivileges::Allowed)
        };
        let error = refused(bare().command("true").plan());
        let words = ["bounding set", "CAP_SETPCAP"];
        is_error(&error, ErrorKind::PermissionDenied, Stage::Plan, &words);
        let tolerant = bare().best_effort(Control::Capabilities).command("true");
        let plan = tolerant.plan().expect("a plan");
        let state = plan.report().state(Control::Capabilities);
        assert!(matches!(state, Some(State::NotPossible(_))), "{}", plan.report());
        assert!(plan.launch().status().expect("a run").success());
    });
}
