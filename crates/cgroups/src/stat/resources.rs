//! Resources that are counted by name: hugetlb, rdma and misc.
//!
//! Kernel objects: `hugetlb.SIZE.*`, `rdma.current` and `rdma.max`, `misc.current` and the like.
//! Invariant: names are the kernel's; a name that this crate does not know is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::{Dir, Files};
use super::keyed;
use crate::error::Result;
use crate::unit::Max;

/// Huge pages of one size. See the kernel's admin-guide/cgroup-v2.rst, "HugeTLB Interface Files".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hugetlb {
    /// Bytes in use (`hugetlb.SIZE.current`; v1 `usage_in_bytes`).
    pub current: Option<u64>,
    /// The limit in bytes (`hugetlb.SIZE.max`; v1 `limit_in_bytes`).
    pub max: Option<Max<u64>>,
    /// Bytes reserved (`hugetlb.SIZE.rsvd.current`; v1 `rsvd.usage_in_bytes`).
    pub reserved: Option<u64>,
    /// Allocations that failed because of the limit (`hugetlb.SIZE.events`; v1 `failcnt`).
    pub max_events: Option<u64>,
}

/// What a group uses of one RDMA device. See admin-guide/cgroup-v2.rst, "RDMA Interface Files".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rdma {
    /// Handles in use.
    pub hca_handle: Option<u64>,
    /// Objects in use.
    pub hca_object: Option<u64>,
    /// The limit of handles.
    pub hca_handle_max: Option<Max<u64>>,
    /// The limit of objects.
    pub hca_object_max: Option<Max<u64>>,
}

/// One resource of the misc controller, such as `sev`. See admin-guide/cgroup-v2.rst, "Misc".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScalarResource {
    /// How much is in use (`misc.current`).
    pub current: Option<u64>,
    /// The most that was in use (`misc.peak`). Since Linux 6.11.
    pub peak: Option<u64>,
    /// The limit (`misc.max`).
    pub max: Option<Max<u64>>,
    /// How often the limit was met (`misc.events`, key `NAME.max`).
    pub max_events: Option<u64>,
}

/// Reads `rdma.current` and `rdma.max`: by device.
#[must_use]
pub fn parse_rdma(current: &str, max: &str) -> BTreeMap<String, Rdma> {
    let mut devices = BTreeMap::<String, Rdma>::new();
    for (device, name, value) in device_words(current) {
        let entry = devices.entry(device.to_owned()).or_default();
        match name {
            "hca_handle" => entry.hca_handle = keyed::number(value),
            "hca_object" => entry.hca_object = keyed::number(value),
            _ => {}
        }
    }
    for (device, name, value) in device_words(max) {
        let entry = devices.entry(device.to_owned()).or_default();
        match name {
            "hca_handle" => entry.hca_handle_max = keyed::limit(value),
            "hca_object" => entry.hca_object_max = keyed::limit(value),
            _ => {}
        }
    }
    devices
}

fn device_words(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    keyed::nested(text).flat_map(|(device, rest)| {
        keyed::assignments(rest).map(move |(name, value)| (device, name, value))
    })
}

/// The texts of the misc controller's files.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ScalarFiles<'a> {
    /// `misc.current`.
    pub current: &'a str,
    /// `misc.peak`.
    pub peak: &'a str,
    /// `misc.max`.
    pub max: &'a str,
    /// `misc.events`.
    pub events: &'a str,
}

impl ScalarFiles<'_> {
    /// Reads the texts: by resource.
    #[must_use]
    pub fn parse(&self) -> BTreeMap<String, ScalarResource> {
        let mut resources = BTreeMap::<String, ScalarResource>::new();
        for (name, value) in keyed::flat(self.current) {
            resources.entry(name.to_owned()).or_default().current = Some(value);
        }
        for (name, value) in keyed::flat(self.peak) {
            resources.entry(name.to_owned()).or_default().peak = Some(value);
        }
        for (name, value) in keyed::nested(self.max) {
            resources.entry(name.to_owned()).or_default().max = keyed::limit(value);
        }
        let events = keyed::flat(self.events);
        for (name, value) in events.filter_map(|(key, v)| Some((key.strip_suffix(".max")?, v))) {
            resources.entry(name.to_owned()).or_default().max_events = Some(value);
        }
        resources
    }
}

/// Reads the files of the hugetlb controller for the huge pages of these sizes (`2MB`, `1GB`).
pub(crate) fn read_hugetlb(
    files: &mut Files,
    dir: Dir<'_>,
    sizes: &[String],
) -> Result<BTreeMap<String, Hugetlb>> {
    let suffixes = match dir {
        Dir::V1(_) => ["usage_in_bytes", "limit_in_bytes", "rsvd.usage_in_bytes", "failcnt"],
        Dir::V2(_) => ["current", "max", "rsvd.current", "events"],
    };
    let mut found = BTreeMap::new();
    for size in sizes {
        let [current, max, reserved, events] =
            suffixes.map(|suffix| format!("hugetlb.{size}.{suffix}"));
        let hugetlb = Hugetlb {
            current: files.read(dir, &current)?.and_then(keyed::single),
            max: files.read(dir, &max)?.and_then(|text| match dir {
                Dir::V1(_) => super::memory::limit_v1(text),
                Dir::V2(_) => keyed::limit(text),
            }),
            reserved: files.read(dir, &reserved)?.and_then(keyed::single),
            max_events: files.read(dir, &events)?.and_then(|text| match dir {
                Dir::V1(_) => keyed::single(text),
                Dir::V2(_) => super::pids::parse_events(text),
            }),
        };
        if hugetlb != Hugetlb::default() {
            found.insert(size.clone(), hugetlb);
        }
    }
    Ok(found)
}

/// Reads the files of the rdma controller.
pub(crate) fn read_rdma(files: &mut Files, dir: Dir<'_>) -> Result<BTreeMap<String, Rdma>> {
    let current = files.read(dir, "rdma.current")?.unwrap_or_default().to_owned();
    Ok(parse_rdma(&current, files.read(dir, "rdma.max")?.unwrap_or_default()))
}

/// Reads the files of the misc controller.
pub(crate) fn read_scalar(
    files: &mut Files,
    dir: Dir<'_>,
) -> Result<BTreeMap<String, ScalarResource>> {
    let mut text = |name| files.read(dir, name).map(|text| text.unwrap_or_default().to_owned());
    let (current, peak) = (text("misc.current")?, text("misc.peak")?);
    let (max, events) = (text("misc.max")?, text("misc.events")?);
    let (current, peak, max, events) = (&*current, &*peak, &*max, &*events);
    Ok(ScalarFiles { current, peak, max, events }.parse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rdma_by_device() {
        let current = "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 new=4\n";
        let max = "mlx4_0 hca_handle=2 hca_object=max\n";
        let devices = parse_rdma(current, max);
        let first = devices["mlx4_0"];
        assert_eq!((first.hca_handle, first.hca_object), (Some(2), Some(2000)));
        assert_eq!(first.hca_handle_max, Some(Max::Limit(2)));
        assert_eq!(first.hca_object_max, Some(Max::Max));
        assert_eq!(devices["ocrdma1"].hca_handle, Some(3));
    }

    #[test]
    fn misc_by_resource() {
        let files = ScalarFiles {
            current: "res_a 3\nres_b 0\n",
            peak: "res_a 10\n",
            max: "res_a max\nres_b 4\n",
            events: "res_a.max 0\nres_b.max 2\nother 9\n",
        };
        let resources = files.parse();
        assert_eq!(resources.len(), 2);
        let a = resources["res_a"];
        assert_eq!((a.current, a.peak, a.max), (Some(3), Some(10), Some(Max::Max)));
        let b = resources["res_b"];
        assert_eq!((b.current, b.max, b.max_events), (Some(0), Some(Max::Limit(4)), Some(2)));
    }
}
