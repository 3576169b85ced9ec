//! The directories of a place: there while they are used, and never in each other's way.
//!
//! Kernel objects: groups below places of this test. Invariant: what is asserted is what the file system shows.

use std::path::{Path, PathBuf};

use ampoule_cgroups::{
    Controllers, Depth, Group, GroupPath, Hierarchies, Life, Limits, Mode, Place, owned_name, sweep,
};

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

fn open(path: &str) -> Place {
    Place::open(&hierarchies(), &GroupPath::new(path).expect("a path")).expect("a place")
}

fn create(place: &Place, name: &str) -> Group {
    Group::create_in(place, name, &Limits::default(), Controllers::MEMORY).expect("a group")
}

fn paths(place: &Place) -> Vec<PathBuf> {
    place.paths().map(Path::to_owned).collect()
}

/// A path for one test.
fn own_path(what: &str) -> String {
    format!("/ampoule-test-{}-{what}", std::process::id())
}

#[test]
fn it_goes_with_its_last_use() {
    let top = own_path("last");
    let place = open(&format!("{top}/a/b"));
    let dirs = paths(&place);
    assert!(dirs.iter().all(|dir| dir.is_dir()), "{dirs:?}");
    let group = create(&place.clone(), "one");
    drop(place);
    assert!(group.paths().all(|dir| dir.is_dir()));
    group.remove().expect("an empty group");
    assert!(dirs.iter().all(|dir| dir.is_dir()), "the group is the last use");
    drop(group);
    let tops = dirs.iter().map(|dir| dir.ancestors().nth(2).expect("the top").to_owned());
    let left: Vec<_> = dirs.iter().cloned().chain(tops).filter(|dir| dir.exists()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn what_was_there_stays() {
    let top = own_path("stays");
    let outer = open(&top);
    let inner = open(&format!("{top}/in"));
    drop(open(&top));
    drop(inner);
    assert!(paths(&outer).iter().all(|dir| dir.is_dir() && !dir.join("in").exists()));
    let group = create(&outer, "left");
    let dirs = paths(&outer);
    drop(outer);
    assert!(dirs.iter().all(|dir| dir.is_dir()));
    group.remove().expect("an empty group");
}

#[test]
fn it_is_made_again_when_others_removed_it() {
    let place = open(&own_path("again"));
    for dir in place.paths() {
        std::fs::remove_dir(dir).expect("an empty place");
    }
    let group = create(&place, "one");
    assert!(group.paths().all(|dir| dir.is_dir()));
    assert!(group.paths().next().is_some());
    let again = group.place().clone();
    group.remove().expect("an empty group");
    drop((group, place, again));
}

#[test]
fn many_come_and_go_at_once() {
    let path = own_path("race");
    let rounds = 60;
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let path = &path;
            threads.spawn(move || {
                for round in 0..rounds {
                    let place = open(path);
                    let group = create(&place, &format!("{thread}-{round}"));
                    assert!(group.procs(Depth::One).expect("it is there").is_empty());
                    group.remove().expect("an empty group");
                }
            });
        }
    });
    let place = open(&path);
    let dirs = paths(&place);
    drop(place);
    assert_eq!(dirs.iter().filter(|dir| dir.exists()).count(), 0);
}

#[test]
fn a_place_within_the_own_group_is_in_one_hierarchy() {
    let found = hierarchies();
    let place = Place::within(&found).expect("root may make groups");
    let dirs = paths(&place);
    assert_eq!(dirs.len(), 1);
    let version = if found.mode() == Mode::V1 { "v1" } else { "v2" };
    assert_eq!(dirs[0].join("cgroup.events").is_file(), version == "v2", "{dirs:?}");
    let own = found.iter().find(|one| dirs[0].starts_with(&one.mount)).expect("its hierarchy");
    assert_eq!(dirs[0], own.own.join("ampoule"));
}

#[test]
fn empty_groups_of_ended_processes_are_swept() {
    let place = open(&own_path("sweep"));
    let own = owned_name(None, Life::WithOwner).expect("a name");
    let (_, owner) = own.rsplit_once('-').expect("a namespace");
    // This process started later.
    let dead = format!("x.w{}-1-{owner}", std::process::id());
    for name in [&own, &dead] {
        create(&place, name);
    }
    let done = sweep(&place).expect("a place");
    assert_eq!((done.removed, done.failed), (1, 0));
    let there = |name: &str| place.paths().any(|dir| dir.join(name).exists());
    assert!(there(&own) && !there(&dead));
    Group::open(&place, &own).expect("the group").remove().expect("an empty group");
}
