//! Files and links that appear in the root without being anywhere on the host.
//!
//! Kernel objects: none; pure data. Invariant: a file goes into the root, or into the tmpfs that its path names
//! literally; below any other mount, and in a root that is not ours to change, it is a read-only mount. No link in its
//! place is followed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A file with these bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where: absolute, without `..`; missing directories are made, what is there is replaced or covered, unless it is a
    /// directory (`EISDIR`). A link there is not followed, wherever it leads.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A symbolic link; what is there is replaced, unless it is a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where: absolute, without `..`; missing directories are made.
    pub path: PathBuf,
    /// What it says.
    pub target: PathBuf,
}

impl File {
    /// A file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self { path: path.into(), mode, bytes: bytes.into() }
    }
}

impl Link {
    /// A link at `path` that says `target`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), target: target.into() }
    }
}
