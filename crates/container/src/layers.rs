//! The layers of a container's root: where they are, what the payload changed, and how that is forgotten.
//!
//! Kernel objects: descriptors of the layers; of an upper layer in memory init sends one, because nothing else leads to
//! it. Invariant: what is looked at or emptied is the upper layer of this container, and never more.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ampoule_ns::{IdRange, user_namespace};
use ampoule_overlay::{Change, ChangeKind, FileSystem, Notes, Overlay, Root, UpperLayer};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::builder::Builder;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};
use crate::host::Privilege;
use crate::origin::Origin;
use crate::settings::Settings;

/// What the upper layer is called among a launch's descriptors.
pub(crate) const UPPER: u32 = 2;

/// The upper layer of a root that writes to memory.
#[derive(Debug)]
pub(crate) enum InMemory {
    /// There is none: the root is another one.
    None,
    /// It is there as long as this is.
    Kept(OwnedFd),
    /// It did not come: this process had no descriptor left for it.
    Lost,
    /// It was discarded.
    Discarded,
}

impl InMemory {
    /// What came of a launch.
    pub(crate) fn of(plan: Option<&LayersPlan>, sent: Option<OwnedFd>) -> Self {
        let expected = plan.is_some_and(|plan| matches!(plan.root, Root::Ephemeral { .. }));
        match sent {
            Some(fd) => Self::Kept(fd),
            None if expected => Self::Lost,
            None => Self::None,
        }
    }
}

/// The layers of a root, as the plan knows them.
#[derive(Debug)]
pub(crate) struct LayersPlan {
    lower: Vec<PathBuf>,
    root: Root,
    /// What the settings put into the root themselves.
    made: Vec<PathBuf>,
}

impl LayersPlan {
    /// The layers of a root that has some.
    pub(crate) fn new(builder: &Builder, fs: &FileSystem) -> Option<Self> {
        let lower = match &builder.origin {
            Origin::Directory(directory) => vec![directory.clone()],
            Origin::Layers(layers) => layers.clone(),
            Origin::HostView | Origin::Bare => return None,
        };
        if builder.root == Root::InPlace {
            return None;
        }
        let targets = fs.mounts.iter().map(|mount| mount.target.clone());
        let files = fs.files.iter().map(|file| file.path.clone());
        let links = fs.links.iter().map(|link| link.path.clone());
        let directories = fs.directories.iter().cloned();
        let made = targets.chain(files).chain(links).chain(directories).collect();
        Some(Self { lower, root: builder.root.clone(), made })
    }

    fn upper(&self) -> Option<&Path> {
        match &self.root {
            Root::Persistent(upper) => Some(upper),
            _ => None,
        }
    }

    /// Leaves out what the settings made, and directories that are only there for it.
    fn by_the_payload(&self, changes: Vec<Change>) -> Vec<Change> {
        let ours = |path: &Path| self.made.iter().any(|made| made == path);
        let leads_to_ours = |path: &Path| self.made.iter().any(|made| made.starts_with(path));
        let others: Vec<PathBuf> = changes
            .iter()
            .filter(|change| !leads_to_ours(&change.path))
            .map(|change| change.path.clone())
            .collect();
        let needed = |change: &Change| match change.kind {
            _ if ours(&change.path) => false,
            ChangeKind::Added if leads_to_ours(&change.path) => {
                others.iter().any(|other| other.starts_with(&change.path))
            }
            _ => true,
        };
        changes.into_iter().filter(needed).collect()
    }
}

/// The layers of a running or ended container's root.
#[derive(Clone, Copy, Debug)]
pub struct RootLayers<'c> {
    container: &'c Container,
    plan: &'c LayersPlan,
}

impl RootLayers<'_> {
    /// The lower directories, the uppermost first.
    #[must_use]
    pub fn lower(&self) -> &[PathBuf] {
        &self.plan.lower
    }

    /// The upper directory of a [`Root::Persistent`] root.
    #[must_use]
    pub fn upper(&self) -> Option<&Path> {
        self.plan.upper()
    }

    /// The kernel's work directory beside it.
    #[must_use]
    pub fn work(&self) -> Option<PathBuf> {
        let overlay = Overlay::new(self.lower()).upper(self.plan.upper()?);
        overlay.work_dir().map(Path::to_path_buf)
    }

    /// The upper directory, also of a root whose writes go to memory; `None` where nothing can be written, and after
    /// [`Container::discard`].
    ///
    /// # Errors
    /// [`ErrorKind::ResourceLimit`] where this process had no descriptor left for it when the container started;
    /// [`ErrorKind::PermissionDenied`] and the others when it cannot be opened.
    pub fn upper_fd(&self) -> Result<Option<OwnedFd>, Error> {
        let failed = |what, errno| Error::call(Stage::Running, what, errno);
        if let Some(upper) = self.plan.upper() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(CWD, upper, flags, Mode::empty());
            return opened.map(Some).map_err(|errno| failed("open the upper layer", errno));
        }
        match &self.container.upper {
            InMemory::None | InMemory::Discarded => Ok(None),
            InMemory::Lost => Err(failed("receive the upper layer", Errno::MFILE)),
            InMemory::Kept(upper) => {
                let copy = rustix::io::fcntl_dupfd_cloexec(upper, 3);
                copy.map(Some).map_err(|errno| failed("fcntl(F_DUPFD)", errno))
            }
        }
    }

    /// The tree as the container sees it (`O_PATH`); only while it runs.
    ///
    /// # Errors
    /// As [`Container::root_fd`].
    pub fn merged(&self) -> Result<OwnedFd, Error> {
        self.container.root_fd()
    }
}

impl Container {
    /// The root file system in these directories, the uppermost first, as overlayfs shows them together; what the payload
    /// writes is thrown away at the end. At most 500.
    #[must_use]
    pub fn from_layers(layers: impl IntoIterator<Item = impl Into<PathBuf>>) -> Builder {
        Builder::from_layers(layers.into_iter().map(Into::into).collect())
    }

    /// The layers of the root; `None` where it is not made of any: a host view, the host's own, or a directory that is
    /// changed in place.
    #[must_use]
    pub fn overlay(&self) -> Option<RootLayers<'_>> {
        let plan = self.plan.settings.layers.as_ref()?;
        Some(RootLayers { container: self, plan })
    }

    /// What the payload changed in the root, sorted by path; also after its end, while the handle is there.
    ///
    /// Mount points, files and links of the settings are not listed, whatever became of them; nor is what was written to
    /// other mounts. Of a container that runs, each directory is as it was when it was looked at.
    ///
    /// # Errors
    /// [`ErrorKind::NoLayers`] where [`Container::overlay`] has none; [`ErrorKind::FileSystem`] and the others when a
    /// layer cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        let layers = self.layers()?;
        let Some(upper) = layers.upper_fd()? else { return Ok(Vec::new()) };
        let settings = &self.plan.settings;
        let notes = if settings.enters_user_namespace() { Notes::User } else { Notes::Trusted };
        let mut upper = UpperLayer::new(upper, layers.lower()).notes(notes);
        let in_memory = layers.upper().is_none();
        match mapped(settings)? {
            Some(namespace) if settings.privilege == Privilege::None => {
                upper = upper.user_namespace(namespace);
            }
            // The lower layers are mapped in the container, and what is in memory never was anything else.
            Some(namespace) if in_memory => upper = upper.id_map(namespace),
            _ => {}
        }
        let changes = upper.changes().map_err(running)?;
        Ok(layers.plan.by_the_payload(changes))
    }

    /// Forgets what the payload wrote to the root: the upper layer is empty afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::StillRunning`]; [`ErrorKind::NoLayers`] where [`Container::overlay`] has none;
    /// [`ErrorKind::FileSystem`] and the others when something cannot be removed: what was removed before stays removed.
    pub fn discard(&mut self) -> Result<(), Error> {
        if !self.reaped && self.alive().is_ok() {
            return Err(Error::new(ErrorKind::StillRunning, Stage::Running));
        }
        let layers = self.layers()?;
        if let Some(directory) = layers.upper() {
            let mut overlay = Overlay::new(layers.lower()).upper(directory);
            let settings = &self.plan.settings;
            let others = match settings.privilege {
                Privilege::Full => None,
                Privilege::None => mapped(settings)?,
            };
            if let Some(namespace) = others {
                overlay = overlay.user_namespace(namespace);
            }
            return overlay.discard().map_err(running);
        }
        self.upper = InMemory::Discarded;
        Ok(())
    }

    fn layers(&self) -> Result<RootLayers<'_>, Error> {
        self.overlay().ok_or_else(|| Error::new(ErrorKind::NoLayers, Stage::Running))
    }
}

/// A user namespace with the container's ids, where the layers have more of them than the caller's own.
pub(crate) fn mapped(settings: &Settings) -> Result<Option<OwnedFd>, Error> {
    let Some((map, writer)) = &settings.identity.maps else { return Ok(None) };
    let single = |ranges: &[IdRange]| matches!(ranges, [only] if only.count == 1);
    if (single(&map.uid) && single(&map.gid)) || !settings.identity.has_root() {
        return Ok(None);
    }
    let made = user_namespace::create(map, *writer);
    made.map(Some).map_err(|error| Error::from_ns(Stage::Running, error))
}

fn running(error: ampoule_overlay::Error) -> Error {
    Error::from_overlay_at(Stage::Running, error)
}
