//! The names of an overlay's layers, as its options can hold them.
//!
//! Invariant: an option's value has at most 255 bytes and no character that overlayfs or the kernel's option parser
//! (before Linux 6.5: commas) reads as a separator.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most lower layers of one overlay (`OVL_MAX_STACK`, the same in every kernel since Linux 4.0).
pub(crate) const LAYERS_MAX: usize = 500;

/// Longest name of an upper directory: room is left for `.work` and a directory before it.
const NAME_LIMIT: usize = 200;

/// Whether the last component of a path can stand in an overlay option.
pub(crate) fn name_fits(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let bytes = name.as_bytes();
        bytes.len() <= NAME_LIMIT && !bytes.iter().any(|byte| b",:\\".contains(byte))
    })
}

/// The work directory that belongs to an upper one.
pub(crate) fn work_beside(upper: &Path) -> PathBuf {
    let mut name = OsString::from(upper.file_name().unwrap_or_default());
    name.push(".work");
    upper.with_file_name(name)
}

/// An upper layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upper {
    /// None: the overlay is read-only.
    None,
    /// A new directory of this mode in the staging tmpfs.
    Memory {
        /// Mode of the overlay's root.
        mode: u32,
    },
    /// Directories of the host that are beside each other.
    Host {
        /// The upper directory.
        upper: PathBuf,
        /// The work directory.
        work: PathBuf,
        /// Mode of the upper directory if it must be made: it becomes the mode of the overlay's root.
        mode: u32,
    },
}

impl Upper {
    /// An upper directory of the host.
    pub(crate) fn host(upper: &Path, work: Option<&Path>, mode: u32) -> Self {
        let work = work.map_or_else(|| work_beside(upper), Path::to_path_buf);
        Self::Host { upper: upper.to_path_buf(), work, mode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(work_beside(Path::new("/a/upper")), Path::new("/a/upper.work"));
        assert!(name_fits(Path::new("/a/b c")) && !name_fits(Path::new("/a/b:c")));
        assert!(!name_fits(Path::new("/")) && !name_fits(Path::new("/a/..")));
    }
}
