//! What a container that outlives its handle has of bridge networks, to be taken away by a later process.
//!
//! Kernel objects: the host's ends of pairs, by name. Invariant: what is taken away twice is no error.

use ampoule_net::{Host, LinkName, NetworkName};
use serde::{Deserialize, Serialize};

use super::{Attached, Network, Networking};
use crate::error::{Error, Stage};

/// The ends on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    #[serde(default)]
    bridges: Vec<(NetworkName, LinkName)>,
}

impl Left {
    /// Of a container that is about to go on alone.
    pub(crate) fn of(attached: &Attached) -> Self {
        let end = |it: &ampoule_net::Attachment| (it.network().clone(), it.host_link().clone());
        Self { bridges: attached.attachments().map(end).collect() }
    }

    /// Takes everything away, once the container has ended. A link to a caller and a device of the host go with the
    /// network namespace.
    pub(crate) fn take_away(&self, networking: &Networking) -> Result<(), Error> {
        let bridge = |network: &Network| matches!(network, Network::Bridge { .. });
        if !networking.networks.iter().any(bridge) {
            return Ok(());
        }
        let failed = |error| Error::from_net(Stage::Running, error);
        let host = Host::new().map_err(failed)?;
        for (network, link) in &self.bridges {
            host.unplug(network, link).map_err(failed)?;
        }
        // Whoever made it may have been ended before it could say what there is.
        host.reconcile_bridges().map(drop).map_err(failed)
    }
}
