//! A container's network namespace under a name, as `ip netns` knows it.
//!
//! Kernel objects: a mount of nsfs below `/run/netns` (ip-netns(8)). Invariant: it is taken away when the handle is
//! dropped, unless it was left.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ampoule_ns::{Namespace, Target, pin};

use super::Network;
use crate::container::Container;
use crate::error::{Error, Stage};

/// A network namespace that is pinned to a file below `/run/netns`; dropping it unpins.
#[derive(Debug)]
pub struct PinnedNetwork {
    path: Option<PathBuf>,
    network: Network,
}

impl Container {
    /// Pins its network namespace to `/run/netns/NAME`, so that ip-netns(8) shows and uses it, and other containers can
    /// join it ([`PinnedNetwork::network`]). It may outlive the container; what its networks attached does not. A mount
    /// on the host: needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSettings`](crate::ErrorKind::InvalidSettings) for a name that cannot be,
    /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied), a failed system call (`EEXIST` for a name
    /// that is used); [`ErrorKind::Ended`](crate::ErrorKind::Ended).
    pub fn pin_network(&self, name: &str) -> Result<PinnedNetwork, Error> {
        let namespace = self.namespace(Namespace::Net)?;
        PinnedNetwork::new(namespace.as_fd(), name)
    }
}

impl PinnedNetwork {
    pub(crate) fn new(namespace: std::os::fd::BorrowedFd<'_>, name: &str) -> Result<Self, Error> {
        let pinned = pin::pin_netns(namespace, name);
        let path = pinned.map_err(|error| Error::from_ns(Stage::Running, error))?;
        let network = Network::Join(Target::Path(path.clone()));
        Ok(Self { path: Some(path), network })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// For a builder whose container joins it.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network.clone()
    }

    /// Takes the name away. The namespace ends when nothing else uses it.
    ///
    /// # Errors
    /// What umount2(2) and unlink(2) answer, as when somebody else took it away.
    pub fn unpin(mut self) -> Result<(), Error> {
        let unpinned = self.path.take().map_or(Ok(()), |path| pin::unpin(&path));
        unpinned.map_err(|error| Error::from_ns(Stage::Running, error))
    }

    /// Leaves the name on the host: `ip netns delete NAME` takes it away.
    pub fn leave(mut self) {
        self.path = None;
    }
}

impl Drop for PinnedNetwork {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // There is nobody to tell; it may be gone.
            let _left = pin::unpin(&path).is_err();
        }
    }
}
