//! Scopes of the system's manager, for root in a service with a delegated group.
//!
//! Kernel objects: transient scopes and their groups. Invariant: nothing of them is left.

mod prospect;
mod scope;

use std::path::Path;

use ampoule_cgroups::{Controllers, ErrorKind, Group, Limits, Placement, Scope};
use scope::{Sleeper, choose, dir, is_gone, limits_are_in_force, own_group, property, usual};

fn asked() -> Placement {
    let mut scope = Scope::in_slice("user.slice".parse().expect("a slice"));
    scope.description = Some("of a test".to_owned());
    Placement::Systemd(scope)
}

#[test]
fn a_scope_has_the_limits_and_leaves_nothing() {
    let place = choose(&asked(), &usual()).expect("a scope");
    let (unit, dir) = (place.unit().expect("a unit").to_owned(), dir(&place));
    assert_eq!(dir, Path::new("/sys/fs/cgroup/user.slice").join(&unit));
    for (name, value) in [
        ("ActiveState", "active"),
        ("Delegate", "yes"),
        ("CollectMode", "inactive-or-failed"),
        ("Slice", "user.slice"),
        ("Description", "of a test"),
        ("MemoryAccounting", "yes"),
        ("TasksAccounting", "yes"),
    ] {
        assert_eq!(property(&unit, name), value, "{name}");
    }
    limits_are_in_force(&place);
    let also = place.clone();
    drop(place);
    limits_are_in_force(&also);
    drop(also);
    is_gone(&unit, &dir);
}

/// The host is in its delegated group, which so cannot hand on controllers.
#[test]
fn auto_asks_systemd_where_limits_need_it() {
    let own = own_group();
    let place = choose(&Placement::Auto, &Limits::default()).expect("a delegated group");
    assert_eq!((place.unit(), dir(&place)), (None, own.join("ampoule")));
    assert_eq!(place.controllers(), Controllers::empty());
    let place = choose(&Placement::Auto, &usual()).expect("a scope");
    let (unit, dir) = (place.unit().expect("a unit").to_owned(), dir(&place));
    limits_are_in_force(&place);
    drop(place);
    is_gone(&unit, &dir);
    assert_eq!(own_group(), own, "the host is where it was");
}

#[test]
fn direct_asks_nobody() {
    let place = choose(&Placement::Direct, &usual()).expect("the top of the tree");
    assert_eq!((place.unit(), dir(&place)), (None, "/sys/fs/cgroup/ampoule".into()));
    limits_are_in_force(&place);
}

#[test]
fn a_group_in_use_outlives_its_place() {
    let place = choose(&asked(), &usual()).expect("a scope");
    let (unit, dir) = (place.unit().expect("a unit").to_owned(), dir(&place));
    let group = Group::create_in(&place, "long", &usual(), Controllers::empty()).expect("a group");
    let sleeper = Sleeper::start();
    sleeper.join(&dir.join("long"));
    drop((group, place));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(property(&unit, "ActiveState"), "active");
    drop(sleeper);
    is_gone(&unit, &dir);
}

#[test]
fn systemd_stops_a_scope_at_once() {
    let place = choose(&asked(), &usual()).expect("a scope");
    let (unit, dir) = (place.unit().expect("a unit").to_owned(), dir(&place));
    let start = std::time::Instant::now();
    scope::systemctl(&["stop", &unit]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    is_gone(&unit, &dir);
    let error = Group::create_in(&place, "late", &usual(), Controllers::empty()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn a_killed_host_leaves_nothing() {
    if scope::is_inner() {
        let place = choose(&asked(), &usual()).expect("a scope");
        println!("made {}", dir(&place).display());
        std::thread::sleep(std::time::Duration::from_secs(600));
        return;
    }
    let mut host = scope::again(&[], "a_killed_host_leaves_nothing");
    let dir = std::path::PathBuf::from(scope::said(&mut host, "made "));
    assert!(dir.is_dir());
    host.kill().expect("a child");
    host.wait().expect("a child");
    let unit = dir.file_name().expect("a name").to_str().expect("text").to_owned();
    is_gone(&unit, &dir);
}

#[test]
fn what_systemd_refuses_is_an_error_and_leaves_nothing() {
    // Two dashes would be a slice without a name in between (systemd.slice(5)).
    let scope = Scope::in_slice("a--b.slice".parse().expect("characters of a name"));
    let error = choose(&Placement::Systemd(scope), &usual()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Systemd, "{error}");
    assert!(error.to_string().starts_with("systemd, StartTransientUnit: "), "{error}");
    assert!(error.to_string().contains("lice"), "it is about the slice: {error}");
}

#[test]
fn what_is_told_is_what_happens() {
    prospect::it_is_what_happens();
}
