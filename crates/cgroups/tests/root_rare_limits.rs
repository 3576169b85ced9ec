//! Limits that only some machines have: in force as the kernel shows it, or refused by name.
//!
//! Kernel objects: groups below `/ampoule-test`. Invariant: whether a limit must be in force is read from the kernel's
//! files here, not asked of the code under test.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use ampoule_cgroups::limits::Switch;
use ampoule_cgroups::{
    Bytes, Controllers, Error, ErrorKind, Group, GroupPath, Hierarchies, Life, Limits, Mode, Place,
    Weight, owned_name,
};

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

fn create(limits: &Limits) -> Result<Group, Error> {
    let path = GroupPath::new("/ampoule-test").expect("a path");
    let place = Place::open(&hierarchies(), &path).expect("this tier is root's");
    let name = owned_name(None, Life::WithOwner).expect("a name");
    Group::create_in(&place, &name, limits, Controllers::empty())
}

/// Where v2 is mounted.
fn v2() -> Option<PathBuf> {
    let mounts = read_to_string("/proc/self/mounts").expect("procfs");
    let mut mounts = mounts.lines().map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>());
    mounts.find(|mount| mount[1] == "cgroup2").map(|mount| PathBuf::from(mount[0]))
}

/// Whether the kernel has this controller in a hierarchy of v1, or v2 hands it to groups below the top.
fn has(controller: &str) -> bool {
    let known = read_to_string("/proc/cgroups").expect("procfs");
    let line = known.lines().find(|line| line.split('\t').next() == Some(controller));
    let in_v1 = line.is_some_and(|line| line.split('\t').nth(1) != Some("0"));
    let enabled = |top: &Path| {
        let file = read_to_string(top.join("cgroup.subtree_control"));
        file.expect("v2").split_whitespace().any(|name| name == controller)
    };
    in_v1 || v2().is_some_and(|top| enabled(&top))
}

#[test]
fn huge_pages_are_limited_where_the_kernel_can() {
    let mut limits = Limits::default();
    limits.hugetlb.insert("2MB".to_owned(), Bytes::mib(4).into());
    limits.hugetlb_reserved.insert("2MB".to_owned(), Bytes::mib(6).into());
    if !has("hugetlb") {
        let error = create(&limits).expect_err("the kernel cannot");
        assert_eq!(
            (error.kind(), error.limit_name()),
            (ErrorKind::MissingController, Some("hugetlb"))
        );
        let file = v2().map(|top| top.join("ampoule-test/cgroup.subtree_control"));
        assert_eq!(error.path(), file.as_deref());
        assert!(error.to_string().contains("hugetlb"), "{error}");
        return;
    }
    let group = create(&limits).expect("a group");
    let shown = |v2: &str, v1: &str| {
        group.file(v2).or_else(|_| group.file(v1)).expect("a file").trim().to_owned()
    };
    assert_eq!(shown("hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"), (4 << 20).to_string());
    let reserved = shown("hugetlb.2MB.rsvd.max", "hugetlb.2MB.rsvd.limit_in_bytes");
    assert_eq!(reserved, (6 << 20).to_string());
    group.remove().expect("an empty group");
    limits.hugetlb.insert("3MB".to_owned(), Bytes::mib(3).into());
    let error = create(&limits).expect_err("no machine has such pages");
    assert_eq!((error.kind(), error.limit_name()), (ErrorKind::Unsupported, Some("hugetlb")));
    assert!(error.path().is_some_and(|path| path.to_string_lossy().contains("hugetlb.3MB.")));
}

#[test]
fn a_controller_that_is_not_there_is_named() {
    let mut limits = Limits::default();
    limits.network.class_id = Some(7);
    if has("net_cls") {
        let group = create(&limits).expect("a group");
        assert_eq!(group.file("net_cls.classid").expect("a file"), "7\n");
        return group.remove().expect("an empty group");
    }
    let error = create(&limits).expect_err("the kernel cannot");
    let kind = match hierarchies().mode() {
        // There is no such file in v2.
        Mode::V2 => ErrorKind::Unsupported,
        _ => ErrorKind::MissingController,
    };
    assert_eq!((error.kind(), error.limit_name()), (kind, Some("net_cls.classid")), "{error}");
}

#[test]
fn a_group_counts_what_those_below_use() {
    let mut limits = Limits::default();
    limits.memory.use_hierarchy = Some(Switch::On);
    create(&limits).expect("that is so").remove().expect("an empty group");
    limits.memory.use_hierarchy = Some(Switch::Off);
    let error = create(&limits).expect_err("the kernel cannot");
    assert_eq!(error.limit_name(), Some("memory.use_hierarchy"));
    assert!(matches!(error.kind(), ErrorKind::InvalidLimits | ErrorKind::Unsupported), "{error}");
}

#[test]
fn weights_of_a_scheduler_that_is_gone_are_refused() {
    let mut limits = Limits::default();
    limits.io.leaf_weight = Some(Weight::new(500).expect("a weight"));
    let error = create(&limits).expect_err("gone since Linux 5.0");
    assert_eq!(
        (error.kind(), error.limit_name()),
        (ErrorKind::Unsupported, Some("io.leaf_weight"))
    );
}

#[test]
fn swap_is_slowed_down_where_the_kernel_can() {
    let mut limits = Limits::default();
    limits.memory.swap_high = Some(Bytes::mib(8).into());
    match (hierarchies().mode(), create(&limits)) {
        (Mode::V2, made) => {
            let group = made.expect("a group");
            assert_eq!(group.file("memory.swap.high").expect("a file"), "8388608\n");
            group.remove().expect("an empty group");
        }
        (_, refused) => {
            let error = refused.expect_err("v1 cannot");
            assert_eq!(error.limit_name(), Some("memory.swap.high"));
        }
    }
}

#[test]
fn a_limit_below_the_usage_is_refused_when_asked() {
    let group = create(&{
        let mut limits = Limits::default();
        limits.memory.max = Some(Bytes::mib(256).into());
        limits
    })
    .expect("a group");
    let joins: String = group
        .paths()
        .map(|path| format!("echo $$ > '{}/cgroup.procs'; ", path.display()))
        .collect();
    // A file in memory is charged to the group of who wrote it, until the file is gone.
    let file = format!("/dev/shm/ampoule-test-{}", std::process::id());
    let script = format!("{joins} head -c 33554432 /dev/zero > {file}");
    let status = std::process::Command::new("sh").args(["-c", &script]).status();
    assert!(status.expect("a shell").success());
    let mut less = Limits::default();
    less.memory.max = Some(Bytes::mib(8).into());
    less.memory.check_before_update = Some(Switch::On);
    let error = group.update(&less).expect_err("it uses 32 MiB");
    let max = || group.stat().expect("statistics").memory.max;
    let before = max();
    std::fs::remove_file(&file).expect("our file");
    assert_eq!((error.kind(), error.limit_name()), (ErrorKind::BelowUsage, Some("memory.max")));
    assert!(error.path().is_some_and(|path| path.starts_with("/sys/fs/cgroup")), "{error}");
    assert_eq!(before, Some(ampoule_cgroups::Max::Limit(256 << 20)));
    less.memory.max = Some(Bytes::mib(128).into());
    group.update(&less).expect("it uses less");
    assert_eq!(max(), Some(ampoule_cgroups::Max::Limit(128 << 20)));
    group.remove().expect("an empty group");
}
