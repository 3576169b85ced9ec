//! An ordinary user: what is refused without a delegated group, and how it is told.
//!
//! Kernel objects: none that stay. Invariant: whether groups may be made is read from the directories' modes here, not
//! asked of the code under test.

use std::path::{Path, PathBuf};

use ampoule_cgroups::{
    Bytes, Controllers, ErrorKind, Group, GroupPath, Hierarchies, Life, Limits, Place, owned_name,
    reconcile,
};
use rustix::fs::{Access, AtFlags, CWD};

fn hierarchies() -> Hierarchies {
    assert!(
        !rustix::process::geteuid().is_root(),
        "this test is of tier `user` and shows nothing as root: run it as an ordinary user, or leave the tier out with \
         `--skip user_`"
    );
    Hierarchies::detect().expect("control groups are mounted")
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.pids_max = Some(64.into());
    limits
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// Whether a group that this user may use was handed to it.
fn has_delegated() -> bool {
    let above = |own: &Path, mount: &Path| {
        let all: Vec<PathBuf> = own.ancestors().map(PathBuf::from).collect();
        let inside = all.into_iter().filter(|path| path.starts_with(mount));
        inside.into_iter().any(|path| is_writable(&path) && is_writable(&path.join("cgroup.procs")))
    };
    hierarchies().iter().any(|one| above(&one.own, &one.mount))
}

#[test]
fn who_has_no_group_is_told_how_to_get_one() {
    let place = Place::find(&hierarchies());
    if has_delegated() {
        let name = owned_name(None, Life::WithOwner).expect("a name");
        let place = place.expect("it may make groups");
        let group =
            Group::create_in(&place, &name, &limits(), Controllers::all()).expect("a group");
        reconcile(&place).expect("a look");
        assert!(group.paths().all(|path| path.exists()), "it is ours, and we live");
        return group.remove().expect("an empty group");
    }
    let error = place.expect_err("nothing was handed to this user");
    assert_eq!(error.kind(), ErrorKind::NotDelegated, "{error}");
    assert!(error.path().is_some_and(|path| path.ends_with("ampoule")), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("Delegate=yes")), "{error}");
}

#[test]
fn a_path_outside_the_delegated_tree_is_refused() {
    let name = format!("ampoule-test-{}", std::process::id());
    let path = GroupPath::new(format!("/{name}")).expect("a path");
    let error = Place::open(&hierarchies(), &path).expect_err("the top is root's");
    assert_eq!(error.kind(), ErrorKind::NotDelegated, "{error}");
    assert!(error.path().is_some_and(|path| path.ends_with(&name)), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    assert!(hierarchies().iter().all(|one| !one.mount.join(&name).exists()));
}
