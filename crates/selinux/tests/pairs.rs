//! Pairs of categories in one process: unique, shared, exhausted, released.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use ampoule_selinux::{ErrorKind, Lease, Pair, Pairs};

fn pairs(dir: &tempfile::TempDir) -> Pairs {
    Pairs::open(dir.path().join("pairs")).expect("a directory of pairs")
}

fn names(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("pairs")).expect("a directory").count()
}

#[test]
fn each_is_given_once_and_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    // Ten pairs of five categories; a second view of the directory is as good as another process.
    let (one, other) = (pairs(&dir).categories(5), pairs(&dir).categories(5));
    let leases: Vec<Lease> = (0..10)
        .map(|index| if index % 2 == 0 { &one } else { &other })
        .map(|pairs| pairs.allocate().expect("a pair"))
        .collect();
    let given: BTreeSet<Pair> = leases.iter().map(Lease::pair).collect();
    assert_eq!(given.len(), 10);
    assert!(given.iter().all(|pair| pair.high() < 5));
    let error = one.allocate().expect_err("no pair is left");
    assert_eq!(error.kind(), ErrorKind::PairsExhausted);
    assert_eq!(error.to_string(), "all 10 pairs of categories are in use");
    assert_eq!(one.in_use().expect("a list").into_iter().collect::<BTreeSet<_>>(), given);
    drop(leases);
    assert_eq!((one.in_use().expect("a list"), names(&dir)), (Vec::new(), 0));
}

#[test]
fn a_chosen_pair_is_not_given_to_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let pairs = pairs(&dir).categories(3);
    let chosen = Pair::new(0, 2).expect("two");
    let (first, second) =
        (pairs.share(chosen).expect("free"), pairs.share(chosen).expect("shared"));
    let leases: Vec<Lease> = (0..2).map(|_| pairs.allocate().expect("a pair")).collect();
    assert!(leases.iter().all(|lease| lease.pair() != chosen));
    assert_eq!(pairs.allocate().expect_err("three pairs").kind(), ErrorKind::PairsExhausted);
    // One of the two that share it goes: it stays in use.
    drop(first);
    assert_eq!(pairs.allocate().expect_err("three pairs").kind(), ErrorKind::PairsExhausted);
    drop(second);
    let last = pairs.allocate().expect("the chosen one is free again");
    assert_eq!(last.pair(), chosen);
    let error = pairs.share(chosen).expect_err("it was allocated");
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::PairInUse, "the categories c0,c2 are in use".into())
    );
}

#[test]
fn a_copy_of_the_descriptor_keeps_a_pair() {
    use std::os::fd::AsFd as _;
    let dir = tempfile::tempdir().expect("a directory");
    let pairs = pairs(&dir).categories(2);
    let lease = pairs.allocate().expect("the only pair");
    let copy = lease.as_fd().try_clone_to_owned().expect("a copy");
    lease.leave();
    assert_eq!(pairs.allocate().expect_err("it is held").kind(), ErrorKind::PairsExhausted);
    drop(copy);
    assert_eq!(pairs.allocate().expect("free").pair(), Pair::new(0, 1).expect("two"));
}

#[test]
fn a_directory_of_others_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("open");
    std::fs::create_dir(&path).expect("a directory");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("its mode");
    let error = Pairs::open(&path).expect_err("anybody may remove the locks");
    assert_eq!(error.kind(), ErrorKind::InsecureDirectory);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).expect("a link");
    assert_eq!(Pairs::open(&link).expect_err("a link").errno(), Some(20));
    assert_eq!(Pairs::open(dir.path().join("no/parent")).expect_err("no parent").errno(), Some(2));
}
