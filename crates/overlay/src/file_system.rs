//! A container's file system: its root and everything in it.
//!
//! Kernel objects: none; pure data. Invariant: [`FileSystem::problems`] looks at the values only, never at the host.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, Problem};
use crate::file::{File, Link};
use crate::layers::name_fits;
use crate::mount::{Mount, MountKind};
use crate::node::Node;
use crate::propagation::Propagation;
use crate::root::{Base, Root};
use crate::target::{Target, fits, names_fit};

/// A container's file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileSystem {
    /// What the root is made from.
    pub base: Base,
    /// What happens to what is written to it.
    pub root: Root,
    /// Mounts, in order: a later one may lie in an earlier one.
    pub mounts: Vec<Mount>,
    /// Files; of two with the same path the later one counts.
    pub files: Vec<File>,
    /// The path of one of the files that is written again when more is known: [`Prepared::open_file`](crate::Prepared::open_file).
    #[serde(default)]
    pub open_file: Option<PathBuf>,
    /// Symbolic links.
    pub links: Vec<Link>,
    /// Device nodes, after all mounts.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// Directories that are made where they are missing (mode 0755), after all mounts.
    #[serde(default)]
    pub directories: Vec<PathBuf>,
    /// Whether a terminal can be mounted on `/dev/console` afterwards.
    #[serde(default)]
    pub console: Console,
    /// Paths whose content is hidden: a file is empty, a directory is empty and read-only.
    pub masked: Vec<PathBuf>,
    /// Paths that are made read-only, with all below them.
    pub read_only: Vec<PathBuf>,
    /// How mount events spread.
    pub propagation: Propagation,
}

/// Whether there is a place for the container's terminal at `/dev/console`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Console {
    /// Nothing is made for it.
    #[default]
    Absent,
    /// After all mounts, [`Prepared::console`](crate::Prepared::console) is open there; a file is made where none is. In a
    /// `/dev` of the host that has none there is none, either.
    Target,
}

impl FileSystem {
    /// A file system with nothing in it but its base.
    #[must_use]
    pub fn new(base: Base, root: Root) -> Self {
        Self { base, root, ..Self::default() }
    }

    /// The paths that container engines hide: they show or change the host's hardware and kernel.
    #[must_use]
    pub fn default_masked() -> Vec<PathBuf> {
        [
            "/proc/acpi",
            "/proc/asound",
            "/proc/interrupts",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/sys/devices/virtual/powercap",
            "/sys/firmware",
        ]
        .map(PathBuf::from)
        .to_vec()
    }

    /// The paths of procfs that container engines make read-only.
    #[must_use]
    pub fn default_read_only() -> Vec<PathBuf> {
        ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
            .map(PathBuf::from)
            .to_vec()
    }

    /// Everything that is wrong with the values themselves.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let targets = self.mounts.iter().map(|mount| &mount.target);
        let paths = targets
            .chain(self.files.iter().map(|file| &file.path))
            .chain(self.links.iter().map(|link| &link.path))
            .chain(&self.directories)
            .chain(self.nodes.iter().map(|node| &node.path))
            .chain(self.masked.iter().chain(&self.read_only));
        let mut problems: Vec<_> = paths.filter_map(|path| Target::new(path).err()).collect();
        problems.extend(self.links.iter().filter_map(|link| fits(&link.target).err()));
        problems.extend(self.mounts.iter().filter_map(|mount| match &mount.kind {
            // Opened by its path once more in another namespace, in one call.
            MountKind::Bind { source, .. } => fits(source).err(),
            _ => None,
        }));
        problems.extend(self.root_problem());
        problems.extend(self.mounts.iter().filter_map(overlay_problem));
        problems.extend(self.mounts.iter().filter_map(data_problem));
        problems
    }

    fn root_problem(&self) -> Option<Problem> {
        let problem = |kind, path: &Path| Some(Problem::new(kind, path));
        match (&self.base, &self.root) {
            (Base::Keep, Root::InPlace) => None,
            (Base::Keep, _) => problem(ErrorKind::RootNotSupported, Path::new("/")),
            (Base::Empty, Root::InPlace | Root::Persistent(_)) => {
                problem(ErrorKind::RootNotSupported, Path::new("/"))
            }
            (Base::Layers(layers), _) if layers.is_empty() => {
                problem(ErrorKind::TooFewLayers, Path::new("/"))
            }
            (Base::Layers(layers), Root::InPlace) if layers.len() > 1 => {
                problem(ErrorKind::RootNotSupported, Path::new("/"))
            }
            (Base::Directory(_) | Base::Layers(_), Root::Persistent(upper)) => upper_problem(upper),
            _ => None,
        }
    }
}

/// What is wrong with a directory as an upper layer.
pub(crate) fn upper_problem(upper: &Path) -> Option<Problem> {
    let problem = |kind| Some(Problem::new(kind, upper));
    match (upper.is_absolute(), name_fits(upper)) {
        (false, _) => problem(ErrorKind::SourceNotAbsolute),
        (_, false) => problem(ErrorKind::LayerName),
        _ => names_fit(upper).err(),
    }
}

/// What the kernel cannot be told (fsconfig(2)).
fn data_problem(mount: &Mount) -> Option<Problem> {
    const OPTION_MAX: usize = 255;
    let told = |part: &str| !part.contains('\0') && part.len() <= OPTION_MAX;
    let fits = |option: &String| match option.split_once('=') {
        Some((key, value)) => !key.is_empty() && told(key) && told(value),
        None => !option.is_empty() && told(option),
    };
    let bound = matches!(mount.kind, MountKind::Bind { .. } | MountKind::Dev);
    let unusable = (bound && !mount.data.is_empty()) || !mount.data.iter().all(fits);
    unusable.then(|| Problem::new(ErrorKind::MountData, &mount.target))
}

fn overlay_problem(mount: &Mount) -> Option<Problem> {
    let MountKind::Overlay { lower, upper, work } = &mount.kind else {
        return None;
    };
    let least = if upper.is_some() { 1 } else { 2 };
    let apart = work.as_ref().is_some_and(|work| {
        upper.as_ref().is_none_or(|upper| upper.parent() != work.parent() || upper == work)
    });
    if lower.len() < least {
        return Some(Problem::new(ErrorKind::TooFewLayers, &mount.target));
    }
    if apart {
        return Some(Problem::new(ErrorKind::WorkApart, &mount.target));
    }
    upper.iter().chain(work).find_map(|path| upper_problem(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_listed() {
        let mut fs = FileSystem::new(Base::Keep, Root::ReadOnly);
        fs.mounts = vec![
            Mount::bind("/usr", "usr"),
            Mount::overlay(vec!["/a".into()], "/o"),
            Mount::tmpfs("/a/../..", 1),
        ];
        fs.files = vec![File::new("/x\0", "", 0o644)];
        fs.masked = vec!["/".into()];
        let kinds: Vec<_> = fs.problems().iter().map(Problem::kind).collect();
        assert_eq!(
            kinds,
            [
                ErrorKind::TargetNotAbsolute,
                ErrorKind::TargetEscapes,
                ErrorKind::NulByte,
                ErrorKind::TargetIsRoot,
                ErrorKind::RootNotSupported,
                ErrorKind::TooFewLayers,
            ]
        );
    }

    #[test]
    fn upper_layers() {
        let problem = |upper: &str, work: Option<&str>| {
            let kind = MountKind::Overlay {
                lower: vec!["/l".into()],
                upper: Some(upper.into()),
                work: work.map(PathBuf::from),
            };
            overlay_problem(&Mount::new("/o", kind, crate::MountFlags::empty())).map(|p| p.kind())
        };
        assert_eq!(problem("/d/upper", None), None);
        assert_eq!(problem("/d/upper", Some("/d/w")), None);
        assert_eq!(problem("/d/upper", Some("/e/w")), Some(ErrorKind::WorkApart));
        assert_eq!(problem("/d/a,b", None), Some(ErrorKind::LayerName));
        assert_eq!(problem("/d/..", None), Some(ErrorKind::LayerName));
        assert_eq!(problem("d/a", None), Some(ErrorKind::SourceNotAbsolute));
    }

    #[test]
    fn it_is_data() {
        let mut fs = FileSystem::new(Base::Directory("/r".into()), Root::Ephemeral { size: 9 });
        fs.mounts = vec![Mount::bind_rw("/a", "/b"), Mount::proc(), Mount::dev()];
        fs.masked = FileSystem::default_masked();
        let text = serde_json::to_string(&fs).unwrap();
        assert_eq!(serde_json::from_str::<FileSystem>(&text).unwrap(), fs);
    }
}
