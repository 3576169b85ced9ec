//! Ranges of `/etc/subuid` and `/etc/subgid` for an ordinary user, written by newuidmap(1).
//!
//! Kernel objects: `uid_map`, `gid_map`, two set-user-id helpers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use ampoule::{Control, ErrorKind, IdMap, IdMapping, IdRange, Stage, User};
use oracle::{fixture, payload, tier, unchanged};
use scene::{Look, is_error, print, refused, rooted};

fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

#[test]
fn the_callers_ranges_are_mapped() {
    tier::user();
    unchanged(|| {
        let root = fixture::rootfs();
        let look = Look::at(rooted(&root).id_mapping(IdMapping::SubIds));
        let (uid, gid) = own_ids();
        for (map, own) in [("uid_map", uid), ("gid_map", gid)] {
            let ranges = look.map(map);
            assert_eq!(ranges[0], payload::IdRange { inside: 0, outside: own, count: 1 });
            assert!(
                ranges.len() > 1 && ranges[1].inside == 1 && ranges[1].count >= 65_536,
                "{ranges:?}"
            );
        }
        assert_eq!(look.status().uid, [0; 4]);
        assert!(look.status().groups.is_empty(), "{:?}", look.status().groups);
    });
}

#[test]
fn users_and_groups_of_the_root_exist() {
    tier::user();
    unchanged(|| {
        let root = fixture::rootfs();
        let builder = || rooted(&root).id_mapping(IdMapping::SubIds);
        let status = Look::at(builder().user("app".parse().expect("a user"))).status();
        assert_eq!((status.uid, status.gid, status.groups), ([1000; 4], [1000; 4], vec![2000]));
        let script = "touch /tmp/mine && chown 1000:2000 /tmp/mine && stat -c %u:%g /tmp/mine";
        assert_eq!(print(builder(), script), "1000:2000\n");
        let plan = builder().command("true").plan().expect("a plan");
        assert!(plan.report().is_in_force(Control::SupplementaryGroups), "{}", plan.report());
        assert!(plan.report().to_string().contains("newuidmap"), "{}", plan.report());
    });
}

#[test]
fn ids_of_others_are_refused_by_the_helper() {
    tier::user();
    unchanged(|| {
        let root = fixture::rootfs();
        let map = IdMap { uid: vec![IdRange::new(0, 0, 1)], gid: vec![IdRange::new(0, 0, 1)] };
        let builder = rooted(&root).id_mapping(IdMapping::Explicit(map)).user(User::ids(0, 0));
        let error = refused(builder.command("true").spawn());
        is_error(&error, ErrorKind::IdMap, Stage::Namespaces, &["newgidmap"]);
        assert!(error.hint().is_some_and(|hint| hint.contains("subuid")), "{error}");
    });
}
