//! A namespace in place of one that has gone with its container.
//!
//! Kernel objects: a network namespace with a pair of links, one of them with the name and the addresses that the
//! container's had. Invariant: nothing leads out of it. Plugins that masquerade learn from the link what to take away,
//! and do nothing without a namespace.

use std::os::fd::AsFd;

use serde_json::{Map, Value};

use super::answer::Answer;
use crate::error::Result;
use crate::link::{self, End};
use crate::name::LinkName;
use crate::netns::Netns;

/// Whether a plugin, of those that have this setting, masquerades.
pub(super) fn is_needed(plugin: &Map<String, Value>) -> bool {
    plugin.get("ipMasq").and_then(Value::as_bool) == Some(true)
}

/// Makes one.
pub(super) fn make(name: &LinkName, answer: &Answer) -> Result<Netns> {
    let mut netns = Netns::create()?;
    let other = LinkName::new("amp-other")?;
    let end = |name| End { name, mac: None, mtu: None, bridge: None };
    let pair = link::create_veth(&end(&other), &end(name), netns.as_fd())?;
    netns.route.send(vec![pair])?;
    let addresses: Vec<_> = answer.addresses().iter().map(|it| it.address).collect();
    netns.configure(name, &addresses, &[])?;
    Ok(netns)
}
