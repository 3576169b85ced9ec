//! Groups of an ordinary user: in a delegated scope of its session, and in a scope that its own manager makes.
//!
//! Kernel objects: as in `vm_systemd_scope.rs`. Invariant: nothing of them is left, and the host stays where it was.

mod prospect;
mod scope;

use std::path::Path;

use ampoule_cgroups::{
    Controllers, ErrorKind, Group, Hierarchies, Limits, Place, Placement, Scope,
};
use scope::{choose, dir, is_gone, limits_are_in_force, own_group, property, usual};

/// The group of the user's manager.
const MANAGER: &str = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";

fn in_a_scope_of_systemds(placement: &Placement) {
    let own = own_group();
    let place = choose(placement, &usual()).expect("a scope");
    let (unit, dir) = (place.unit().expect("a unit").to_owned(), dir(&place));
    assert!(dir.starts_with(MANAGER) && dir.ends_with(&unit), "{}", dir.display());
    assert_eq!(property(&unit, "Delegate"), "yes");
    assert_eq!(scope::scopes(std::process::id()).lines().count(), 1);
    limits_are_in_force(&place);
    drop(place);
    is_gone(&unit, &dir);
    assert_eq!(own_group(), own, "the host is where it was");
}

#[test]
fn the_users_manager_makes_a_scope() {
    in_a_scope_of_systemds(&Placement::Systemd(Scope::default()));
    // The host is in its delegated group, which so cannot hand on controllers.
    in_a_scope_of_systemds(&Placement::Auto);
}

#[test]
fn a_delegated_group_is_taken() {
    let place = choose(&Placement::Auto, &Limits::default()).expect("a delegated group");
    assert_eq!((place.unit(), dir(&place)), (None, own_group().join("ampoule")));
    let group = Group::create_in(&place, "web", &Limits::default(), Controllers::empty());
    let group = group.expect("a group");
    group.freeze().and_then(|()| group.thaw()).expect("a group can be frozen without controllers");
    group.remove().expect("an empty group");
}

/// Runs a test again where `run` puts it, and expects it to succeed.
fn elsewhere(run: &[&str], test: &str) -> bool {
    if scope::is_inner() {
        return false;
    }
    let output = scope::again(run, test).wait_with_output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    true
}

/// The program moves itself before it starts: what a service manager does with `DelegateSubgroup=`.
#[test]
fn a_program_in_a_group_of_its_own_has_limits_beside_it() {
    let script = "own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); mkdir $own/main && \
                  echo $$ > $own/main/cgroup.procs && exec \"$0\" \"$@\"";
    let run = [SCOPE, &["-p", "Delegate=yes", "--", "sh", "-c", script]].concat();
    if elsewhere(&run, "a_program_in_a_group_of_its_own_has_limits_beside_it") {
        return;
    }
    let own = own_group();
    for placement in [Placement::Auto, Placement::Direct] {
        let place = choose(&placement, &usual()).expect("a delegated group");
        let beside = own.parent().expect("the scope").join("ampoule");
        assert_eq!((place.unit(), dir(&place)), (None, beside));
        limits_are_in_force(&place);
    }
}

const SCOPE: &[&str] = &["systemd-run", "--user", "--scope", "--quiet", "--collect"];

#[test]
fn without_delegation_the_manager_is_asked() {
    let run = [SCOPE, &["--"]].concat();
    if elsewhere(&run, "without_delegation_the_manager_is_asked") {
        return;
    }
    in_a_scope_of_systemds(&Placement::Auto);
    in_a_scope_of_systemds(&Placement::Systemd(Scope::default()));
    let mine = own_group().join("ampoule");
    assert!(!mine.exists(), "nothing was made where nothing is delegated: {}", mine.display());
}

#[test]
fn without_a_bus_the_error_says_what_to_do() {
    let no_bus = ["env", "DBUS_SESSION_BUS_ADDRESS=unix:path=/none", "XDG_RUNTIME_DIR=/none"];
    if elsewhere(&no_bus, "without_a_bus_the_error_says_what_to_do") {
        return;
    }
    let placement = Placement::Systemd(Scope::default());
    let error = choose(&placement, &usual()).expect_err("there is no bus");
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NoSystemd, Some(2)), "{error}");
    let hint = error.hint().expect("a hint");
    assert!(hint.contains("systemd-run --user --scope -p Delegate=yes"), "{hint}");
    // The manager's own group is the last resort.
    let place = choose(&Placement::Auto, &usual()).expect("a group of the manager's");
    assert_eq!((place.unit(), dir(&place)), (None, Path::new(MANAGER).join("ampoule")));
    limits_are_in_force(&place);
    let found = Place::find(&Hierarchies::detect().expect("control groups")).expect("a place");
    assert_eq!(dir(&found), Path::new(MANAGER).join("ampoule"));
}

#[test]
fn what_is_told_is_what_happens() {
    prospect::it_is_what_happens();
}
