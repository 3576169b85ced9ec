//! The table of defaults, for a host that is root.
//!
//! Kernel objects: whole containers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::net::{TcpListener, TcpStream};

use ampoule::{Container, Control, Namespace, Pid1, State};
use oracle::{fixture, payload, tier, unchanged};
use scene::defaults::{assert_host_view, assert_host_view_files, assert_isolated, assert_masks};
use scene::look::own_namespace;
use scene::{Look, print, printed, rooted};

/// The capabilities that containers usually have.
const USUAL: u64 = 0x8004_05fb;

/// What the test binary does as a payload.
#[test]
fn payload_main() {
    if payload::verb().as_deref() == Some("loopback") {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let out = TcpStream::connect_timeout(
            &"192.0.2.1:80".parse().expect("an address"),
            std::time::Duration::from_secs(1),
        );
        payload::print_report(&format!("{:?}", out.map_err(|error| error.kind()).err()));
    }
}

#[test]
fn host_view() {
    tier::root();
    unchanged(|| {
        let look = Look::at(Container::host_view());
        assert_host_view(&look);
        let status = look.status();
        assert_ne!(status.uid[0], 0);
        assert_eq!((status.uid, status.groups.as_slice()), ([status.uid[0]; 4], &[][..]));
        let account = print(Container::host_view(), "id -un >/dev/null 2>&1 || echo nobody");
        assert_eq!(account, "nobody\n", "an id that no account has");
        for map in ["uid_map", "gid_map"] {
            let map = look.map(map);
            assert_eq!((map.len(), map[0].inside, map[0].count), (1, 0, 65536));
            assert!(map[0].outside >= 524_288, "{map:?}");
        }
    });
}

#[test]
fn host_view_shows_no_secrets() {
    tier::root();
    unchanged(|| {
        assert_host_view_files(Container::host_view());
        assert_masks(Container::host_view());
    });
}

#[test]
fn host_view_has_its_own_loopback_and_nothing_else() {
    tier::root();
    unchanged(|| {
        let own = payload::own_program("loopback");
        let directory = own.program.parent().expect("a directory");
        let command = Container::host_view().bind(directory).command(own.program.clone());
        let command = command.args(own.args).env(own.env.0, own.env.1);
        let printed = printed(command.output().expect("a run"));
        assert_eq!(payload::report(&printed), Some("Some(NetworkUnreachable)"), "{printed}");
    });
}

#[test]
fn rootfs() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let look = Look::at(rooted(&root));
        assert_isolated(&look);
        let status = look.status();
        assert_eq!((status.uid, status.gid), ([0; 4], [0; 4]));
        assert!(status.groups.is_empty(), "{:?}", status.groups);
        assert_eq!([status.permitted, status.effective, status.bounding], [USUAL; 3]);
        assert!(look.mount("/").has("nodev"), "{:?}", look.mount("/"));
        assert_eq!(look.mount("/").kind, "overlay");
        assert!(look.environ().contains(&"HOME=/root"), "{:?}", look.environ());
        assert_masks(rooted(&root));
    });
}

#[test]
fn writes_to_a_rootfs_are_thrown_away() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let before = fixture::Tree::record(root.path());
        let script = "echo new > /new && echo changed > /etc/passwd && rm /etc/group && cat /new";
        assert_eq!(print(rooted(&root), script), "new\n");
        assert_eq!(print(rooted(&root), "[ -e /new ] || head -n 1 /etc/passwd"), ROOT_LINE);
        before.assert_untouched();
    });
}

const ROOT_LINE: &str = "root:x:0:0:root:/root:/bin/sh\n";

#[test]
fn owners_of_a_rootfs_are_mapped() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs().with_file("mine", "x", 0o600).with_owner("mine", 1000, 1000);
        let seen = print(rooted(&root), "stat -c %u:%g /mine /etc/passwd /bin/busybox /tmp");
        assert_eq!(seen, "1000:1000\n0:0\n0:0\n0:0\n");
    });
}

#[test]
fn no_signal_is_blocked_or_ignored() {
    tier::root();
    unchanged(|| {
        let output = Container::host_view().command("cat").arg("/proc/self/status").output();
        let status = payload::status(&printed(output.expect("a run"))).expect("a status");
        assert_eq!((status.blocked, status.ignored, status.caught), (0, 0, 0));
    });
}

#[test]
fn bare() {
    tier::root();
    unchanged(|| {
        let look = Look::at(Container::bare());
        for kind in Namespace::ALL {
            assert_eq!(look.namespace(kind), own_namespace(kind), "{kind}");
        }
        let status = look.status();
        assert_eq!((status.uid, status.gid), ([0; 4], [0; 4]));
        assert!(status.no_new_privs);
        assert_eq!(status.seccomp, 2);
        assert_eq!(status.effective & !USUAL, 0);
        let own = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert_eq!(look.text("mounts"), own.trim_end());
    });
}

#[test]
fn reports_agree_with_the_payload() {
    tier::root();
    unchanged(|| {
        let plan = Container::host_view().command("true").plan().expect("a plan");
        let report = plan.report();
        for kind in Namespace::ALL {
            assert_eq!(report.is_in_force(Control::Namespace(kind)), kind != Namespace::Time);
        }
        for control in [
            Control::IdMap,
            Control::Root,
            Control::MaskedPaths,
            Control::Capabilities,
            Control::NoNewPrivileges,
            Control::Seccomp,
            Control::DieWithHost,
            Control::SupplementaryGroups,
        ] {
            assert!(report.is_in_force(control), "{control:?}\n{report}");
        }
        let plan = Container::host_view().pid1(Pid1::Payload).command("true").plan();
        let plan = plan.expect("a plan");
        let state = plan.report().state(Control::DieWithHost);
        assert!(matches!(state, Some(State::NotPossible(why)) if why.contains("watches nobody")));
    });
}
