//! Facts about the machine: what outlives the process if nobody removes it.
//!
//! Kernel objects: `/proc/thread-self/{mountinfo,net/dev,net/unix}`, the cgroup file system, the
//! temporary directories. Invariant: of what other processes may make at any time (groups, files,
//! sockets) only things with our name count.

use std::fs;
use std::path::{Path, PathBuf};

use super::field::Facts;
use super::procfs;

/// The name that all our objects carry.
pub(crate) const NAME: &str = "ampoule";
/// What the names of fixtures begin with; the pid of the test process follows.
pub(crate) const FIXTURE: &str = "ampoule-test-";
/// The same for benches.
const BENCH: &str = "ampoule-bench-";
/// Directories shared with others.
const SHARED: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/netns"];

/// The mount table, by mount id (proc_pid_mountinfo(5)).
pub(crate) fn mounts() -> Facts {
    let table = procfs::text("/proc/thread-self/mountinfo");
    let lines = table.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(id, rest)| (id.to_owned(), rest.to_owned())).collect()
}

/// The names of the network devices.
pub(crate) fn network_devices() -> Facts {
    let table = procfs::text("/proc/thread-self/net/dev");
    let names = table.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| (name.trim().to_owned(), "there".to_owned())).collect()
}

/// The directories below `root` that are in a group with our name. Links are not followed.
pub(crate) fn groups(root: &Path) -> Facts {
    let mut facts = Facts::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let dirs: Vec<PathBuf> = dirs.map(|entry| entry.path()).collect();
        let below = dir.strip_prefix(root).unwrap_or(&dir).to_string_lossy();
        // The place of all groups is there as long as a group is.
        let is_used = || dirs.iter().any(|dir| is_of_a_neighbour(&dir.to_string_lossy()));
        let noise = is_of_a_neighbour(&below) || is_used();
        open.extend(dirs.iter().cloned());
        if is_ours(&below) && !noise {
            facts.insert(dir.display().to_string(), "there".to_owned());
        }
    }
    facts
}

/// The entries with our name in the shared temporary directories and `/run`, and every entry of
/// the temporary directory if it is a private one (`TMPDIR`).
pub(crate) fn files() -> Facts {
    let private = std::env::temp_dir();
    let shared = SHARED.map(PathBuf::from);
    let mut facts = Facts::new();
    for dir in shared.iter().chain(runtime_dir().as_ref()).chain([&private]) {
        let all = *dir == private && !shared.contains(dir);
        let names = procfs::names(dir).into_iter().filter(|name| all || is_ours(name));
        facts.extend(names.map(|name| (dir.join(name).display().to_string(), "there".to_owned())));
    }
    facts
}

/// Whether a name is ours, and not marked as that of another live test or bench process.
pub(crate) fn is_ours(name: &str) -> bool {
    let marks = [FIXTURE, BENCH].into_iter().filter_map(|mark| name.split_once(mark));
    let pids = marks.filter_map(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    });
    let alive = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
    let neighbours = pids.filter(|pid| *pid != std::process::id() && alive(*pid)).count();
    name.contains(NAME) && neighbours == 0
}

/// Whether a group is one of another living process, which its name tells: `ID.wPID-START-NAMESPACE`, or a fixture's
/// `ampoule-WHAT-PID`.
fn is_of_a_neighbour(group: &str) -> bool {
    let alive = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
    let other = |word: &str| -> Option<bool> {
        let pid = word.parse().ok()?;
        Some(pid != std::process::id() && alive(pid))
    };
    let owned = |name: &str| -> Option<bool> {
        let (_, owner) = name.rsplit_once('.')?;
        other(owner.trim_start_matches(['w', 'd']).split_once('-')?.0)
    };
    let fixture = |rest: &str| rest.split('-').skip(1).filter_map(other).any(|other| other);
    group
        .split('/')
        .any(|name| owned(name) == Some(true) || name.strip_prefix("ampoule-").is_some_and(fixture))
}

fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// The abstract sockets with our name, by inode (unix(7)).
pub(crate) fn sockets() -> Facts {
    let table = procfs::text("/proc/thread-self/net/unix");
    let ours = table.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().skip(6);
        let (inode, name) = (columns.next()?, columns.next()?);
        let ours = name.strip_prefix('@')?.starts_with(NAME) && is_ours(name);
        ours.then(|| (inode.to_owned(), name.to_owned()))
    });
    ours.collect()
}
