//! The staging tmpfs: where layers, upper directories and bound files stand while the root is built.
//!
//! Kernel objects: a tmpfs on the old root, out of reach of every path. Invariant: only these steps ever see it; it goes
//! with the old root.

use std::ffi::{CString, OsStr};
use std::path::{Path, PathBuf};

use ampoule_init::Slot;
use ampoule_init::steps::{file, mount};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::source::Manner;
use super::{Assembly, DIRECTORY, NO_MAGICLINKS, set_one};
use crate::error::{ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::identity::{self, Seen};
use crate::layers::Upper;
use crate::mount::{CopyUp, Depth, IdMapped, MountKind};
use crate::root::{Base, Root};
use crate::situation::Access;

/// What a root that is written to only by these steps holds besides its files, in bytes.
pub(super) const SMALL: u64 = 1 << 20;

impl Assembly<'_> {
    /// Mounts the staging tmpfs if anything will need it.
    pub(super) fn make_staging(&mut self) {
        if self.needs_staging() {
            self.mount_staging();
        }
    }

    /// Mounts the staging tmpfs.
    pub(super) fn mount_staging(&mut self) {
        let size = match self.fs.root {
            Root::Ephemeral { size } => size,
            _ => SMALL,
        };
        let size = size.saturating_add(self.file_bytes());
        let options = [(c"size", Some(size.to_string())), (c"mode", Some("0700".to_owned()))];
        let attributes = MountFlags::NOSUID | MountFlags::NODEV;
        let staging = self.new_file_system(c"tmpfs", &options, attributes.bits());
        // Below the old root, so that both go together; where the root stays, on top of it.
        let place = if self.fs.base == Base::Keep { c"/" } else { c"/proc" };
        self.build.push(mount::attach_at(staging.into(), place));
        self.staging = Some(staging);
    }

    fn needs_staging(&self) -> bool {
        let layered = |kind: &MountKind| {
            let copy_up = matches!(kind, MountKind::Tmpfs { copy_up: CopyUp::Yes, .. });
            copy_up || matches!(kind, MountKind::Overlay { .. })
        };
        self.root_is_overlay()
            || self.fs.mounts.iter().any(|mount| layered(&mount.kind))
            || self.has_bound_files()
            || self.has_mounted_nodes()
            || self.needs_empty_file()
    }

    /// Room for all files, each rounded up to a page.
    pub(super) fn file_bytes(&self) -> u64 {
        let pages = self.fs.files.iter().map(|file| file.bytes.len().div_ceil(4096) as u64 + 1);
        pages.sum::<u64>() * 4096
    }

    /// The staging directory; only asked for where [`Self::needs_staging`] said yes.
    pub(super) fn staging(&self) -> Slot {
        self.staging.unwrap_or(self.root)
    }

    /// A name in the staging directory that nothing else has.
    pub(super) fn staging_name(&mut self, prefix: &str) -> CString {
        self.names += 1;
        CString::new(format!("{prefix}{}", self.names)).unwrap_or_default()
    }

    /// Attaches a tree to a new directory of the staging tmpfs.
    pub(super) fn stage(&mut self, tree: Slot, prefix: &str) -> CString {
        let name = self.staging_name(prefix);
        let staging = self.staging();
        self.build.push(file::mkdir(staging.into(), &name, 0o755));
        self.build.push(mount::attach_below(tree.into(), staging.into(), &name));
        self.close(tree);
        name
    }

    /// The upper and work directories as names in the staging directory.
    pub(super) fn stage_upper(&mut self, upper: &Upper) -> Option<(String, String)> {
        let staging = self.staging();
        let (upper, work) = match upper {
            Upper::None => return None,
            Upper::Memory { mode } => {
                let [upper, work] = ["u", "w"].map(|prefix| self.staging_name(prefix));
                self.build.push(file::mkdir(staging.into(), &upper, *mode));
                self.build.push(file::mkdir(staging.into(), &work, 0o700));
                self.keep_upper(staging, &upper);
                (PathBuf::from(shown(&upper)), PathBuf::from(shown(&work)))
            }
            Upper::Host { upper, work, mode } => {
                let dir = upper.parent().unwrap_or(Path::new("/"));
                let tree = self.writable(dir, [(upper, *mode), (work, 0o700)])?;
                let base = PathBuf::from(shown(&self.stage(tree, "h")));
                let below = |path: &Path| base.join(path.file_name().unwrap_or_default());
                (below(upper), below(work))
            }
        };
        Some((upper.to_string_lossy().into_owned(), work.to_string_lossy().into_owned()))
    }

    /// Keeps a descriptor of the root's upper directory: nothing else leads to it once the root is entered.
    fn keep_upper(&mut self, staging: Slot, name: &CString) {
        if matches!(self.fs.root, Root::Ephemeral { .. }) && self.upper.is_none() {
            let kept = self.draft.slots.take();
            self.build.push(file::open(staging.into(), name, DIRECTORY, NO_MAGICLINKS, kept));
            self.upper = Some(kept);
        }
    }

    /// A writable copy of the directory that upper and work directory are in.
    fn writable(&mut self, dir: &Path, children: [(&PathBuf, u32); 2]) -> Option<Slot> {
        let seen = self.note(Seen::directory(dir))?;
        for (child, mode) in children {
            match Seen::directory(child) {
                Err(problem) if problem.kind() == ErrorKind::SourceMissing => {
                    self.wanted.push((child.clone(), mode));
                }
                other => drop(self.note(other)?),
            }
        }
        let idmapped = match self.situation.access {
            Access::Detached => IdMapped::Container,
            // What writes to it has ids of the host, which the map does not have.
            Access::InNamespace => IdMapped::No,
        };
        let how = Manner { idmapped, ..Manner::own(Depth::One, MountFlags::NODEV) };
        Some(self.copy(dir, seen, how))
    }

    /// Makes the directories that are wanted, when nothing else is wrong; all of them or none.
    pub(super) fn make_wanted(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        if !self.problems.is_empty() {
            return;
        }
        for (index, (path, mode)) in wanted.iter().enumerate() {
            if let Err(errno) = make_directory(path, *mode) {
                self.problems.push(Problem::new(ErrorKind::SourceUnusable, path).with(errno));
                for (made, _) in &wanted[..index] {
                    // New and empty; one that is not empty any more belongs to somebody else.
                    let _kept = remove_directory(made).is_err();
                }
                return;
            }
        }
    }

    /// Makes a mount read-only when `seal` runs.
    pub(super) fn seal_read_only(&mut self, made: Slot) {
        let set = MountFlags::RDONLY.bits();
        self.seal.push(set_one(made, mount::Attributes { set, ..Default::default() }));
    }
}

/// Makes a directory of this mode, whatever the host's umask is; its path may be longer than one call takes.
fn make_directory(path: &Path, mode: u32) -> rustix::io::Result<()> {
    let (parent, name) = (path.parent().unwrap_or(Path::new("/")), name_of(path));
    let parent = identity::open_path(parent)?;
    rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
    rustix::fs::fchmod(dir, Mode::from(mode))
}

fn remove_directory(path: &Path) -> rustix::io::Result<()> {
    let parent = identity::open_path(path.parent().unwrap_or(Path::new("/")))?;
    rustix::fs::unlinkat(parent, name_of(path), AtFlags::REMOVEDIR)
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// A name of ours as text.
pub(super) fn shown(name: &CString) -> String {
    name.to_string_lossy().into_owned()
}
