//! What is seen of containers from outside: processes of ours that live.
//!
//! Kernel objects: the process table. Invariant: only processes below this one count.

use crate::oracle::processes::Table;

/// How many processes are below this one, zombies included; what lost its host on the way is not ours to count.
pub(crate) fn descendants() -> usize {
    let table = Table::read();
    let parent = |pid: &u32| table.processes.get(pid).map(|one| one.parent);
    let above = |pid: u32| std::iter::successors(parent(&pid), |pid| parent(pid)).take(100);
    table.processes.keys().filter(|pid| above(**pid).any(|one| one == table.own)).count()
}

/// Whether a process lives: neither gone nor a zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(crate::oracle::process::nth(&stat, 3).as_str(), "Z" | "X" | "(none)")
}

/// The first child of a process, once there is one.
#[track_caller]
pub(crate) fn child_of(pid: u32) -> u32 {
    let mut child = None;
    let found = super::soon(|| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        child = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        child.is_some()
    });
    assert!(found, "process {pid} has no child");
    child.unwrap_or_default()
}
