//! Device nodes and FIFOs that appear in the root.
//!
//! Kernel objects: none; pure data. Invariant: a node is made with its owner and mode where the first process may make
//! nodes; elsewhere it is the host's node of the same path, with type and number checked, and keeps the host's owner
//! and mode.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A device node or a FIFO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Where: absolute, without `..`; missing directories are made.
    pub path: PathBuf,
    /// What.
    pub kind: NodeKind,
    /// Its permissions.
    pub mode: u32,
    /// Its owner, an id of the container.
    pub uid: u32,
    /// Its group, an id of the container.
    pub gid: u32,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A character device.
    Char {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A named pipe (fifo(7)).
    Fifo,
}

impl Node {
    /// A character device that everybody may use, of user and group 0.
    #[must_use]
    pub fn char(path: impl Into<PathBuf>, major: u32, minor: u32) -> Self {
        let kind = NodeKind::Char { major, minor };
        Self { path: path.into(), kind, mode: 0o666, uid: 0, gid: 0 }
    }
}

impl NodeKind {
    /// Major and minor number; a FIFO has none.
    #[must_use]
    pub fn number(self) -> Option<(u32, u32)> {
        match self {
            Self::Char { major, minor } | Self::Block { major, minor } => Some((major, minor)),
            Self::Fifo => None,
        }
    }
}
