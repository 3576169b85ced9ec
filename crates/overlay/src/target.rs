//! Paths in the container: checked and written in one way.
//!
//! Kernel objects: none; pure. Invariant: a [`Target`] is absolute, has no `.`, no `..`, no empty component and no
//! NUL, and fits into the kernel's limits.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{ErrorKind, Problem};

/// Longest path without its NUL (PATH_MAX).
const PATH_LIMIT: usize = 4095;
/// Longest name (NAME_MAX).
const NAME_LIMIT: usize = 255;

/// A checked path in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(PathBuf);

impl Target {
    /// Checks a path.
    pub(crate) fn new(path: &Path) -> Result<Self, Problem> {
        fits(path)?;
        let problem = |kind| Err(Problem::new(kind, path));
        if !path.is_absolute() {
            return problem(ErrorKind::TargetNotAbsolute);
        }
        let mut clean = PathBuf::from("/");
        for component in path.components() {
            match component {
                Component::ParentDir => return problem(ErrorKind::TargetEscapes),
                Component::Normal(name) => clean.push(name),
                _ => {}
            }
        }
        match clean.parent() {
            Some(_) => Ok(Self(clean)),
            None => problem(ErrorKind::TargetIsRoot),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory that it is in; `None` is the root.
    pub(crate) fn parent(&self) -> Option<&Path> {
        self.0.parent().filter(|parent| parent.parent().is_some())
    }

    /// Its last component.
    pub(crate) fn name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }
}

/// Checks what every path must keep to.
pub(crate) fn fits(path: &Path) -> Result<(), Problem> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        return Err(Problem::new(ErrorKind::NulByte, path));
    }
    let long_name = bytes.split(|&byte| byte == b'/').any(|name| name.len() > NAME_LIMIT);
    if bytes.len() > PATH_LIMIT || long_name {
        return Err(Problem::new(ErrorKind::PathTooLong, path));
    }
    Ok(())
}

/// A path as the kernel takes it; one with a NUL, which is a problem already, becomes empty.
pub(crate) fn text(path: impl AsRef<OsStr>) -> CString {
    CString::new(path.as_ref().as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(path: &str) -> Option<ErrorKind> {
        Target::new(Path::new(path)).err().map(|problem| problem.kind())
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(kind("a/b"), Some(ErrorKind::TargetNotAbsolute));
        assert_eq!(kind(""), Some(ErrorKind::TargetNotAbsolute));
        assert_eq!(kind("/a/../b"), Some(ErrorKind::TargetEscapes));
        assert_eq!(kind("/.."), Some(ErrorKind::TargetEscapes));
        assert_eq!(kind("//."), Some(ErrorKind::TargetIsRoot));
        assert_eq!(kind("/a\0b"), Some(ErrorKind::NulByte));
        assert_eq!(kind(&"/a".repeat(32_768)), Some(ErrorKind::PathTooLong));
        assert_eq!(kind(&format!("/{}", "a".repeat(256))), Some(ErrorKind::PathTooLong));
        assert_eq!(kind("/a/./b//c/"), None);
    }

    proptest! {
        #[test]
        fn an_accepted_target_is_normal(path in "[/.a\\PC\0]{0,40}") {
            if let Ok(target) = Target::new(Path::new(&path)) {
                let bytes = target.path().as_os_str().as_bytes();
                prop_assert!(bytes.starts_with(b"/") && bytes.len() > 1 && !bytes.contains(&0));
                let mut names = bytes[1..].split(|&byte| byte == b'/');
                prop_assert!(names.all(|name| !matches!(name, b"" | b"." | b"..")));
                prop_assert_eq!(Target::new(target.path()), Ok(target));
            }
        }

        #[test]
        fn a_parent_component_is_never_accepted(a in "[a-z/.]{0,10}", b in "[a-z/.]{0,10}") {
            let path = format!("/{a}/../{b}");
            prop_assert!(Target::new(Path::new(&path)).is_err());
        }
    }
}
