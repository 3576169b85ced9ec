//! `linux.devices` and `linux.resources.devices`.

use super::report::Report;
use super::text;
use crate::oci::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

/// The kernel's `dev_t` has 12 and 20 bits.
const MAJOR: (i128, i128) = (0, (1 << 12) - 1);
const MINOR: (i128, i128) = (0, (1 << 20) - 1);

/// Nodes to be made.
pub(super) fn nodes(report: &mut Report, at_list: &JsonPath, devices: &[LinuxDevice]) {
    for (index, device) in devices.iter().enumerate() {
        let at = at_list.index(index);
        text::absolute(report, at.key("path"), device.path());
        if let Some(first) = devices[..index].iter().position(|it| it.path() == device.path()) {
            let first = at_list.index(first).key("path");
            report.add(at.key("path"), Flaw::Duplicate { first });
        }
        match device.typ() {
            LinuxDeviceType::A => {
                let found = Excerpt::of("a");
                report.add(at.key("type"), Flaw::NotA { found, expected: Expected::DeviceNode });
            }
            LinuxDeviceType::P => {}
            _ => {
                report.within(at.key("major"), device.major(), MAJOR);
                report.within(at.key("minor"), device.minor(), MINOR);
            }
        }
        if let Some(mode) = device.file_mode() {
            // Some engines write the type of the file, too (inode(7)).
            report.within(at.key("fileMode"), mode, (0, 0o177_777));
        }
        for (key, id) in [("uid", device.uid()), ("gid", device.gid())] {
            report.within(at.key(key), id.unwrap_or(0), (0, i128::from(u32::MAX) - 1));
        }
    }
}

/// Rules for their use.
pub(super) fn rules(report: &mut Report, at_list: &JsonPath, rules: &[LinuxDeviceCgroup]) {
    for (index, rule) in rules.iter().enumerate() {
        let at = at_list.index(index);
        if matches!(rule.typ(), Some(LinuxDeviceType::U | LinuxDeviceType::P)) {
            let found = Excerpt::of(rule.typ().unwrap_or_default().as_str());
            report.add(at.key("type"), Flaw::NotA { found, expected: Expected::DeviceNode });
        }
        // -1 is what engines write for "all".
        report.within(at.key("major"), rule.major().unwrap_or(-1), (-1, MAJOR.1));
        report.within(at.key("minor"), rule.minor().unwrap_or(-1), (-1, MINOR.1));
        let access = rule.access().as_deref().unwrap_or_default();
        if access.contains(|letter| !matches!(letter, 'r' | 'w' | 'm')) {
            let found = Excerpt::of(access);
            report.add(at.key("access"), Flaw::NotA { found, expected: Expected::Access });
        }
    }
}
