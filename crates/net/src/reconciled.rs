//! What killed processes left is taken away.
//!
//! Kernel objects: those of `host`, and what plugins made. Invariant: what is in use is not touched.

use crate::cni;
use crate::error::Result;
use crate::host::Host;
use crate::name::NetworkName;

/// What [`Host::reconcile`] found and took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciled {
    /// Addresses of containers that are gone.
    pub addresses: Vec<std::net::IpAddr>,
    /// Networks without a container.
    pub networks: Vec<NetworkName>,
    /// Containers that plugins of the CNI have deleted, by their identifiers.
    pub deleted: Vec<String>,
}

impl Host {
    /// Takes away what belongs to containers that are gone: leases, links, tables, bridges, sysctls; and has the plugins
    /// delete what processes added that have been killed. A plugin that still runs for one of these is let end: what it
    /// made goes the next time.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `CAP_NET_ADMIN`; [`DamagedState`](crate::ErrorKind::DamagedState);
    /// what plugins say, as [`Added::delete`](cni::Added::delete). All that can be done is done before.
    pub fn reconcile(&self) -> Result<Reconciled> {
        let deleted = cni::reconcile(self.directory());
        let found = self.reconcile_bridges()?;
        Ok(Reconciled { deleted: deleted?, ..found })
    }
}
