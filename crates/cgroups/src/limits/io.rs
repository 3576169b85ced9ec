//! Limits of block devices.
//!
//! Kernel objects: none; a device is named by its numbers. Documents: admin-guide/cgroup-v2 («IO»),
//! admin-guide/cgroup-v1/blkio-controller. Invariant: a device is named once.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Problem, Result};
use crate::unit::{Bytes, Max, Micros, Weight};

/// Limits of block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IoLimits {
    /// Share among siblings, for every device (`io.weight`; v1 `blkio.bfq.weight` or `blkio.weight`).
    pub weight: Option<Weight>,
    /// Share of the group's own processes against the groups below it (v1 `blkio.leaf_weight`, which the kernel had
    /// before Linux 5.0).
    pub leaf_weight: Option<Weight>,
    /// Limits of single devices.
    pub devices: Vec<IoDevice>,
}

/// Limits of one block device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct IoDevice {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read per second (`rbps`).
    #[serde(default)]
    pub read_bps: Option<Max<Bytes>>,
    /// Bytes written per second (`wbps`).
    #[serde(default)]
    pub write_bps: Option<Max<Bytes>>,
    /// Reads per second (`riops`).
    #[serde(default)]
    pub read_iops: Option<Max<u64>>,
    /// Writes per second (`wiops`).
    #[serde(default)]
    pub write_iops: Option<Max<u64>>,
    /// Share among siblings, for this device.
    #[serde(default)]
    pub weight: Option<Weight>,
    /// Share of the group's own processes, for this device (v1 `blkio.leaf_weight_device`, before Linux 5.0).
    #[serde(default)]
    pub leaf_weight: Option<Weight>,
    /// Latency that is aimed at (`io.latency`; v2 only).
    #[serde(default)]
    pub latency: Option<Micros>,
}

impl IoDevice {
    /// The device with these numbers, not limited yet.
    #[must_use]
    pub fn new(major: u32, minor: u32) -> Self {
        Self {
            major,
            minor,
            read_bps: None,
            write_bps: None,
            read_iops: None,
            write_iops: None,
            weight: None,
            leaf_weight: None,
            latency: None,
        }
    }

    /// The block device that this node stands for.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) and the like when it cannot be looked at;
    /// [`InvalidLimits`](crate::ErrorKind::InvalidLimits) when it is no block device.
    pub fn at(node: impl AsRef<Path>) -> Result<Self> {
        let node = node.as_ref();
        let found = std::fs::metadata(node).map_err(|error| Error::io("stat", node, &error))?;
        if !found.file_type().is_block_device() {
            let reason = format!("{} is no block device", node.display());
            return Err(Error::problem("io", reason));
        }
        let number = found.rdev();
        Ok(Self::new(rustix::fs::major(number), rustix::fs::minor(number)))
    }

    /// The most bytes read per second (`rbps`).
    #[must_use]
    pub fn read_bps(mut self, max: impl Into<Max<Bytes>>) -> Self {
        self.read_bps = Some(max.into());
        self
    }

    /// The most bytes written per second (`wbps`).
    #[must_use]
    pub fn write_bps(mut self, max: impl Into<Max<Bytes>>) -> Self {
        self.write_bps = Some(max.into());
        self
    }

    /// The most reads per second (`riops`).
    #[must_use]
    pub fn read_iops(mut self, max: impl Into<Max<u64>>) -> Self {
        self.read_iops = Some(max.into());
        self
    }

    /// The most writes per second (`wiops`).
    #[must_use]
    pub fn write_iops(mut self, max: impl Into<Max<u64>>) -> Self {
        self.write_iops = Some(max.into());
        self
    }

    /// Its share of this device among siblings.
    #[must_use]
    pub fn weight(mut self, weight: Weight) -> Self {
        self.weight = Some(weight);
        self
    }

    /// The latency that is aimed at (`io.latency`; v2 only).
    #[must_use]
    pub fn latency(mut self, target: Micros) -> Self {
        self.latency = Some(target);
        self
    }

    /// Whether the kernel has this device (sysfs(5)).
    pub(crate) fn exists(&self) -> bool {
        Path::new("/sys/dev/block").join(self.to_string()).exists()
    }
}

impl fmt::Display for IoDevice {
    /// The numbers as the kernel writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl IoLimits {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        for (index, device) in self.devices.iter().enumerate() {
            let numbers = (device.major, device.minor);
            if self.devices[..index].iter().any(|other| (other.major, other.minor) == numbers) {
                problems.push(Problem::new("io.max", format!("{device} is named twice")));
            }
            let bps = [device.read_bps, device.write_bps];
            if bps.into_iter().flatten().any(|bps| bps == Max::Limit(Bytes::new(0))) {
                problems.push(Problem::new("io.max", format!("{device}: 0 bytes per second")));
            }
            let iops = [device.read_iops, device.write_iops];
            if iops.into_iter().flatten().any(|iops| iops == Max::Limit(0)) {
                problems.push(Problem::new("io.max", format!("{device}: 0 operations per second")));
            }
        }
    }
}
