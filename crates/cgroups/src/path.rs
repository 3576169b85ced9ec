//! Names of groups and of the places where groups are made.
//!
//! Kernel objects: none. Invariant: a name is one component; a path never leaves the tree that it starts in.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, PATH, Reason, Result};

/// A component of a path is at most this long.
const NAME_MAX: usize = 255;
/// A path is shorter than this.
const PATH_MAX: usize = 4096;

/// A path in every hierarchy: from its mounted root if it starts with `/`, else from the caller's own group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupPath(String);

impl GroupPath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`InvalidPath`](crate::ErrorKind::InvalidPath) when it is empty, has `.`, `..`, an empty component, a control
    /// character, or is too long.
    pub fn new(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let refused = |reason| Err(Error::text(PATH, &path, reason));
        if path.is_empty() || path == "/" {
            return refused(Reason::Empty);
        }
        if path.len() >= PATH_MAX {
            return refused(Reason::TooLong(PATH_MAX - 1));
        }
        for name in path.strip_prefix('/').unwrap_or(&path).split('/') {
            check_name(name).map_err(|reason| Error::text(PATH, &path, reason))?;
        }
        Ok(Self(path))
    }

    /// The top of each hierarchy.
    #[must_use]
    pub fn top() -> Self {
        Self("/".to_owned())
    }

    /// The components.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        Path::new(&self.0).components().filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
    }

    /// Whether it starts at the mounted root.
    pub(crate) fn is_absolute(&self) -> bool {
        self.0.starts_with('/')
    }
}

/// Refuses what cannot be one component of a path.
pub(crate) fn check_name(name: &str) -> Result<(), Reason> {
    match name {
        "" => Err(Reason::Empty),
        "." | ".." => Err(Reason::LeavesTree),
        _ if name.len() > NAME_MAX => Err(Reason::TooLong(NAME_MAX)),
        _ if name.chars().any(|c| c.is_control() || c == '/') => Err(Reason::BadCharacter),
        _ => Ok(()),
    }
}

/// The name of a group: one component that is no file of the kernel's.
pub(crate) fn group_name(name: &str) -> Result<&str> {
    let files = ["cgroup", "memory", "cpu", "cpuset", "io", "pids", "hugetlb", "rdma", "misc"];
    let first = name.split('.').next().unwrap_or_default();
    let refused = |reason| Error::text(PATH, name, reason);
    check_name(name).map_err(refused)?;
    if name.contains('.') && files.contains(&first) && !crate::owner::is_owned(name) {
        return Err(refused(Reason::BadCharacter));
    }
    Ok(name)
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GroupPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for GroupPath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<GroupPath> for String {
    fn from(path: GroupPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn paths_stay_in_the_tree() {
        for path in ["/ampoule", "a", "a/b c", "/a/b.slice/ü"] {
            assert_eq!(path.parse::<GroupPath>().unwrap().to_string(), path);
        }
        let long = "a/".repeat(3000);
        for path in ["", "/", "..", "/..", "a/../b", "a//b", "a/", "./a", "a\nb", "a\0", &long] {
            let error = path.parse::<GroupPath>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{path:?}");
        }
        let name = "x".repeat(256);
        assert_eq!(GroupPath::new(name).unwrap_err().kind(), ErrorKind::InvalidPath);
    }

    #[test]
    fn names_are_no_files() {
        for name in ["cpu.max", "cgroup.procs", "memory.x", "", "..", "a/b", "a\n"] {
            group_name(name).unwrap_err();
        }
        for name in ["web", "cpu", "web.1", "7.12-34"] {
            group_name(name).unwrap();
        }
    }
}
