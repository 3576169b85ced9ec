//! Whose limit it was, by path: of a group, or of one above it.
//!
//! Kernel objects: `memory.events.local` of v2, `memory.failcnt` and `memory.memsw.failcnt` of v1, of each group from
//! the place up to the mounted root. Invariant: reading them never fails; what cannot be read has no part in the answer.

use std::fmt;
use std::path::{Path, PathBuf};

use super::cause::{Counters, OomCause, oom_cause};
use crate::controller::Controllers;
use crate::group::Group;
use crate::place::Dir;
use crate::stat::{Files, MemoryEvents, Stats};
use crate::table::Version;

/// How often the groups above a group met their limits of memory, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above(Vec<(PathBuf, MemoryEvents)>);

/// Whose limit of memory killed a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitOf {
    /// The group's own; its path.
    Own(PathBuf),
    /// That of a group below it, whose path this is the beginning of.
    Descendant(PathBuf),
    /// That of the group with this path, above it.
    Ancestor(PathBuf),
    /// No group's that can be seen from here: the machine had no memory left, or a group above the mounted root.
    Outside,
    /// Not known: v1 did not count it (memory and swap together, since Linux 6.13).
    Unknown,
}

impl LimitOf {
    /// The path of the group in the file system.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Own(path) | Self::Descendant(path) | Self::Ancestor(path) => Some(path),
            Self::Outside | Self::Unknown => None,
        }
    }
}

impl fmt::Display for LimitOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(path) => write!(f, "the limit of its group {}", path.display()),
            Self::Descendant(path) => write!(f, "the limit of a group in {}", path.display()),
            Self::Ancestor(path) => write!(f, "the limit of {} above it", path.display()),
            Self::Outside => f.write_str("no limit of a group that is seen here"),
            Self::Unknown => f.write_str("a limit that the kernel did not count"),
        }
    }
}

impl Group {
    /// The counters of the groups above it; taken before something happens, for [`limit_of`](Self::limit_of).
    /// Empty for a group without the memory controller.
    #[must_use]
    pub fn above(&self) -> Above {
        let Some(dir) = self.memory_dir() else { return Above::default() };
        let counted = dir.path.ancestors().take_while(|path| path.starts_with(dir.mount()));
        let mut files = Files::new();
        let read =
            |(level, path): (usize, &Path)| Some((path.to_owned(), local(&mut files, dir, level)?));
        Above(counted.enumerate().filter_map(read).collect())
    }

    /// Whose limit killed processes of this group since it was made; `None` when none was killed. `stats` are the
    /// group's own, `before` those of the groups above when it was made.
    ///
    /// The kernel does not say it; this follows from the counters, the nearest group first. See
    /// [`oom_cause`].
    #[must_use]
    pub fn limit_of(&self, stats: &Stats, before: &Above) -> Option<LimitOf> {
        let own = self.memory_dir().map(|dir| dir.path.join(self.name())).unwrap_or_default();
        let (none, after) = (MemoryEvents::default(), self.above());
        let pairs: Vec<_> = after
            .0
            .iter()
            .map(|(path, after)| {
                let before = before.0.iter().find(|(other, _)| other == path);
                (path, [before.map_or(after, |(_, before)| before), after])
            })
            .collect();
        let above: Vec<Counters<'_>> =
            pairs.iter().map(|(_, local)| Counters { events: *local, local: *local }).collect();
        let memory = &stats.memory;
        let group =
            Counters { events: [&none, &memory.events], local: [&none, &memory.events_local] };
        Some(match oom_cause(group, &above)? {
            OomCause::Own => LimitOf::Own(own),
            OomCause::Descendant => LimitOf::Descendant(own),
            OomCause::Ancestor(index) => pairs
                .get(index)
                .map_or(LimitOf::Outside, |(path, _)| LimitOf::Ancestor((*path).clone())),
            OomCause::Outside => LimitOf::Outside,
            OomCause::Unknown => LimitOf::Unknown,
        })
    }

    fn memory_dir(&self) -> Option<&Dir> {
        self.dirs().find(|dir| dir.controllers.contains(Controllers::MEMORY))
    }
}

/// The counters of the group so many levels above a place's directory, 0 being that itself.
fn local(files: &mut Files, dir: &Dir, level: usize) -> Option<MemoryEvents> {
    let up = "../".repeat(level);
    let mut read = |name: &str| {
        let text = files.read(&dir.fd, &format!("{up}{name}")).ok().flatten();
        text.map(str::to_owned)
    };
    match dir.version {
        Version::V2 => read("memory.events.local").map(|text| MemoryEvents::parse(&text)),
        Version::V1 => {
            let failcnt = read("memory.failcnt")?;
            let both = read("memory.memsw.failcnt").unwrap_or_default();
            Some(MemoryEvents::parse_v1("", &failcnt, &both))
        }
    }
}
