//! The mounts in the root, one after the other.
//!
//! Kernel objects: detached mounts and their targets. Invariant: a target is a descriptor that was found inside the
//! root (`RESOLVE_IN_ROOT`) right before its mount is attached to it.

use std::path::{Path, PathBuf};

use ampoule_init::Slot;
use ampoule_init::steps::mount;

use super::source::{Hold, Manner};
use super::{Assembly, S_IFDIR, S_IFREG};
use crate::error::{ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::identity::Seen;
use crate::layers::Upper;
use crate::mount::{CopyUp, Depth, HidePid, IdMapped, Mount, MountKind, PidSubset};
use crate::prepared::Substitution;
use crate::propagation::Propagation;
use crate::root::Base;
use crate::situation::TtyGroup;
use crate::target::text;
use crate::view::{self, Found};

/// The type of what a mount covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    File,
}

impl Shape {
    /// Type and mode of a target that must be made.
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::Directory => S_IFDIR | 0o755,
            Self::File => S_IFREG | 0o644,
        }
    }
}

impl Assembly<'_> {
    /// Makes one mount, attaches it and fills it.
    pub(super) fn mount(&mut self, index: usize) {
        let fs = self.fs;
        let mount = &fs.mounts[index];
        self.check_target(&mount.target, index);
        let Some((made, shape)) = self.make(index, mount) else {
            return;
        };
        self.attach_in_root(made, &mount.target, shape);
        match &mount.kind {
            MountKind::Tmpfs { .. } => self.write_mount_files(index, made),
            MountKind::Dev => self.fill_dev(made),
            MountKind::Devpts { .. } => self.devpts = Some(made),
            MountKind::Proc { .. } => self.keep_proc(made),
            MountKind::Cgroup if !self.hierarchies.is_empty() => self.fill_cgroup(made, mount),
            _ => {}
        }
        self.finish(mount, made);
        if becomes_read_only(mount) {
            self.read_only_last.push(made);
        } else if self.devpts != Some(made) {
            self.close(made);
        }
    }

    /// Attaches a detached mount to a target in the root.
    pub(super) fn attach_in_root(&mut self, made: Slot, target: &Path, shape: Shape) {
        let slot = self.take();
        self.build.push(mount::target(self.root.into(), &text(target), shape.mode(), slot));
        self.build.push(mount::attach(made.into(), slot.into()));
        self.close(slot);
    }

    /// What could not be done before the mount was filled.
    fn finish(&mut self, mount: &Mount, made: Slot) {
        if is_copy(&mount.kind) {
            return;
        }
        let propagation = match mount.propagation {
            None | Some(Propagation::Private) => 0,
            Some(other) => other.bits(),
        };
        self.change(made, mount::Attributes { set: 0, clear: 0, propagation });
    }

    /// What is read-only although targets and nodes are made in it.
    pub(super) fn make_read_only(&mut self) {
        for made in std::mem::take(&mut self.read_only_last) {
            let set = MountFlags::RDONLY.bits();
            self.change(made, mount::Attributes { set, clear: 0, propagation: 0 });
            self.close(made);
        }
    }

    fn make(&mut self, index: usize, mount: &Mount) -> Option<(Slot, Shape)> {
        let flags = mount.all_flags();
        let first =
            if writes_first(&mount.kind) { flags & !MountFlags::RDONLY } else { flags }.bits();
        let made = match &mount.kind {
            MountKind::Bind { source, depth, idmapped } => {
                return self.bind(mount, source, *depth, *idmapped);
            }
            MountKind::Tmpfs { size, mode, copy_up } => {
                let copy = *copy_up == CopyUp::Yes
                    && self.view.look(&mount.target, index) != Found::Nothing;
                if copy {
                    self.copied_up(mount, *size)
                } else {
                    self.tmpfs_with(*size, *mode, &mount.data, first)
                }
            }
            MountKind::Proc { hide_pid, subset } => return self.proc(mount, *hide_pid, *subset),
            MountKind::Sysfs => return self.sysfs(mount),
            MountKind::Devpts { gid } => self.devpts(*gid, &mount.data, first),
            MountKind::Mqueue => return self.mqueue(mount),
            MountKind::Cgroup => return self.cgroup(mount),
            MountKind::Overlay { lower, upper, work } => {
                let mode = lower.first().map_or(0o755, |uppermost| Self::mode_of(uppermost));
                let upper = match upper {
                    Some(upper) => Upper::host(upper, work.as_deref(), mode),
                    None => Upper::None,
                };
                let lower = self.lower_trees(lower);
                self.overlay(lower, &upper, flags)
            }
            MountKind::Dev => self.dev_tmpfs(first),
            MountKind::FileSystem { name, source } => self.other(name, source.as_deref(), mount),
        };
        Some((made, Shape::Directory))
    }

    fn bind(
        &mut self,
        mount: &Mount,
        source: &Path,
        depth: Depth,
        idmapped: IdMapped,
    ) -> Option<(Slot, Shape)> {
        if idmapped != IdMapped::No && self.situation.mapping(idmapped).is_none() {
            self.problems.push(Problem::new(ErrorKind::IdMapUnavailable, source));
        }
        let seen = self.note(Seen::open(source))?;
        let shape = match seen.kind {
            rustix::fs::FileType::Directory => Shape::Directory,
            _ => Shape::File,
        };
        let propagation = mount.propagation.unwrap_or(self.propagation());
        let hold = Hold::Descriptor;
        let (flags, clear) = (mount.recursive, mount.recursive_clear);
        let tree =
            self.copy(source, seen, Manner { depth, flags, clear, propagation, idmapped, hold });
        let set = mount.flags & !mount.recursive;
        let clear = mount.clear.clearing(set);
        self.change(tree, mount::Attributes { set: set.bits(), clear, propagation: 0 });
        Some((tree, shape))
    }

    /// A recursive bind mount of the host's file system in place of a fresh one.
    pub(super) fn substitute(&mut self, mount: &Mount, source: &str) -> Option<(Slot, Shape)> {
        let source = PathBuf::from(source);
        let substitution = Substitution { target: mount.target.clone(), source: source.clone() };
        self.substitutions.push(substitution);
        let seen = self.note(Seen::open(&source))?;
        let propagation = mount.propagation.unwrap_or(self.propagation());
        let flags = mount.all_flags();
        let (depth, idmapped, hold) = (Depth::Recursive, IdMapped::No, Hold::Descriptor);
        let clear = MountFlags::empty();
        let how = Manner { depth, flags, clear, propagation, idmapped, hold };
        Some((self.copy(&source, seen, how), Shape::Directory))
    }

    pub(super) fn tmpfs(&mut self, size: u64, mode: u32, flags: u64) -> Slot {
        self.tmpfs_with(size, mode, &[], flags)
    }

    fn tmpfs_with(&mut self, size: u64, mode: u32, data: &[String], flags: u64) -> Slot {
        let size = (size != 0).then(|| (c"size", Some(size.to_string())));
        let mut options: Vec<_> = size.into_iter().collect();
        options.push((c"mode", Some(format!("{mode:04o}"))));
        self.new_file_system_with(c"tmpfs", &options, data, flags)
    }

    /// A file system that these steps know nothing about.
    fn other(&mut self, name: &str, source: Option<&Path>, mount: &Mount) -> Slot {
        let source = source.map(|source| (c"source", Some(source.to_string_lossy().into_owned())));
        let options: Vec<_> = source.into_iter().collect();
        let (name, flags) = (text(Path::new(name)), mount.all_flags().bits());
        self.new_file_system_with(&name, &options, &mount.data, flags)
    }

    /// An overlay of what is at the target and a tmpfs of its own.
    fn copied_up(&mut self, mount: &Mount, size: u64) -> Slot {
        let below = self.open_inside(self.root, &mount.target);
        let lower = self.take();
        let one = mount::Depth::One;
        self.build.push(mount::open_tree(below.into(), c"", one, lower));
        self.close(below);
        let memory = self.tmpfs(size, 0o700, (MountFlags::NOSUID | MountFlags::NODEV).bits());
        self.overlay_in(memory, lower, mount.all_flags() & !MountFlags::RDONLY)
    }

    fn proc(
        &mut self,
        mount: &Mount,
        hide_pid: Option<HidePid>,
        subset: Option<PidSubset>,
    ) -> Option<(Slot, Shape)> {
        if !self.situation.owns(self.situation.pid_namespace) {
            return self.substitute(mount, "/proc");
        }
        if !self.situation.is_privileged() && !self.host.shows_all_of_proc() {
            self.problems.push(Problem::new(ErrorKind::ProcMasked, "/proc"));
            return None;
        }
        let hide_pid = hide_pid.map(|how| match how {
            HidePid::NoAccess => "noaccess",
            HidePid::Invisible => "invisible",
            HidePid::Ptraceable => "ptraceable",
        });
        let mut options = Vec::new();
        options.extend(hide_pid.map(|how| (c"hidepid", Some(how.to_owned()))));
        options.extend(subset.map(|PidSubset::Pid| (c"subset", Some("pid".to_owned()))));
        let flags = mount.all_flags().bits();
        let made = self.new_file_system_with(c"proc", &options, &mount.data, flags);
        Some((made, Shape::Directory))
    }

    /// Keeps a private copy of procfs, made before anything covers parts of it.
    fn keep_proc(&mut self, made: Slot) {
        let private = self.take();
        let everything = mount::Depth::Recursive;
        self.build.push(mount::open_tree(made.into(), c"", everything, private));
        self.proc = Some(private);
    }

    fn sysfs(&mut self, mount: &Mount) -> Option<(Slot, Shape)> {
        let owned = self.situation.owns(self.situation.net_namespace);
        if !owned || (!self.situation.is_privileged() && !self.host.shows_all_of_sysfs()) {
            return self.substitute(mount, "/sys");
        }
        let flags = mount.all_flags().bits();
        let made = self.new_file_system_with(c"sysfs", &[], &mount.data, flags);
        Some((made, Shape::Directory))
    }

    pub(super) fn devpts(&mut self, gid: Option<u32>, data: &[String], flags: u64) -> Slot {
        let mut options =
            vec![(c"ptmxmode", Some("0666".to_owned())), (c"mode", Some("0620".to_owned()))];
        options.extend(gid.map(|gid| (c"gid", Some(gid.to_string()))));
        self.new_file_system_with(c"devpts", &options, data, flags)
    }

    /// The conventional group of terminals, where it exists.
    pub(super) fn tty_gid(&self) -> Option<u32> {
        match self.situation.tty_group {
            TtyGroup::Mapped => Some(5),
            TtyGroup::Unmapped => None,
        }
    }

    fn mqueue(&mut self, mount: &Mount) -> Option<(Slot, Shape)> {
        if self.situation.owns(self.situation.ipc_namespace) {
            let flags = mount.all_flags().bits();
            let made = self.new_file_system_with(c"mqueue", &[], &mount.data, flags);
            self.label_queues(made);
            return Some((made, Shape::Directory));
        }
        if Path::new("/dev/mqueue").exists() {
            return self.substitute(mount, "/dev/mqueue");
        }
        self.problems.push(Problem::new(ErrorKind::MqueueUnavailable, &mount.target));
        None
    }

    /// A target that cannot be made must be there.
    fn check_target(&mut self, target: &Path, index: usize) {
        let problem = |kind| Problem::new(kind, target);
        let found = self.view.look(target, index);
        let below = view::covering(&self.fs.mounts, target, index);
        // Nothing is made in the caller's own root.
        let read_only = below.map_or(self.fs.base == Base::Keep, |below| {
            let below = &self.fs.mounts[below];
            let fixed = matches!(below.kind, MountKind::Proc { .. } | MountKind::Sysfs);
            fixed || (is_copy(&below.kind) && below.all_flags().contains(MountFlags::RDONLY))
        });
        match found {
            Found::Nothing if read_only => self.problems.push(problem(ErrorKind::TargetMissing)),
            Found::Unknown(Some(errno)) => {
                self.problems.push(problem(ErrorKind::TargetUnusable).with(errno));
            }
            _ => {}
        }
    }
}

/// Whether it is a copy of mounts of the host.
fn is_copy(kind: &MountKind) -> bool {
    matches!(kind, MountKind::Bind { .. })
}

/// Whether it is made read-only when all that is made in it is there.
fn becomes_read_only(mount: &Mount) -> bool {
    writes_first(&mount.kind) && mount.all_flags().contains(MountFlags::RDONLY)
}

/// Whether it is written to before it becomes read-only.
fn writes_first(kind: &MountKind) -> bool {
    matches!(kind, MountKind::Tmpfs { .. } | MountKind::Dev)
}
