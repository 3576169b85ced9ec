//! Device nodes of a root, and what a runtime supplies in `/dev`.
//!
//! Kernel objects: none; see `Node` of ampoule-overlay. Invariant: of two nodes with one path the one that was asked for
//! is made.

use std::path::{Path, PathBuf};

use ampoule_overlay::{FileSystem, Link, MountKind, Node};

use crate::builder::Builder;
use crate::origin::Defaults;

/// The nodes that every runtime supplies: name, major and minor number.
const NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The links: name, what they say.
const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

impl Builder {
    /// What is there without being asked for.
    #[must_use]
    pub fn defaults(mut self, defaults: Defaults) -> Self {
        self.defaults = defaults;
        self
    }

    /// A device node or a FIFO. Where the kernel lets nobody but the first user namespace make nodes, it is the host's
    /// node of the same path; the plan fails if there is none with this type and number.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// A directory that is made where it is missing (mode 0755), after all mounts.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directories.push(path.into());
        self
    }

    /// Puts the nodes into the file system, whose mounts are complete.
    pub(crate) fn add_nodes(&self, fs: &mut FileSystem) {
        if self.defaults == Defaults::Runtime && !binds_dev(fs) {
            let given = |path: &str| self.nodes.iter().any(|node| node.path == Path::new(path));
            // Engines of ordinary users mount those of the host.
            let mounted =
                |path: &str| fs.mounts.iter().any(|mount| mount.target == Path::new(path));
            let missing = NODES.iter().filter(|(path, ..)| !given(path) && !mounted(path));
            fs.nodes.extend(missing.map(|(path, major, minor)| Node::char(path, *major, *minor)));
            let missing = LINKS.iter().filter(|(path, _)| !given(path));
            fs.links.extend(missing.map(|(path, says)| Link::new(path, says)));
        }
        fs.nodes.extend(self.nodes.iter().cloned());
    }
}

/// Whether `/dev` is the host's.
fn binds_dev(fs: &FileSystem) -> bool {
    let at_dev = fs.mounts.iter().rfind(|mount| mount.target == Path::new("/dev"));
    at_dev.is_some_and(|mount| matches!(mount.kind, MountKind::Bind { .. }))
}
