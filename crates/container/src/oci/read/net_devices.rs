//! `linux.netDevices`: devices of the host that the container has as long as it runs.

use ampoule_spec::JsonPath;
use ampoule_spec::oci::Linux;

use super::reading::Reading;
use crate::builder::Builder;

/// In the order of their names, which the document does not have.
#[cfg(feature = "net")]
pub(super) fn net_devices(
    linux: &Linux,
    builder: &mut Builder,
    at: &JsonPath,
    reading: &mut Reading,
) {
    use ampoule_net::{HostDevice, LinkName};
    use ampoule_ns::{Namespace, Setting};

    let mut devices: Vec<_> = linux.net_devices().iter().flatten().collect();
    devices.sort_by_key(|(name, _)| *name);
    if !devices.is_empty() && *builder.namespaces.get(Namespace::Net) != Setting::New {
        reading.refuse(at, "need a new network namespace: in another they are not honoured");
    }
    for (name, device) in devices {
        let Some(made) = reading.keep(&at.key(name), HostDevice::new(name)) else { continue };
        let inside = device.name().as_deref().filter(|inside| !inside.is_empty());
        let inside = inside
            .and_then(|inside| reading.keep(&at.key(name).key("name"), LinkName::new(inside)));
        let made = inside.into_iter().fold(made, HostDevice::named);
        builder.networking.networks.push(made.into());
    }
}

/// Without the feature `net` nothing can move them.
#[cfg(not(feature = "net"))]
pub(super) fn net_devices(linux: &Linux, _: &mut Builder, at: &JsonPath, reading: &mut Reading) {
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        reading.refuse(at, "are not honoured without the feature `net`");
    }
}
