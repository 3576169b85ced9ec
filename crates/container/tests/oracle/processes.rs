//! The process table: our children, what is below them, and what we left to somebody else.
//!
//! Kernel objects: `/proc/PID/{stat,status,cmdline,exe}` and `/proc/self/task/*/children`.
//! Invariant: a process is ours only if it is below this process, or if it is one of Ampoule's
//! and its outer parent is one of our own ancestors: that is where an orphan of ours ends up,
//! while the containers of another live process keep that process as their parent.

use std::collections::BTreeMap;
use std::path::Path;

use super::field::Facts;
use super::process::nth;
use super::procfs;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its parent; 0 if that is outside of our view.
    pub(crate) parent: u32,
    /// Its name.
    pub(crate) name: String,
    /// Whether it ended and waits for its parent.
    pub(crate) zombie: bool,
    /// Its start time in clock ticks: with the pid, its identity.
    pub(crate) started: String,
    /// Whether it is one of Ampoule's, by name or because it is in a further pid namespace.
    pub(crate) contained: bool,
}

impl Process {
    fn read(pid: u32, own_depth: usize) -> Option<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let stat = procfs::text(dir.join("stat"));
        let name = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
        let contained = depth(&dir) > own_depth || is_init(&dir, &name);
        Some(Self {
            parent: nth(&stat, 4).parse().ok()?,
            name,
            zombie: nth(&stat, 3) == "Z",
            started: nth(&stat, 22),
            contained,
        })
    }

    /// Its identity, and its name and state.
    fn fact(&self, pid: u32) -> (String, String) {
        let state = if self.zombie { " (zombie)" } else { "" };
        (format!("{pid} started {}", self.started), format!("{}{state}", self.name))
    }
}

/// In how many pid namespaces a process is, as far as we can see.
fn depth(dir: &Path) -> usize {
    let status = procfs::text(dir.join("status"));
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.map_or(1, |pids| pids.split_whitespace().count())
}

/// Whether it is Ampoule's `init`. A memfd executed by descriptor has a name made up by the
/// kernel, so that its arguments and its executable are looked at too.
fn is_init(dir: &Path, name: &str) -> bool {
    let command = procfs::text(dir.join("cmdline"));
    let program = command.split('\0').next().unwrap_or("").rsplit('/').next().unwrap_or("");
    name.starts_with("ampoule-init")
        || program.starts_with("ampoule-init")
        || procfs::link(dir.join("exe")).starts_with("/memfd:ampoule-init")
}

/// All processes at one moment, as seen by `own`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// This process.
    pub(crate) own: u32,
    /// By pid.
    pub(crate) processes: BTreeMap<u32, Process>,
}

impl Table {
    /// Reads the table.
    pub(crate) fn read() -> Self {
        let own = std::process::id();
        let own_depth = depth(Path::new("/proc/self"));
        let pids = procfs::names("/proc").into_iter().filter_map(|name| name.parse().ok());
        let known = pids.chain(listed_children());
        let read = |pid| Some((pid, Process::read(pid, own_depth)?));
        Self { own, processes: known.filter_map(read).collect() }
    }

    /// The direct children of this process.
    pub(crate) fn children(&self) -> Facts {
        self.facts(|pid| self.parent(pid) == Some(self.own))
    }

    /// Processes further below this one, and contained ones that lost it.
    pub(crate) fn strays(&self) -> Facts {
        let above = self.above(self.own);
        self.facts(|pid| {
            let below = self.above(pid).contains(&self.own);
            let child = self.parent(pid) == Some(self.own);
            !child && (below || self.is_orphan(pid, &above))
        })
    }

    /// Whether a contained process has one of `above`, our ancestors, as its outer parent. One
    /// that has ended is theirs to reap.
    fn is_orphan(&self, pid: u32, above: &[u32]) -> bool {
        let lives = self.processes.get(&pid).is_some_and(|one| !one.zombie);
        let contained = |pid: &u32| self.processes.get(pid).is_some_and(|one| one.contained);
        let outer = self.above(pid).into_iter().find(|one| !contained(one));
        lives && contained(&pid) && outer.is_some_and(|outer| above.contains(&outer))
    }

    fn parent(&self, pid: u32) -> Option<u32> {
        self.processes.get(&pid).map(|one| one.parent)
    }

    /// The ancestors of a process, nearest first. Bounded, because the table is not one moment:
    /// a pid that was used again while we read may close a circle.
    fn above(&self, pid: u32) -> Vec<u32> {
        std::iter::successors(self.parent(pid), |pid| self.parent(*pid)).take(1024).collect()
    }

    fn facts(&self, chosen: impl Fn(u32) -> bool) -> Facts {
        let chosen = self.processes.iter().filter(|(pid, _)| chosen(**pid));
        chosen.map(|(pid, one)| one.fact(*pid)).collect()
    }
}

/// The children that the kernel lists by thread; seen even where `hidepid` hides `/proc/PID`.
fn listed_children() -> Vec<u32> {
    let tasks = procfs::names("/proc/self/task").into_iter();
    let lists =
        tasks.map(|tid| procfs::text(Path::new("/proc/self/task").join(tid).join("children")));
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}
