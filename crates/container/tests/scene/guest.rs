//! What the guest of the tier `vm` is, and that a container runs in it.
//!
//! Kernel objects: the tree of control groups, process 1, a whole container. Invariant: the guest is unchanged.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use ampoule::Container;

/// Every controller of cgroup v2 that the kernels of the guest have.
pub(crate) const CONTROLLERS: [&str; 8] =
    ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];

/// The top of the tree.
pub(crate) fn groups() -> &'static Path {
    Path::new("/sys/fs/cgroup")
}

/// The group of this process.
pub(crate) fn own_group() -> PathBuf {
    let text = read_to_string("/proc/self/cgroup").expect("the groups of this process");
    let path = text.trim_end().strip_prefix("0::/").expect("cgroup v2 and nothing else");
    groups().join(path)
}

/// The words of a file, sorted.
pub(crate) fn words(path: &Path) -> Vec<String> {
    let text = read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words: BTreeSet<&str> = text.split_whitespace().collect();
    words.into_iter().map(str::to_owned).collect()
}

/// Pure cgroup v2: every controller is in it, and no hierarchy of v1 is mounted.
pub(crate) fn every_controller_is_in_v2() {
    assert_eq!(words(&groups().join("cgroup.controllers")), CONTROLLERS);
    let mounts = read_to_string("/proc/self/mounts").expect("the mounts");
    let kinds = mounts.lines().filter_map(|line| line.split(' ').nth(2));
    let kinds: Vec<&str> = kinds.filter(|kind| kind.starts_with("cgroup")).collect();
    assert_eq!(kinds, ["cgroup2"]);
}

/// The name of process 1.
pub(crate) fn process_1() -> String {
    read_to_string("/proc/1/comm").expect("process 1").trim_end().to_owned()
}

/// A container with the host's programs runs `/bin/true`.
pub(crate) fn a_container_runs() {
    let status = Container::host_view().command("/bin/true").status();
    assert!(status.expect("a container").success());
}
