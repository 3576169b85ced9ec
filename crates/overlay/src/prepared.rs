//! The steps that make a file system, in the groups that a plan puts in order.
//!
//! Kernel objects: those of the steps. Invariant: the groups run in the order of the fields; nothing of them is
//! mounted in the host's mount namespace, and all that they make ends with the container's.

use std::path::PathBuf;

use ampoule_init::{Draft, Slot, Step};

use crate::assembly::Assembly;
use crate::error::Error;
use crate::file_system::FileSystem;
use crate::situation::Situation;

/// The steps of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prepared {
    /// The launcher, before the clone: detached copies of what the container gets from the host.
    pub launcher: Vec<Step>,
    /// The first process, first of all in its new mount namespace: propagation, umask 0, sources by path.
    pub open: Vec<Step>,
    /// The first process: the root and everything in it, beside the old root.
    pub build: Vec<Step>,
    /// The first process: the new root takes the old one's place, which is gone afterwards; the working directory
    /// is the root.
    pub enter: Vec<Step>,
    /// The first process, when nothing more is written to the root: what becomes read-only last, umask as before.
    pub seal: Vec<Step>,
    /// The root; until `seal` what is below it can be written even if it becomes read-only.
    pub root: Slot,
    /// The container's procfs without masks, reachable by this descriptor only.
    pub proc: Option<Slot>,
    /// The container's own `/dev/null`.
    pub dev_null: Option<Slot>,
    /// The container's terminals (`ptmx` is in it).
    pub devpts: Option<Slot>,
    /// What a terminal can be mounted on: `/dev/console`, before anything can be in its way.
    pub console: Option<Slot>,
    /// The upper directory of an [`crate::Root::Ephemeral`] root that is an overlay, open for reading: nothing else leads
    /// to it.
    pub upper: Option<Slot>,
    /// The file of [`FileSystem::open_file`], open for writing, also where it or the root becomes read-only. Whoever wants it
    /// sends it on and closes it before the payload runs.
    pub open_file: Option<Slot>,
    /// Where the host mounts the hierarchies of which the container's own groups alone are shown, in the order of the
    /// parameters from [`Situation::own_groups`] on.
    pub hierarchies: Vec<PathBuf>,
    /// What is the host's although the settings ask for the container's own.
    pub substitutions: Vec<Substitution>,
}

/// A file system of the host in place of a fresh one, because its namespace is shared or the kernel allows no other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Substitution {
    /// Where it is in the container.
    pub target: PathBuf,
    /// What of the host it is.
    pub source: PathBuf,
}

/// Makes the steps of a file system; descriptors that they need are handed to the draft.
///
/// Opens and looks at everything on the host that the settings name, and makes the directories of
/// [`crate::Root::Persistent`] and of writable overlays when they are missing and nothing else is wrong. Mounts nothing.
///
/// # Errors
/// Every problem of the settings and of what they name ([`Error::problems`]). The draft may then hold descriptors
/// and slots, but no steps.
pub fn prepare(
    fs: &FileSystem,
    situation: &Situation,
    draft: &mut Draft,
) -> Result<Prepared, Error> {
    Assembly::new(fs, situation, draft).prepare()
}
