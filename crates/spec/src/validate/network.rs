//! `linux.netDevices`: interfaces of the host that are moved into the container.

use super::report::Report;
use crate::oci::Linux;
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

/// The longest name of an interface, in bytes.
const NAME_MAX: usize = 15;

pub(super) fn devices(report: &mut Report, at: &JsonPath, linux: &Linux) {
    let Some(devices) = linux.net_devices().as_ref().filter(|devices| !devices.is_empty()) else {
        return;
    };
    report.need(at.clone(), "network");
    let mut devices: Vec<_> = devices.iter().collect();
    devices.sort_by_key(|(name, _)| *name);
    let mut taken: Vec<(&str, JsonPath)> = Vec::new();
    for (name, device) in devices {
        interface(report, at.key(name), name);
        let inside = device.name().as_deref().filter(|inside| !inside.is_empty());
        let place = inside.map_or_else(|| at.key(name), |_| at.key(name).key("name"));
        if let Some(inside) = inside {
            interface(report, place.clone(), inside);
        }
        let inside = inside.unwrap_or(name);
        match taken.iter().find(|(other, _)| *other == inside) {
            Some((_, first)) => report.add(place, Flaw::Duplicate { first: first.clone() }),
            None => taken.push((inside, place)),
        }
    }
}

/// A name that the kernel takes (`dev_valid_name`).
fn interface(report: &mut Report, at: JsonPath, name: &str) {
    let is_bad = |letter: char| letter.is_whitespace() || matches!(letter, '/' | ':' | '%');
    let is_odd = name.is_empty() || name == "." || name == ".." || name.len() > NAME_MAX;
    if is_odd || name.contains(is_bad) {
        let found = Excerpt::of(name);
        report.add(at, Flaw::NotA { found, expected: Expected::Interface });
    }
}
