//! The io controller: bytes and operations per block device.
//!
//! Kernel objects: `io.stat` of cgroup v2; `blkio.throttle.io_service_bytes_recursive` and
//! `blkio.throttle.io_serviced_recursive` of v1. Invariant: one entry per device, in the order of
//! device numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::files::{Dir, Files};
use super::keyed;
use crate::error::Result;

/// The number of a block device, written `8:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

/// What one device did for a group with all groups below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IoDevice {
    /// Bytes read.
    pub rbytes: Option<u64>,
    /// Bytes written.
    pub wbytes: Option<u64>,
    /// Read operations.
    pub rios: Option<u64>,
    /// Write operations.
    pub wios: Option<u64>,
    /// Bytes discarded.
    pub dbytes: Option<u64>,
    /// Discard operations.
    pub dios: Option<u64>,
    /// Keys that have no field here, such as those of io.cost and io.latency, where they are numbers.
    pub other: BTreeMap<String, u64>,
}

/// What block devices did for a group. See the kernel's admin-guide/cgroup-v2.rst, "IO Interface Files".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Io {
    /// By device. A device that was never used has no entry.
    pub devices: BTreeMap<DeviceNumber, IoDevice>,
}

impl DeviceNumber {
    /// Reads `8:0`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        let number = |text| keyed::number(text).and_then(|number| u32::try_from(number).ok());
        Some(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A text that is no device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not written as MAJOR:MINOR")]
pub struct NotADeviceNumber;

impl TryFrom<String> for DeviceNumber {
    type Error = NotADeviceNumber;

    fn try_from(text: String) -> Result<Self, NotADeviceNumber> {
        Self::parse(&text).ok_or(NotADeviceNumber)
    }
}

impl From<DeviceNumber> for String {
    fn from(number: DeviceNumber) -> Self {
        number.to_string()
    }
}

impl Io {
    /// Reads `io.stat`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut io = Self::default();
        for (key, rest) in keyed::nested(text) {
            // Some kernels put several devices without numbers of their own before the last one's
            // numbers, on one line; a word with a colon begins a device.
            let mut device = DeviceNumber::parse(key);
            for word in rest.split_ascii_whitespace() {
                match word.split_once('=') {
                    Some((name, value)) => io.set(device, name, value),
                    None => device = DeviceNumber::parse(word).or(device),
                }
            }
        }
        io
    }

    /// Reads v1's `io_service_bytes` and `io_serviced`, the plain or the recursive files.
    #[must_use]
    pub fn parse_v1(service_bytes: &str, serviced: &str) -> Self {
        let mut io = Self::default();
        let names = [("Read", "rbytes", "rios"), ("Write", "wbytes", "wios")];
        let discard = [("Discard", "dbytes", "dios")];
        for (device, kind, value) in v1_lines(service_bytes) {
            let known = names.iter().chain(&discard).find(|(v1, ..)| *v1 == kind);
            known.into_iter().for_each(|(_, bytes, _)| io.set(Some(device), bytes, value));
        }
        for (device, kind, value) in v1_lines(serviced) {
            let known = names.iter().chain(&discard).find(|(v1, ..)| *v1 == kind);
            known.into_iter().for_each(|(_, _, count)| io.set(Some(device), count, value));
        }
        io
    }

    /// The sum over all devices.
    #[must_use]
    pub fn total(&self) -> IoDevice {
        let mut total = IoDevice::default();
        for device in self.devices.values() {
            let pairs = [
                (&mut total.rbytes, device.rbytes),
                (&mut total.wbytes, device.wbytes),
                (&mut total.rios, device.rios),
                (&mut total.wios, device.wios),
                (&mut total.dbytes, device.dbytes),
                (&mut total.dios, device.dios),
            ];
            for (sum, part) in pairs {
                *sum = part.map(|part| sum.unwrap_or(0).saturating_add(part)).or(*sum);
            }
        }
        total
    }

    fn set(&mut self, device: Option<DeviceNumber>, name: &str, value: &str) {
        let (Some(device), Some(value)) = (device, keyed::number(value)) else {
            return;
        };
        let entry = self.devices.entry(device).or_default();
        match name {
            "rbytes" => entry.rbytes = Some(value),
            "wbytes" => entry.wbytes = Some(value),
            "rios" => entry.rios = Some(value),
            "wios" => entry.wios = Some(value),
            "dbytes" => entry.dbytes = Some(value),
            "dios" => entry.dios = Some(value),
            _ => {
                entry.other.insert(name.to_owned(), value);
            }
        }
    }
}

/// The lines `8:0 Read 4096`.
fn v1_lines(text: &str) -> impl Iterator<Item = (DeviceNumber, &str, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        Some((DeviceNumber::parse(words.next()?)?, words.next()?, words.next()?))
    })
}

/// Reads the files of the io controller.
pub(crate) fn read(files: &mut Files, dir: Dir<'_>) -> Result<Io> {
    match dir {
        Dir::V2(_) => Ok(files.read(dir, "io.stat")?.map(Io::parse).unwrap_or_default()),
        Dir::V1(_) => {
            let bytes = "blkio.throttle.io_service_bytes_recursive";
            let bytes = files.read(dir, bytes)?.unwrap_or_default().to_owned();
            let count = files.read(dir, "blkio.throttle.io_serviced_recursive")?;
            Ok(Io::parse_v1(&bytes, count.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    #[test]
    fn v2_by_device() {
        let text = "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7 use_delay=x\n\
                    259:0 rbytes=10\nbad rbytes=3\n";
        let io = Io::parse(text);
        let first = &io.devices[&number(8, 16)];
        assert_eq!((first.rbytes, first.wbytes, first.rios), (Some(1), Some(2), Some(3)));
        assert_eq!((first.wios, first.dbytes, first.dios), (Some(4), Some(5), Some(6)));
        assert_eq!(first.other.len(), 1);
        assert_eq!(
            io.devices[&number(259, 0)],
            IoDevice { rbytes: Some(10), ..Default::default() }
        );
        assert_eq!(io.devices.len(), 2);
        assert_eq!((io.total().rbytes, io.total().dios), (Some(11), Some(6)));
    }

    #[test]
    fn devices_that_share_a_line_are_told_apart() {
        let io = Io::parse("7:1 7:0 8:0 rbytes=5 wbytes=6\n8:16 \n");
        assert_eq!(io.devices.keys().copied().collect::<Vec<_>>(), [number(8, 0)]);
    }

    #[test]
    fn v1_by_device() {
        let bytes = "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 12288\n254:0 Async 0\n\
                     254:0 Discard 512\n254:0 Total 12288\nTotal 12288\n";
        let count = "254:0 Read 1\n254:0 Write 2\n254:0 Discard 3\nTotal 3\n";
        let io = Io::parse_v1(bytes, count);
        let device = &io.devices[&number(254, 0)];
        assert_eq!((device.rbytes, device.wbytes), (Some(4096), Some(8192)));
        assert_eq!((device.rios, device.wios, device.dios), (Some(1), Some(2), Some(3)));
        assert_eq!(device.dbytes, Some(512));
        assert_eq!(Io::parse_v1("Total 0\n", "Total 0\n"), Io::default());
    }

    #[test]
    fn sums_do_not_overflow() {
        let io = Io::parse("8:0 rbytes=18446744073709551615\n8:1 rbytes=5\n");
        assert_eq!(io.total().rbytes, Some(u64::MAX));
        assert_eq!(DeviceNumber::parse("4294967296:0"), None);
    }

    #[test]
    fn device_numbers_are_keys_of_json() {
        let io = Io::parse("8:0 rbytes=5\n");
        let text = serde_json::to_string(&io).unwrap();
        assert!(text.contains("\"8:0\""), "{text}");
        assert_eq!(serde_json::from_str::<Io>(&text).unwrap(), io);
    }
}
