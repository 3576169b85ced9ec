//! An upper layer over others: what it changes, and how it is emptied.
//!
//! Kernel objects: descriptors of directories. Invariant: nothing outside the upper layer is ever changed, and no link in
//! it is followed.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ampoule_init::Draft;
use ampoule_init::steps::{file, launch};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::assembly::Assembly;
use crate::changes::{self, Change};
use crate::discard;
use crate::enclave::{self, Failure, Users};
use crate::error::{Error, ErrorKind, Problem};
use crate::file_system::FileSystem;
use crate::identity::open_path;
use crate::merged::{INSIDE, Layers, Notes};
use crate::overlay::Overlay;
use crate::root::{Base, Root};
use crate::situation::Situation;

/// An upper layer and the layers that it is over.
///
/// For an overlay that somebody else mounts; [`Overlay::changes`] and [`Overlay::discard`] are the same for one of ours.
#[derive(Debug)]
pub struct UpperLayer {
    upper: OwnedFd,
    lower: Vec<PathBuf>,
    notes: Notes,
    users: Users,
    id_map: Option<Arc<OwnedFd>>,
}

impl UpperLayer {
    /// An upper directory (any descriptor of it), over these directories from the uppermost down.
    #[must_use]
    pub fn new(
        upper: impl Into<OwnedFd>,
        lower: impl IntoIterator<Item = impl Into<PathBuf>>,
    ) -> Self {
        let lower = lower.into_iter().map(Into::into).collect();
        let (upper, notes) = (upper.into(), Notes::Trusted);
        Self { upper, lower, notes, users: Users::default_ones(), id_map: None }
    }

    /// The attributes in which the overlay keeps its notes: those of trusted(7) by default.
    #[must_use]
    pub fn notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }

    /// What this process may not do is done as user 0 of this user namespace. By default a host without privilege makes
    /// one in which its own user is the only one.
    #[must_use]
    pub fn user_namespace(mut self, user_namespace: impl Into<OwnedFd>) -> Self {
        self.users = Users::Of(Arc::new(user_namespace.into()));
        self
    }

    /// The lower layers' owners are mapped by this user namespace, the upper one's are not.
    #[must_use]
    pub fn id_map(mut self, user_namespace: impl Into<OwnedFd>) -> Self {
        self.id_map = Some(Arc::new(user_namespace.into()));
        self
    }

    pub(crate) fn of(overlay: &Overlay) -> Result<Self, Error> {
        let upper =
            overlay.upper_dir().ok_or_else(|| Problem::new(ErrorKind::NoUpper, overlay.named()))?;
        let upper = open_path(upper)
            .map_err(|errno| Problem::new(ErrorKind::Unreadable, upper).with(errno))?;
        Ok(Self {
            upper,
            lower: overlay.lower_dirs().to_vec(),
            notes: overlay.notes(),
            users: overlay.users(),
            id_map: overlay.lower_id_map(),
        })
    }

    /// The changes, sorted by path: parents before what is in them.
    ///
    /// Whiteouts, opaque directories and redirects count as the kernel counts them (document filesystems/overlayfs). A
    /// directory or file that this process may not read is read as user 0 of the user namespace.
    ///
    /// # Errors
    /// [`ErrorKind::Unreadable`] with the path in its layer and the call's error number; `ENAMETOOLONG` for a tree that has
    /// paths longer than 4 095 bytes, which no list should hold.
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        let opener =
            |from: BorrowedFd<'_>, path: &OsStr, flags| self.open_as_user(from, path, flags);
        let layers = |roots| {
            let opener = match self.users {
                Users::Own => None,
                _ => Some(&opener as _),
            };
            Layers { roots, notes: self.notes, opener }
        };
        let below = layers(self.lower_roots()?);
        let unreadable = |errno| Problem::new(ErrorKind::Unreadable, "/").with(errno);
        let own = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(unreadable);
        let mut roots = vec![own(&self.upper)?];
        for root in &below.roots {
            roots.push(own(root)?);
        }
        changes::compare(&layers(roots), &below).map_err(Error::from)
    }

    /// Empties the upper layer; its root directory gets mode and owner of the uppermost lower layer's.
    ///
    /// Nothing may be mounted or running on it. Whatever is in it goes, however deep; links are removed, not followed,
    /// and mounts are not crossed.
    ///
    /// # Errors
    /// [`ErrorKind::NotRemoved`] with the name and the call's error number; what was removed before stays removed.
    pub fn discard(&self) -> Result<(), Error> {
        let take = |parent: BorrowedFd<'_>, name: &OsStr| self.take_as_user(parent, name);
        let root = openat(
            &self.upper,
            ".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| Problem::new(ErrorKind::NotRemoved, "/").with(errno))?;
        discard::empty(root.as_fd(), &take)?;
        let Some(uppermost) = self.lower.first() else { return Ok(()) };
        let like = open_path(uppermost);
        like.and_then(|like| discard::make_like(root.as_fd(), &like))
            .map_err(|errno| Problem::new(ErrorKind::NotRemoved, "/").with(errno).into())
    }

    /// The lower layers, with their owners as they are in the overlay.
    fn lower_roots(&self) -> Result<Vec<OwnedFd>, Error> {
        let Some(id_map) = &self.id_map else {
            let open = |path: &PathBuf| {
                open_path(path)
                    .map_err(|errno| Problem::new(ErrorKind::Unreadable, path).with(errno))
            };
            return Ok(self.lower.iter().map(open).collect::<Result<_, _>>()?);
        };
        let unusable = |errno| Problem::new(ErrorKind::IdMapUnavailable, "/").with(errno);
        let mut draft = Draft::default();
        let map = draft.inherit(rustix::io::fcntl_dupfd_cloexec(id_map, 3).map_err(unusable)?);
        let situation = Situation::privileged_inside(map);
        let fs = FileSystem::new(Base::Empty, Root::ReadOnly);
        let (steps, trees) =
            Assembly::new(&fs, &situation, &mut draft).prepare_trees(&self.lower)?;
        let sends = trees.into_iter().zip(0..).map(|(tree, number)| launch::send_fd(number, tree));
        let sent = enclave::run(draft, steps.into_iter().chain(sends), &Users::Own);
        let sent = sent.map_err(|failure| unusable(failure.errno()))?;
        Ok(sent.into_iter().map(|(_, tree)| tree).collect())
    }

    /// Opens a file as user 0 of the user namespace.
    fn open_as_user(
        &self,
        from: BorrowedFd<'_>,
        path: &OsStr,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let mut draft = Draft::default();
        let from = draft.inherit(rustix::io::fcntl_dupfd_cloexec(from, 3)?);
        let path = CString::new(path.as_bytes()).map_err(|_| Errno::INVAL)?;
        let opened = draft.slots.take();
        let steps = [
            file::open(from, &path, u64::from(flags.bits()), INSIDE.bits(), opened),
            launch::send_fd(0, opened),
        ];
        sent(enclave::run(draft, steps, &self.users))
    }

    /// Gives a directory to this process's user, as user 0 of the user namespace, and opens it.
    fn take_as_user(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
        let mut draft = Draft::default();
        let parent = draft.inherit(rustix::io::fcntl_dupfd_cloexec(parent, 3)?);
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
        let [dir, opened] = [(); 2].map(|()| draft.slots.take());
        let directory = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let flags = |flags: OFlags| u64::from((directory | flags).bits());
        let steps = [
            file::open(parent, &name, flags(OFlags::PATH), INSIDE.bits(), dir),
            file::chown(dir.into(), c"", 0, 0),
            file::chmod(dir.into(), c".", 0o700),
            file::open(dir.into(), c".", flags(OFlags::RDONLY), INSIDE.bits(), opened),
            launch::send_fd(0, opened),
        ];
        sent(enclave::run(draft, steps, &self.users))
    }
}

fn sent(sent: Result<Vec<(u32, OwnedFd)>, Failure>) -> Result<OwnedFd, Errno> {
    let sent = sent.map_err(|failure| failure.errno())?;
    sent.into_iter().next().map(|(_, fd)| fd).ok_or(Errno::MFILE)
}

impl Overlay {
    /// What was written to the upper layer; an overlay need not be mounted for that, and may be.
    ///
    /// # Errors
    /// [`ErrorKind::NoUpper`]; as [`UpperLayer::changes`].
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        UpperLayer::of(self)?.changes()
    }

    /// Forgets what was written: empties the upper layer and the work directory.
    ///
    /// It may not be mounted.
    ///
    /// # Errors
    /// [`ErrorKind::NoUpper`]; as [`UpperLayer::discard`].
    pub fn discard(&self) -> Result<(), Error> {
        let upper = UpperLayer::of(self)?;
        upper.discard()?;
        let work = self.work_dir().unwrap_or(Path::new("/"));
        let failed = |errno| Problem::new(ErrorKind::NotRemoved, work).with(errno);
        match open_path(work) {
            Err(Errno::NOENT) => Ok(()),
            opened => {
                UpperLayer { upper: opened.map_err(failed)?, lower: Vec::new(), ..upper }.discard()
            }
        }
    }
}
