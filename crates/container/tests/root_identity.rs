//! Users, groups, id maps and capabilities, for a host that is root.
//!
//! Kernel objects: credentials (credentials(7)), `uid_map` (user_namespaces(7)). Invariant: what the payload has is
//! read from its `status`.

mod oracle;
mod scene;

use ampoule::{
    Builder, Capabilities, Capability, CapabilitySet, Container, ErrorKind, IdMap, IdMapping,
    IdRange, Namespace, NewPrivileges, Stage, User,
};
use oracle::{fixture, payload, tier, unchanged};
use scene::{Look, is_error, print, refused, rooted};

fn user(text: &str) -> User {
    text.parse().expect("a user")
}

/// Uid, gid and groups of a payload.
fn ids(builder: Builder) -> (u32, u32, Vec<u32>) {
    let status = Look::at(builder).status();
    assert_eq!(status.uid, [status.uid[0]; 4]);
    assert_eq!(status.gid, [status.gid[0]; 4]);
    (status.uid[0], status.gid[0], status.groups)
}

#[test]
fn users_by_id_and_by_name_in_the_root() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let of = |text: &str| ids(rooted(&root).user(user(text)));
        assert_eq!(of("0"), (0, 0, vec![]));
        assert_eq!(of("app"), (1000, 1000, vec![2000]));
        assert_eq!(of("1000"), (1000, 1000, vec![2000]));
        assert_eq!(of("app:extra"), (1000, 2000, vec![]));
        assert_eq!(of("1234:4321"), (1234, 4321, vec![]));
        assert_eq!(of("4321"), (4321, 0, vec![]));
        assert_eq!(of("nobody"), (65534, 65534, vec![]));
        let groups = user("app:app").supplementary("extra".parse().expect("a group"));
        let groups = groups.supplementary("77".parse().expect("a group"));
        assert_eq!(ids(rooted(&root).user(groups)), (1000, 1000, vec![77, 2000]));
    });
}

#[test]
fn a_home_directory_comes_from_the_root() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let home = |text: &str| print(rooted(&root).user(user(text)), "echo $HOME");
        assert_eq!(home("app"), "/home/app\n");
        assert_eq!(home("0"), "/root\n");
        assert_eq!(home("4321:1"), "/\n");
    });
}

#[test]
fn names_that_are_numbers_are_never_looked_up() {
    tier::root();
    unchanged(|| {
        let passwd =
            "1000:x:0:0::/:/bin/sh\n+1:x:0:0::/:/bin/sh\n 1:x:0:0::/:/bin/sh\n01:x:0:0:::\n";
        let root = fixture::rootfs().with_file("etc/passwd", passwd, 0o644);
        assert_eq!(ids(rooted(&root).user(user("1000"))).0, 1000);
        for text in [
            "+1",
            "-1",
            " 1",
            "1 ",
            "4294967295",
            "4294967296",
            "",
            ":",
            "1:",
            ":1",
            "a:b:c",
            "1\n",
        ] {
            assert!(text.parse::<User>().is_err(), "{text:?}");
        }
    });
}

#[test]
fn unknown_names_are_refused() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        for text in ["ghost", "app:ghosts", "Root"] {
            let error = refused(rooted(&root).user(user(text)).command("true").plan());
            let name = text.rsplit(':').next().expect("a name");
            is_error(&error, ErrorKind::User, Stage::Plan, &[name]);
        }
        let error = refused(rooted(&root).user(User::ids(u32::MAX, 0)).command("true").plan());
        assert_eq!(error.kind(), ErrorKind::User, "{error}");
        // The host has more accounts than this root: they are never asked.
        let error = refused(rooted(&root).user(user("daemon")).command("true").plan());
        is_error(&error, ErrorKind::User, Stage::Plan, &["daemon"]);
    });
}

#[test]
fn ranges_can_be_mapped() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let map = IdMap {
            uid: vec![IdRange::new(0, 300_000, 10), IdRange::new(1000, 400_000, 1)],
            gid: vec![IdRange::new(0, 500_000, 10), IdRange::new(1000, 600_000, 2)],
        };
        let builder =
            rooted(&root).id_mapping(IdMapping::Explicit(map)).user(User::ids(1000, 1001));
        let look = Look::at(builder);
        let range = |inside, outside, count| payload::IdRange { inside, outside, count };
        assert_eq!(look.map("uid_map"), [range(0, 300_000, 10), range(1000, 400_000, 1)]);
        assert_eq!(look.map("gid_map"), [range(0, 500_000, 10), range(1000, 600_000, 2)]);
        assert_eq!((look.status().uid, look.status().gid), ([1000; 4], [1001; 4]));
    });
}

#[test]
fn the_host_sees_mapped_ids() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let map = IdMap::range(0, 700_000, 65_536);
        let builder = rooted(&root).id_mapping(IdMapping::Explicit(map)).user(User::ids(5, 6));
        let container = builder.command("sleep").arg("100").spawn().expect("a container");
        let pid = scene::outside::child_of(container.pid());
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let status = payload::status(&status).expect("a status");
        assert_eq!((status.uid, status.gid), ([700_005; 4], [700_006; 4]));
    });
}

#[test]
fn maps_that_cannot_be_are_refused() {
    tier::root();
    unchanged(|| {
        let range = IdRange::new;
        let bad = [
            vec![],
            vec![range(0, 1, 0)],
            vec![range(0, 100_000, 10), range(5, 200_000, 10)],
            vec![range(0, 100_000, 10), range(50, 100_005, 10)],
            vec![range(0, u32::MAX - 5, 10)],
            vec![range(u32::MAX - 5, 0, 10)],
            vec![range(0, 100_000, u32::MAX)],
            (0..400).map(|n| range(n * 2, 100_000 + n * 2, 1)).collect(),
        ];
        for ranges in bad {
            let map = IdMap { uid: ranges.clone(), gid: ranges.clone() };
            let builder = Container::host_view().id_mapping(IdMapping::Explicit(map));
            let error = refused(builder.user(User::ids(0, 0)).command("true").plan());
            is_error(&error, ErrorKind::IdMap, Stage::Plan, &[]);
        }
        let map = IdMapping::Explicit(IdMap::range(0, 100_000, 10));
        let builder = Container::host_view().id_mapping(map).user(User::ids(10, 0));
        is_error(
            &refused(builder.command("true").plan()),
            ErrorKind::IdMap,
            Stage::Plan,
            &["user", "10"],
        );
    });
}

#[test]
fn automatic_ranges_do_not_overlap() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let plans: Vec<_> = (0..20)
            .map(|_| scene::shell(rooted(&root), "cat /proc/self/uid_map").plan().expect("a plan"))
            .collect();
        let mut firsts: Vec<_> = plans
            .iter()
            .map(|plan| scene::printed(plan.launch().output().expect("a run")))
            .map(|map| payload::id_map(&map).expect("a map")[0].outside)
            .collect();
        firsts.sort_unstable();
        assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] >= 65_536), "{firsts:?}");
    });
}

fn bit(capability: Capability) -> u64 {
    1 << capability.number()
}

#[test]
fn capabilities_for_user_zero() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let usual = CapabilitySet::container_default().bits();
        let sets = |builder: Builder| {
            let status = Look::at(builder).status();
            assert_eq!((status.inheritable, status.ambient), (0, 0));
            [status.permitted, status.effective, status.bounding]
        };
        assert_eq!(sets(rooted(&root)), [usual; 3]);
        let more = sets(rooted(&root).cap_add(Capability::NetAdmin));
        assert_eq!(more, [usual | bit(Capability::NetAdmin); 3]);
        let less = sets(rooted(&root).cap_drop(Capability::Chown).cap_drop(Capability::Kill));
        assert_eq!(less, [usual & !bit(Capability::Chown) & !bit(Capability::Kill); 3]);
        assert_eq!(sets(rooted(&root).capabilities(Capabilities::drop_all())), [0; 3]);
        let all = CapabilitySet::supported().expect("the kernel's");
        assert_eq!(sets(rooted(&root).capabilities(Capabilities::of(all))), [all.bits(); 3]);
    });
}

#[test]
fn capabilities_for_other_users() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let app = || rooted(&root).user(user("app"));
        let status = Look::at(app()).status();
        let sets = [
            status.permitted,
            status.effective,
            status.bounding,
            status.inheritable,
            status.ambient,
        ];
        assert_eq!(sets, [0; 5], "none is usable without an ambient one");
        let asked = Look::at(app().cap_add(Capability::NetAdmin)).status();
        assert_eq!([asked.permitted, asked.effective, asked.ambient, asked.inheritable], [0; 4]);
        assert_ne!(asked.bounding & bit(Capability::NetAdmin), 0);
        let bind = Capabilities::drop_all().add_ambient(Capability::NetBindService);
        let status = Look::at(app().capabilities(bind)).status();
        let only = bit(Capability::NetBindService);
        let sets = [
            status.permitted,
            status.effective,
            status.bounding,
            status.inheritable,
            status.ambient,
        ];
        assert_eq!(sets, [only; 5]);
    });
}

#[test]
fn capability_sets_that_cannot_be_are_refused() {
    tier::root();
    unchanged(|| {
        let mut unbounded = Capabilities::drop_all();
        unbounded.permitted = CapabilitySet::EMPTY.with(Capability::Chown);
        let chown = CapabilitySet::EMPTY.with(Capability::Chown);
        let ambient = Capabilities { ambient: chown, ..Capabilities::default() };
        for capabilities in [unbounded, ambient] {
            let builder = Container::host_view().capabilities(capabilities);
            let error = refused(builder.command("true").plan());
            is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["CAP_CHOWN"]);
        }
    });
}

#[test]
fn new_privileges_are_for_those_who_ask() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs().with_file("bin/su", "#!/bin/sh\n", 0o4755);
        let busybox = std::fs::read(root.at("bin/busybox")).expect("busybox");
        let root = root.with_file("bin/id", busybox, 0o4755);
        let builder = || rooted(&root).user(user("app"));
        let of = |builder| Look::at(builder).status().no_new_privs;
        assert!(of(builder()));
        assert!(!of(builder().new_privileges(NewPrivileges::Allowed)));
        // A root is mounted without set-user-id bits only where that was asked for.
        assert_eq!(print(builder(), "/bin/id -u"), "1000\n");
    });
}

#[test]
fn root_of_the_hosts_user_namespace() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let status = Look::at(rooted(&root).share(Namespace::User)).status();
        assert_eq!(status.uid, [0; 4]);
        assert_eq!(status.bounding, CapabilitySet::container_default().bits());
        let denied = "mount -t tmpfs x /mnt 2>/dev/null || echo denied";
        assert_eq!(print(rooted(&root).share(Namespace::User), denied), "denied\n");
    });
}
