//! An overlay by itself: layers seen as one tree, without a container.
//!
//! Kernel objects: an overlay mount (kernel document filesystems/overlayfs) that is attached nowhere. Invariant: in the
//! host's mount namespace nothing is mounted unless it is asked for by [`MountedOverlay::mount_at`].

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampoule_init::Draft;
use ampoule_init::steps::launch;
use rustix::fs::{OFlags, fstatfs};
use rustix::io::Errno;

use crate::assembly::Assembly;
use crate::assembly::stack::{Layering, Sync};
use crate::enclave::{self, Failure, Users};
use crate::error::{Error, ErrorKind, Problem};
use crate::file_system::{FileSystem, upper_problem};
use crate::identity::open_path;
use crate::kernel::Kernel;
use crate::layers::work_beside;
use crate::merged::Notes;
use crate::mounted::MountedOverlay;
use crate::root::{Base, Root};
use crate::situation::{Access, Situation, UserNamespace};
use crate::volatile;

/// The number under which the mount comes from the process that made it.
const MERGED: u32 = 0;

/// Layers that are to be seen as one tree.
///
/// With an upper layer what is written goes there, and [`Overlay::changes`] lists it; without one the tree is read-only.
/// Up to 500 lower layers, with paths of any length.
#[derive(Clone, Debug)]
pub struct Overlay {
    lower: Vec<PathBuf>,
    upper: Option<PathBuf>,
    work: PathBuf,
    sync: Sync,
    id_map: Option<Arc<OwnedFd>>,
    user_namespace: Option<Arc<OwnedFd>>,
    kernel: Kernel,
}

impl Overlay {
    /// These directories, from the uppermost down, and nothing to write to.
    #[must_use]
    pub fn new(lower: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            lower: lower.into_iter().map(Into::into).collect(),
            upper: None,
            work: PathBuf::new(),
            sync: Sync::default(),
            id_map: None,
            user_namespace: None,
            kernel: Kernel::running(),
        }
    }

    /// What is written goes to this directory, made if it is missing; the kernel's work directory is beside it, with
    /// `.work` after its name. Its name may not hold `,` `:` or `\` and has at most 200 bytes.
    #[must_use]
    pub fn upper(mut self, directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        self.work = work_beside(&directory);
        self.upper = Some(directory);
        self
    }

    /// Another work directory, beside the upper one.
    #[must_use]
    pub fn work(mut self, directory: impl Into<PathBuf>) -> Self {
        self.work = directory.into();
        self
    }

    /// What is written need not reach the disk: fsync(2) and the like do nothing (option `volatile`, Linux 5.10).
    ///
    /// The kernel marks the work directory, and the mark is taken away by [`MountedOverlay::close`]. An upper layer that
    /// still has it, because the machine or this process ended before that, may be incomplete: it is not mounted
    /// ([`ErrorKind::NotSynced`]) until it is discarded or [accepted](Overlay::accept_unsynced).
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.sync = Sync::Never;
        self
    }

    /// Maps the owners in the lower layers by this user namespace: what user 0 owns on disk belongs to the namespace's
    /// user 0 (mount_setattr(2), `MOUNT_ATTR_IDMAP`, Linux 5.12; overlays of such layers: 5.19). For a privileged host.
    /// The upper layer is not mapped: the tree's root belongs to whom the upper directory belongs.
    #[must_use]
    pub fn id_map(mut self, user_namespace: impl Into<OwnedFd>) -> Self {
        self.id_map = Some(Arc::new(user_namespace.into()));
        self
    }

    /// Mounts, lists and discards as user 0 of this user namespace, for layers whose files belong to its ids. By default
    /// a host without privilege makes one in which its own user is the only one.
    #[must_use]
    pub fn user_namespace(mut self, user_namespace: impl Into<OwnedFd>) -> Self {
        self.user_namespace = Some(Arc::new(user_namespace.into()));
        self
    }

    /// Mounts as on this kernel, for tests of what older ones need.
    #[doc(hidden)]
    #[must_use]
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// The lower directories, the uppermost first.
    #[must_use]
    pub fn lower_dirs(&self) -> &[PathBuf] {
        &self.lower
    }

    /// The upper directory.
    #[must_use]
    pub fn upper_dir(&self) -> Option<&Path> {
        self.upper.as_deref()
    }

    /// The kernel's work directory.
    #[must_use]
    pub fn work_dir(&self) -> Option<&Path> {
        self.upper.as_ref().map(|_| self.work.as_path())
    }

    /// Mounts it, attached nowhere; ends with the handle.
    ///
    /// A process of its own does it in a mount namespace of its own and sends the mount. The upper and the work directory
    /// are made when they are missing. An ordinary user's upper layer needs a file system with `user` attributes, else a
    /// directory cannot be made where one was removed (`EIO`); tmpfs has them since Linux 6.6.
    ///
    /// # Errors
    /// Every problem of the layers ([`Error::problems`]), before anything is mounted; [`ErrorKind::NamespacesDenied`];
    /// [`ErrorKind::IdMapUnavailable`] where a layer's file system cannot be mapped (tmpfs: Linux 6.3);
    /// [`ErrorKind::StackedTooDeep`], [`ErrorKind::LayersOverlap`], [`ErrorKind::UpperInUse`],
    /// [`ErrorKind::NotSynced`], [`ErrorKind::MountRefused`] when the kernel refuses it.
    pub fn mount(&self) -> Result<MountedOverlay, Error> {
        if let Some(error) = Error::of(self.problems()) {
            return Err(error);
        }
        let users = self.users();
        let mut draft = Draft::default();
        let situation = self.situation(&users, &mut draft)?;
        // Nothing of it is used but the layers: the base needs no host.
        let fs = FileSystem::new(Base::Empty, Root::ReadOnly);
        let layering = Layering {
            lower: &self.lower,
            upper: self.upper.as_deref().map(|upper| (upper, self.work.as_path())),
            sync: self.sync,
        };
        let made = Assembly::new(&fs, &situation, &mut draft).prepare_overlay(&layering)?;
        let send = launch::send_fd(MERGED, made.mount);
        let sent = enclave::run(draft, made.steps.into_iter().chain([send]), &users);
        let merged = sent.map_err(|failure| self.explain(&failure))?.into_iter().next();
        let lost = || Problem::new(ErrorKind::MountRefused, self.named()).with(Errno::MFILE);
        let (_, merged) = merged.ok_or_else(lost)?;
        Ok(MountedOverlay::new(self.clone(), merged))
    }

    /// Takes the mark of a volatile overlay away, for a caller who knows that the machine has not crashed since.
    ///
    /// # Errors
    /// [`ErrorKind::NoUpper`]; [`ErrorKind::NotRemoved`] with the call's error number.
    pub fn accept_unsynced(&self) -> Result<(), Error> {
        if self.upper.is_none() {
            return Err(Problem::new(ErrorKind::NoUpper, self.named()).into());
        }
        let failed = |errno| Problem::new(ErrorKind::NotRemoved, &self.work).with(errno);
        volatile::clear(&self.work).map_err(|errno| failed(errno).into())
    }

    /// Whether what is written need not reach the disk.
    pub(crate) fn is_volatile(&self) -> bool {
        self.sync == Sync::Never
    }

    /// Whose ids a process has that mounts, or reads what this one may not.
    pub(crate) fn users(&self) -> Users {
        match &self.user_namespace {
            Some(namespace) => Users::Of(Arc::clone(namespace)),
            None => Users::default_ones(),
        }
    }

    /// In which attributes the overlay keeps its notes.
    pub(crate) fn notes(&self) -> Notes {
        match is_first_user_namespace(&self.users()) {
            UserNamespace::Host => Notes::Trusted,
            UserNamespace::New => Notes::User,
        }
    }

    /// What maps the owners of the lower layers.
    pub(crate) fn lower_id_map(&self) -> Option<Arc<OwnedFd>> {
        self.id_map.clone()
    }

    /// What an error of the whole overlay is about.
    pub(crate) fn named(&self) -> &Path {
        let lower = || self.lower.first().map_or(Path::new("/"), PathBuf::as_path);
        self.upper.as_deref().unwrap_or_else(lower)
    }

    fn situation(&self, users: &Users, draft: &mut Draft) -> Result<Situation, Error> {
        let mut situation = Situation {
            access: Access::InNamespace,
            user_namespace: is_first_user_namespace(users),
            kernel: self.kernel,
            ..Situation::unprivileged()
        };
        let Some(map) = &self.id_map else { return Ok(situation) };
        let unusable = |errno| Problem::new(ErrorKind::IdMapUnavailable, self.named()).with(errno);
        let map = rustix::io::fcntl_dupfd_cloexec(map, 3).map_err(unusable)?;
        situation.userns_fd = Some(draft.inherit(map));
        match situation.id_map() {
            Some(_) => Ok(situation),
            None => Err(unusable(Errno::PERM).into()),
        }
    }

    /// What is wrong with the values themselves.
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.lower.is_empty() {
            problems.push(Problem::new(ErrorKind::TooFewLayers, self.named()));
        }
        if let Some(upper) = &self.upper {
            problems.extend(upper_problem(upper));
            problems.extend(upper_problem(&self.work));
            if upper.parent() != self.work.parent() || *upper == self.work {
                problems.push(Problem::new(ErrorKind::WorkApart, &self.work));
            }
        }
        problems
    }

    /// The reason behind a failed call.
    fn explain(&self, failure: &Failure) -> Error {
        let error = match failure {
            Failure::Host(errno) => {
                return Problem::new(failure.kind(), self.named()).with(*errno).into();
            }
            Failure::Init(error) => error,
        };
        let failed = |kind, path: &Path| Problem::failed(kind, path, error).into();
        let call = error.step_text().unwrap_or_default();
        if call.contains("IDMAP") {
            // Its file system cannot, or is itself mounted with mapped owners.
            return failed(ErrorKind::IdMapUnavailable, self.named());
        }
        let creates = call.starts_with("mount(") || call.contains("CMD_CREATE");
        let errno = error.errno().map(Errno::from_raw_os_error).filter(|_| creates);
        match errno {
            Some(Errno::LOOP) => failed(ErrorKind::LayersOverlap, self.named()),
            Some(Errno::BUSY) => failed(ErrorKind::UpperInUse, self.named()),
            Some(Errno::INVAL) if self.upper.is_some() && volatile::is_marked(&self.work) => {
                failed(ErrorKind::NotSynced, self.named())
            }
            Some(Errno::INVAL) => match self.stacked() {
                Some(layer) => failed(ErrorKind::StackedTooDeep, layer),
                None => failed(ErrorKind::MountRefused, self.named()),
            },
            _ => failed(failure.kind(), self.named()),
        }
    }

    /// A layer that is on an overlay itself.
    fn stacked(&self) -> Option<&Path> {
        const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;
        let on_overlay = |layer: &&PathBuf| {
            let found = open_path(layer).and_then(fstatfs);
            found.is_ok_and(|found| found.f_type == OVERLAYFS_SUPER_MAGIC)
        };
        self.lower.iter().chain(&self.upper).find(on_overlay).map(PathBuf::as_path)
    }
}

/// Whether what these users mount can keep `trusted` attributes: only the machine's first user namespace can.
fn is_first_user_namespace(users: &Users) -> UserNamespace {
    /// Inode of that namespace (`PROC_USER_INIT_INO`), the same since Linux 3.8.
    const FIRST: u64 = 0xEFFF_FFFD;
    let own = rustix::fs::stat("/proc/self/ns/user").is_ok_and(|found| found.st_ino == FIRST);
    match users {
        Users::Own if own => UserNamespace::Host,
        _ => UserNamespace::New,
    }
}

/// How the upper layer is opened to be listed or emptied.
pub(crate) const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
