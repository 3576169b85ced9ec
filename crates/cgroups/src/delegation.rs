//! Which groups above the own one the caller may make groups in, and whose they are.
//!
//! Kernel objects: directories of cgroupfs with their mode and the attribute `user.delegate`, read only. Invariant:
//! deciding makes no system call.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat, getxattr};

use crate::hierarchy::Hierarchy;
use crate::table::Version;

/// A group in which the caller may make groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// It was delegated to the caller, or belongs to no service manager.
    Delegated(PathBuf),
    /// It is systemd's own, although the caller may write to it.
    Managed(PathBuf),
}

impl Ground {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Delegated(path) | Self::Managed(path) => path,
        }
    }
}

/// What can be seen of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    /// Whether the caller may make groups in it and move processes to it.
    writable: bool,
    /// Whether systemd says that it has delegated it (`Delegate=`, systemd.resource-control(5)).
    delegated: bool,
}

impl Seen {
    /// Whether systemd gave it its name.
    fn is_unit(&self) -> bool {
        let extension = self.path.extension().and_then(|name| name.to_str());
        matches!(extension, Some("scope" | "service" | "slice"))
    }
}

/// Where the caller may make groups in a hierarchy, the best first; none where it may nowhere.
pub(crate) fn grounds(hierarchy: &Hierarchy) -> Vec<Ground> {
    let below = hierarchy.own.ancestors().take_while(|path| path.starts_with(&hierarchy.mount));
    let seen: Vec<Seen> = below.map(look).collect();
    match hierarchy.version {
        // Attributes are of v2, and systemd delegates no controllers of v1.
        Version::V1 => highest(&seen).map(Ground::Delegated).into_iter().collect(),
        Version::V2 => decide(&seen),
    }
}

fn look(path: &Path) -> Seen {
    let may = |path: &Path| accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    // Set by the system's manager; for root to see since version 241, for everybody since 251.
    let delegated = ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        getxattr(path, *name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    });
    Seen {
        path: path.to_owned(),
        writable: may(path) && may(&path.join("cgroup.procs")),
        delegated,
    }
}

/// `seen` is the own group and those above it, in this order.
fn decide(seen: &[Seen]) -> Vec<Ground> {
    if !seen.iter().any(|one| one.delegated || one.is_unit()) {
        return highest(seen).map(Ground::Delegated).into_iter().collect();
    }
    // What was delegated to a manager further up is not the caller's: its own unit, the first one, stands before it.
    let mine = seen.iter().find(|one| one.delegated || one.is_unit());
    // A user's manager marks nothing, but what others than root may write to was given to them.
    let root = seen.last().is_some_and(|top| top.writable);
    let mine = mine.filter(|one| one.writable && (one.delegated || !root));
    let mine = mine.map(|one| one.path.clone());
    let managed = highest(seen).filter(|path| Some(path) != mine.as_ref());
    mine.map(Ground::Delegated).into_iter().chain(managed.map(Ground::Managed)).collect()
}

/// The highest group that can be written to.
fn highest(seen: &[Seen]) -> Option<PathBuf> {
    seen.iter().rfind(|one| one.writable).map(|one| one.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter for each group from the own one up: `w` writable, `d` writable and delegated, `-` neither.
    fn ground(own: &str, marks: &str) -> Vec<String> {
        let seen: Vec<Seen> = Path::new(own)
            .ancestors()
            .zip(marks.chars())
            .map(|(path, mark)| Seen {
                path: path.to_owned(),
                writable: mark != '-',
                delegated: mark == 'd',
            })
            .collect();
        let shown = |ground: &Ground| match ground {
            Ground::Delegated(path) => path.display().to_string(),
            Ground::Managed(path) => format!("systemd's {}", path.display()),
        };
        decide(&seen).iter().map(shown).collect()
    }

    #[test]
    fn without_systemd_the_highest_group_is_taken() {
        assert_eq!(ground("/", "w"), ["/"]);
        assert_eq!(ground("/user.1/session", "ww-"), ["/user.1"]);
        assert_eq!(ground("/a/b", "---"), [""; 0]);
    }

    #[test]
    fn a_delegated_unit_is_the_callers() {
        // A scope of a user's manager, to which its own group was delegated.
        assert_eq!(
            ground("/u@1.service/app.slice/x.scope", "wwd-"),
            ["/u@1.service/app.slice/x.scope", "systemd's /u@1.service"]
        );
        // The program is in a group of its own below the service (`DelegateSubgroup=`).
        assert_eq!(ground("/system.slice/x.service/main", "wd--"), ["/system.slice/x.service"]);
        assert_eq!(
            ground("/system.slice/x.service", "dww"),
            ["/system.slice/x.service", "systemd's /"]
        );
        // A container of another engine: its delegated group is the root that it sees.
        assert_eq!(ground("/", "d"), ["/"]);
    }

    #[test]
    fn what_was_not_delegated_is_systemds() {
        assert_eq!(ground("/u@0.service/app.slice/x.scope", "wwdw"), ["systemd's /"]);
        assert_eq!(ground("/user.slice/s-1.scope", "www"), ["systemd's /"]);
        assert_eq!(ground("/user.slice/s-1.scope", "---"), [""; 0]);
        assert_eq!(ground("/u@1.service/app.slice/x.scope", "-wd-"), ["systemd's /u@1.service"]);
    }

    #[test]
    fn the_owner_tells_where_an_old_systemd_marks_nothing() {
        assert_eq!(ground("/system.slice/x.service", "w--"), ["/system.slice/x.service"]);
        assert_eq!(ground("/system.slice/x.service", "www"), ["systemd's /"]);
    }
}
