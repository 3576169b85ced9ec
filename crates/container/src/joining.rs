//! What a process needs so that it can join a running container.
//!
//! Kernel objects: descriptors of the container's namespaces, root and group, opened once for each container and kept
//! with its handle. Invariant: no process starts while the container is frozen, as far as that can be seen.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use ampoule_cgroups::{FreezeState, Membership};
use ampoule_ns::{Namespace, Setting};
use rustix::fs::{Mode, OFlags};

use crate::children::Children;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};
use crate::settings::Settings;

/// Between two looks at a frozen container.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

/// The kinds of namespaces that are not the host's.
pub(crate) fn kinds(settings: &Settings) -> impl Iterator<Item = Namespace> + '_ {
    settings
        .namespaces
        .iter()
        .filter(|(_, setting)| **setting != Setting::Host)
        .map(|(kind, _)| kind)
}

/// Descriptors of one container.
#[derive(Debug)]
pub(crate) struct Joining {
    namespaces: Vec<OwnedFd>,
    pub(crate) root: OwnedFd,
    ruleset: Option<OwnedFd>,
    membership: Option<Membership>,
}

impl Joining {
    /// In the order of the launch's descriptors: namespaces, root, ruleset, group.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let groups = self.membership.iter();
        let groups = groups.flat_map(|groups| groups.joins.iter().chain(&groups.group));
        self.namespaces
            .iter()
            .chain([&self.root])
            .chain(&self.ruleset)
            .chain(groups)
            .map(AsFd::as_fd)
    }
}

/// What a container keeps for the processes that join it.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) children: Children,
    joining: Mutex<Option<Arc<Joining>>>,
    freeze: Mutex<Option<Arc<FreezeState>>>,
    /// Held shared while a process joins, so that the container is not frozen around it by its own handle.
    starting: RwLock<()>,
}

impl Joined {
    pub(crate) fn starting(&self) -> RwLockReadGuard<'_, ()> {
        self.starting.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pausing(&self) -> RwLockWriteGuard<'_, ()> {
        self.starting.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Container {
    /// Opens what is needed, the first time.
    pub(crate) fn joining(&self) -> Result<Arc<Joining>, Error> {
        let mut joining = self.joined.joining.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(joining) = &*joining {
            return Ok(Arc::clone(joining));
        }
        let made = Arc::new(self.joining_with(self.root_fd()?)?);
        *joining = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Opens what is needed, for a process that has this root.
    pub(crate) fn joining_with(&self, root: OwnedFd) -> Result<Joining, Error> {
        let namespaces = kinds(&self.plan.settings).map(|kind| self.namespace(kind));
        let namespaces = namespaces.collect::<Result<_, _>>()?;
        let membership = self.group.as_ref().map(ampoule_cgroups::Group::membership).transpose();
        let membership = membership.map_err(|error| Error::from_cgroups(Stage::Launch, error))?;
        Ok(Joining {
            namespaces,
            root,
            #[cfg(feature = "landlock")]
            ruleset: self.ruleset()?,
            #[cfg(not(feature = "landlock"))]
            ruleset: None,
            membership,
        })
    }

    /// Where the kernel says whether the container is frozen; nowhere without a group.
    pub(crate) fn freeze_state(&self) -> Option<Arc<FreezeState>> {
        let mut known = self.joined.freeze.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = self.group.as_ref().and_then(|group| group.freeze_state().ok()).map(Arc::new);
        }
        known.clone()
    }
}

/// The root of this process.
pub(crate) fn host_root() -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/", flags, Mode::empty())
        .map_err(|errno| Error::call(Stage::Launch, "open /", errno))
}

/// Whether the container is frozen; one whose group is gone is not.
pub(crate) fn is_frozen(state: Option<&Arc<FreezeState>>) -> bool {
    state.is_some_and(|state| state.is_frozen().unwrap_or(false))
}

/// Waits until the container goes on.
pub(crate) fn wait_until_thawed(
    state: Option<&Arc<FreezeState>>,
    deadline: Instant,
) -> Result<(), Error> {
    while is_frozen(state) {
        if Instant::now() >= deadline {
            return Err(frozen(Error::new(ErrorKind::StartTimeout, Stage::Launch)));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Says why it took too long.
pub(crate) fn frozen(error: Error) -> Error {
    error.with_hint("the container is frozen: Container::resume lets it go on")
}
