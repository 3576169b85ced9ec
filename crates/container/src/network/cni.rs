//! Networks of plugins, as data.
//!
//! Kernel objects: those that the plugins make. Invariant: what no plugin could be told is a problem of the settings.

use ampoule_net::cni::{Added, Conflist, Plugins, Request};
use ampoule_net::{LinkName, Netns, Port, Result};
use serde::{Deserialize, Serialize};

/// A network of the Container Network Interface, and what its plugins are told of the container.
///
/// ```no_run
/// use ampoule::net::cni::{Conflist, Plugins};
/// use ampoule::{CniNetwork, Container};
///
/// let conf = Conflist::read("/etc/cni/net.d/10-web.conflist".as_ref())?;
/// let network = CniNetwork::new(conf, Plugins::in_directory("/opt/cni/bin"));
/// let web = Container::host_view().network(network).publish("8080:80".parse()?);
/// # Ok::<(), ampoule::net::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniNetwork {
    conf: Conflist,
    plugins: Plugins,
    link: Option<LinkName>,
    args: Vec<(String, String)>,
    ports: Vec<Port>,
}

impl CniNetwork {
    /// The network of a configuration, with the plugins of these directories. The link is `eth0`, `eth1` …; the
    /// container's name for the plugins is its [id](crate::Builder::id).
    #[must_use]
    pub fn new(conf: Conflist, plugins: Plugins) -> Self {
        Self { conf, plugins, link: None, args: Vec::new(), ports: Vec::new() }
    }

    /// Another name for the link.
    #[must_use]
    pub fn link(mut self, name: LinkName) -> Self {
        self.link = Some(name);
        self
    }

    /// Adds to `CNI_ARGS`; a semicolon in it, or a `=` in the key, is a problem of the settings.
    #[must_use]
    pub fn arg(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.push((key.into(), value.into()));
        self
    }

    /// The configuration.
    #[must_use]
    pub fn conf(&self) -> &Conflist {
        &self.conf
    }

    /// With this name, if it has none.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.link = self.link.or_else(|| LinkName::new(name).ok());
        self
    }

    /// Whether a plugin of it publishes ports.
    pub(super) fn publishes(&self) -> bool {
        self.conf.has_capability("portMappings")
    }

    pub(super) fn publish(mut self, ports: &[Port]) -> Self {
        self.ports.extend(ports);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        self.request("a").map(drop)
    }

    fn request(&self, id: &str) -> Result<Request> {
        let request = Request::new(id, self.link.as_ref().map_or("eth0", LinkName::as_str))?;
        let add = |request: Request, (key, value): &(String, String)| request.arg(key, value);
        let request = self.args.iter().try_fold(request, add)?;
        Ok(self.ports.iter().fold(request, |request, port| request.publish(*port)))
    }

    /// Has a container added.
    pub(super) fn add(&self, id: &str, netns: &Netns) -> Result<Added> {
        self.plugins.add(&self.conf, &self.request(id)?, netns)
    }
}
