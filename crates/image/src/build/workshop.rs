//! Where the steps of a build are done: by whoever can mount layers and start containers.
//!
//! Kernel objects: none here. Invariant: what a step changes stands in the upper directory of its [`Scratch`], in the form
//! of an overlay's upper layer.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::step_mount::StepMount;
use crate::containerfile::RunNetwork;
use crate::ids::MappedIds;
use crate::store::Layer;

/// What a workshop reports; it is the source of the build's error.
pub type Foreign = Box<dyn std::error::Error + Send + Sync>;

/// Mounts layers and runs programs over them; `ampoule` has one.
pub trait Workshop: Sync {
    /// The tree of these layers, the lowest first, with the changes of the upper directory.
    ///
    /// # Errors
    /// Whatever keeps it from being mounted.
    fn mount<'a>(
        &'a self,
        layers: &'a [Layer],
        scratch: &'a Scratch,
    ) -> Result<Box<dyn Mounted + 'a>, Foreign>;

    /// Runs a program with that tree as its root, and waits for its end.
    ///
    /// # Errors
    /// Whatever keeps it from running; that it fails is no error.
    fn run(
        &self,
        layers: &[Layer],
        scratch: &Scratch,
        step: &RunStep<'_>,
    ) -> Result<RunEnd, Foreign>;
}

/// A tree that is mounted as long as this lives.
pub trait Mounted {
    /// Its root.
    fn root(&self) -> BorrowedFd<'_>;

    /// The user and group ids of `user[:group]`, looked up in the tree's own `/etc/passwd` and `/etc/group`.
    ///
    /// # Errors
    /// For a name that is not there.
    fn owner(&self, text: &str) -> Result<(u32, u32), Foreign>;
}

/// Two empty directories for one step, in a directory where more can be made.
#[derive(Debug)]
pub struct Scratch {
    pub(super) upper: PathBuf,
    pub(super) empty: PathBuf,
    pub(super) ids: Option<MappedIds>,
}

impl Scratch {
    /// Where changes go (`upperdir`).
    #[must_use]
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// What stays empty: stands for the layers where there are none.
    #[must_use]
    pub fn empty(&self) -> &Path {
        &self.empty
    }

    /// The ids of the layers' files, and of those of the upper directory, where they are more than the caller's: what is
    /// mounted and what runs has them.
    #[must_use]
    pub fn ids(&self) -> Option<&MappedIds> {
        self.ids.as_ref()
    }
}

/// A program of a build.
#[non_exhaustive]
pub struct RunStep<'a> {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Where it starts.
    pub current_dir: String,
    /// Who it is, `user[:group]` by name or number.
    pub user: Option<String>,
    /// The network that it has.
    pub network: RunNetwork,
    /// Bytes that it can read from a file at descriptor 3.
    pub script: Option<Vec<u8>>,
    /// What it sees besides the tree, in the order in which it is mounted. Nothing of it may stand in the upper directory
    /// afterwards.
    pub mounts: Vec<StepMount>,
    /// Takes what it writes to its standard output and error.
    pub output: &'a (dyn Fn(&[u8]) + Sync),
}

impl fmt::Debug for RunStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunStep")
            .field("argv", &self.argv)
            .field("env", &self.env)
            .field("current_dir", &self.current_dir)
            .field("user", &self.user)
            .field("network", &self.network)
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// How a program of a build ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEnd {
    /// With this status.
    Exited(u8),
    /// Otherwise, as text: by a signal, for want of memory.
    Otherwise(String),
}
