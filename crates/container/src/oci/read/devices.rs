//! `linux.devices`.

use ampoule_overlay::{Node, NodeKind};
use ampoule_spec::JsonPath;
use ampoule_spec::oci::{LinuxDevice, LinuxDeviceType};

use super::reading::Reading;

/// A device node; its permissions are 0666 unless they are said.
pub(super) fn node(device: &LinuxDevice, at: &JsonPath, reading: &mut Reading) -> Option<Node> {
    let kind = match device.typ() {
        LinuxDeviceType::P => NodeKind::Fifo,
        of => {
            let major = reading.number(&at.key("major"), device.major())?;
            let minor = reading.number(&at.key("minor"), device.minor())?;
            match of {
                LinuxDeviceType::B => NodeKind::Block { major, minor },
                LinuxDeviceType::C | LinuxDeviceType::U => NodeKind::Char { major, minor },
                _ => {
                    reading.refuse(&at.key("type"), "is no device that can be made");
                    return None;
                }
            }
        }
    };
    Some(Node {
        path: device.path().clone(),
        kind,
        // The type may stand in it, too.
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}
