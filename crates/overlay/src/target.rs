//! Paths in the container: checked and written in one way.
//!
//! Kernel objects: none; pure. Invariant: a [`Target`] is absolute, has no `.`, no `..`, no empty component and no
//! NUL, and fits into the kernel's limits.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{ErrorKind, Problem};

/// Longest path without its NUL (PATH_MAX).
pub(crate) const PATH_LIMIT: usize = 4095;
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
    names_fit(path)?;
    if path.as_os_str().len() > PATH_LIMIT {
        return Err(Problem::new(ErrorKind::PathTooLong, path));
    }
    Ok(())
}

/// Checks what a path must keep to that is opened part by part ([`parts`]).
pub(crate) fn names_fit(path: &Path) -> Result<(), Problem> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        return Err(Problem::new(ErrorKind::NulByte, path));
    }
    if bytes.split(|&byte| byte == b'/').any(|name| name.len() > NAME_LIMIT) {
        return Err(Problem::new(ErrorKind::PathTooLong, path));
    }
    Ok(())
}

/// A path as parts that the kernel takes one after the other, each relative to the one before it: one, unless it is
/// longer than a page.
pub(crate) fn parts(path: &Path) -> Vec<&OsStr> {
    let mut rest = path.as_os_str().as_bytes();
    let mut parts = Vec::new();
    while rest.len() > PATH_LIMIT {
        // Behind the last slash that fits; names fit, so that there is one.
        let end = rest[..PATH_LIMIT].iter().rposition(|&byte| byte == b'/');
        let (part, after) = rest.split_at(end.filter(|&end| end > 0).unwrap_or(PATH_LIMIT));
        parts.push(OsStr::from_bytes(part));
        let leading = after.iter().take_while(|&&byte| byte == b'/').count();
        rest = &after[leading..];
    }
    if !rest.is_empty() {
        parts.push(OsStr::from_bytes(rest));
    }
    parts
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
        fn parts_are_the_path(names in prop::collection::vec("[a-z]{1,200}/{1,3}", 1..80)) {
            let path = format!("/{}", names.concat());
            let parts = parts(Path::new(&path));
            let mut joined = PathBuf::new();
            parts.iter().for_each(|part| joined.push(part));
            prop_assert_eq!(joined.components().collect::<PathBuf>(), Path::new(&path).components().collect::<PathBuf>());
            prop_assert!(parts.iter().all(|part| part.len() <= PATH_LIMIT));
            prop_assert!(parts.iter().skip(1).all(|part| !part.as_bytes().starts_with(b"/")));
        }

        #[test]
        fn a_parent_component_is_never_accepted(a in "[a-z/.]{0,10}", b in "[a-z/.]{0,10}") {
            let path = format!("/{a}/../{b}");
            prop_assert!(Target::new(Path::new(&path)).is_err());
        }
    }
}
