//! The staging tmpfs: where layers, upper directories and bound files stand while the root is built.
//!
//! Kernel objects: a tmpfs on the old root, out of reach of every path, and overlays. Invariant: only these steps
//! ever see it; it goes with the old root.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

use ampoule_init::Slot;
use ampoule_init::steps::{file, mount, process};

use rustix::fs::{Mode, OFlags};

use super::source::Manner;
use super::{Assembly, set_one};
use crate::error::{ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::identity::Seen;
use crate::layers::Upper;
use crate::mount::{CopyUp, Depth, MountKind};
use crate::root::{Base, Root};
use crate::situation::UserNamespace;

/// What a root that is written to only by these steps holds besides its files, in bytes.
pub(super) const SMALL: u64 = 1 << 20;
/// The longest value of an option.
const OPTION_LIMIT: usize = 255;

impl Assembly<'_> {
    /// Mounts the staging tmpfs if anything will need it.
    pub(super) fn make_staging(&mut self) {
        if !self.needs_staging() {
            return;
        }
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

    /// An overlay of trees, from the uppermost down.
    pub(super) fn overlay(&mut self, lower: Vec<Slot>, upper: &Upper, flags: MountFlags) -> Slot {
        let lower: Vec<CString> = lower.into_iter().map(|tree| self.stage(tree, "l")).collect();
        let upper = self.stage_upper(upper);
        let mut options = lower_options(&lower);
        if let Some((upper, work)) = upper {
            options.push((c"upperdir", Some(upper)));
            options.push((c"workdir", Some(work)));
        }
        self.overlay_with(options, flags)
    }

    /// An overlay whose layers are named relative to the staging directory.
    fn overlay_with(
        &mut self,
        mut options: Vec<(&'static CStr, Option<String>)>,
        flags: MountFlags,
    ) -> Slot {
        if self.situation.user_namespace == UserNamespace::New {
            options.push((c"userxattr", None));
        }
        let staging = self.staging();
        self.build.push(process::fchdir(staging.into()));
        self.new_file_system(c"overlay", &options, flags.bits())
    }

    /// An overlay of one tree and a tmpfs of its own.
    pub(super) fn overlay_in(&mut self, memory: Slot, lower: Slot, flags: MountFlags) -> Slot {
        let lower = self.stage(lower, "l");
        let name = self.staging_name("m");
        let staging = self.staging();
        self.build.push(file::mkdir(staging.into(), &name, 0o755));
        self.build.push(mount::attach_below(memory.into(), staging.into(), &name));
        for child in [c"u", c"w"] {
            self.build.push(file::mkdir(memory.into(), child, 0o755));
        }
        self.close(memory);
        let memory = shown(&name);
        let options = vec![
            (c"lowerdir", Some(shown(&lower))),
            (c"upperdir", Some(format!("{memory}/u"))),
            (c"workdir", Some(format!("{memory}/w"))),
        ];
        self.overlay_with(options, flags)
    }

    /// The upper and work directories as names in the staging directory.
    fn stage_upper(&mut self, upper: &Upper) -> Option<(String, String)> {
        let staging = self.staging();
        let (upper, work) = match upper {
            Upper::None => return None,
            Upper::Memory { mode } => {
                let [upper, work] = ["u", "w"].map(|prefix| self.staging_name(prefix));
                self.build.push(file::mkdir(staging.into(), &upper, *mode));
                self.build.push(file::mkdir(staging.into(), &work, 0o700));
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
        Some(self.copy(dir, seen, Manner::own(Depth::One, MountFlags::NODEV)))
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
                    let _kept = rustix::fs::rmdir(made).is_err();
                }
                return;
            }
        }
    }

    /// Copies of lower directories.
    pub(super) fn lower_trees(&mut self, paths: &[PathBuf]) -> Vec<Slot> {
        let how = Manner::own(Depth::One, MountFlags::LOCKED_DOWN & !MountFlags::NOSUID);
        let mut trees = Vec::with_capacity(paths.len());
        for path in paths {
            if let Some(seen) = self.note(Seen::directory(path)) {
                trees.push(self.copy(path, seen, how));
            }
        }
        trees
    }

    /// The mode of a directory of the host, for what is laid over it.
    pub(super) fn mode_of(path: &Path) -> u32 {
        Seen::open(path).map_or(0o755, |seen| seen.mode)
    }

    /// Whether the root is an overlay.
    pub(super) fn root_is_overlay(&self) -> bool {
        match (&self.fs.base, &self.fs.root) {
            (Base::Directory(_), Root::Ephemeral { .. } | Root::Persistent(_)) => true,
            (Base::Directory(_), Root::ReadOnly) => self.root_lacks_something(),
            _ => false,
        }
    }

    /// Makes a mount read-only when `seal` runs.
    pub(super) fn seal_read_only(&mut self, made: Slot) {
        let set = MountFlags::RDONLY.bits();
        self.seal.push(set_one(made, mount::Attributes { set, ..Default::default() }));
    }
}

/// Makes a directory of this mode, whatever the host's umask is.
fn make_directory(path: &Path, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::mkdir(path, Mode::RWXU)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fchmod(dir, Mode::from(mode))
}

/// Lower layers as one option, or one option each when they are too many (Linux 6.8).
fn lower_options(names: &[CString]) -> Vec<(&'static CStr, Option<String>)> {
    let joined = names.iter().map(shown).collect::<Vec<_>>().join(":");
    if joined.len() <= OPTION_LIMIT {
        return vec![(c"lowerdir", Some(joined))];
    }
    names.iter().map(|name| (c"lowerdir+", Some(shown(name)))).collect()
}

fn shown(name: &CString) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_layers_are_one_option_each() {
        let names = |count| (0..count).map(|n| CString::new(format!("l{n}")).unwrap()).collect();
        let few: Vec<CString> = names(2);
        assert_eq!(lower_options(&few), [(c"lowerdir", Some("l0:l1".to_owned()))]);
        let many: Vec<CString> = names(500);
        assert_eq!(lower_options(&many).len(), 500);
    }
}
