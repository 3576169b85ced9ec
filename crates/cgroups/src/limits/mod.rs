//! Every limit of a group, as data.
//!
//! Kernel objects: none. Invariant: a field is named after the interface file of v2 where there is one; a field that
//! is not set is not written.

pub mod devices;
mod io;
mod resources;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use io::{IoDevice, IoLimits};
pub use resources::{CpuLimits, CpuMax, CpusetLimits, MemoryLimits, NetworkLimits, Switch};

use crate::error::Problem;
use crate::limits::devices::DeviceRule;
use crate::unit::{Bytes, Cpus, Max};

/// What a group may use. Nothing is limited by default.
///
/// ```
/// use ampoule_cgroups::{Bytes, Limits};
///
/// let mut limits = Limits::default().memory_max(Bytes::mib(128)).pids_max(64);
/// limits.memory.high = Some(Bytes::mib(96).into());
/// assert!(limits.validate().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Memory and swap.
    pub memory: MemoryLimits,
    /// CPU time.
    pub cpu: CpuLimits,
    /// Which CPUs and memory nodes.
    pub cpuset: CpusetLimits,
    /// Processes and threads (`pids.max`).
    pub pids_max: Option<Max<u64>>,
    /// Block devices.
    pub io: IoLimits,
    /// Huge pages by size, such as `2MB` (`hugetlb.SIZE.max`).
    pub hugetlb: BTreeMap<String, Max<Bytes>>,
    /// Huge pages that may be reserved, by size (`hugetlb.SIZE.rsvd.max`, v1 `hugetlb.SIZE.rsvd.limit_in_bytes`; since
    /// Linux 5.7). A reservation above it fails, where a fault above [`hugetlb`](Self::hugetlb) kills.
    pub hugetlb_reserved: BTreeMap<String, Max<Bytes>>,
    /// RDMA resources by device: a text such as `hca_handle=2 hca_object=2000` (`rdma.max`).
    pub rdma: BTreeMap<String, String>,
    /// Scalar resources by name (`misc.max`; since Linux 5.13).
    pub misc: BTreeMap<String, Max<u64>>,
    /// Rules for device nodes, in order; none at all means that nothing is restricted.
    pub devices: Vec<DeviceRule>,
    /// Network class and priorities, v1 only.
    pub network: NetworkLimits,
    /// How deep groups may be nested below (`cgroup.max.depth`).
    pub max_depth: Option<Max<u64>>,
    /// How many groups there may be below (`cgroup.max.descendants`).
    pub max_descendants: Option<Max<u64>>,
    /// Files of v2 with what is written to them, last of all.
    pub unified: BTreeMap<String, String>,
}

impl Limits {
    /// The most memory that all processes together may use (`memory.max`); above it they are killed.
    #[must_use]
    pub fn memory_max(mut self, max: impl Into<Bytes>) -> Self {
        self.memory.max = Some(Max::Limit(max.into()));
        self
    }

    /// CPU time as a number of CPUs, such as `"0.5".parse()?` (`cpu.max`).
    #[must_use]
    pub fn cpus(mut self, cpus: Cpus) -> Self {
        self.cpu.max = Some(CpuMax::from(cpus));
        self
    }

    /// The most processes and threads (`pids.max`).
    #[must_use]
    pub fn pids_max(mut self, max: u64) -> Self {
        self.pids_max = Some(Max::Limit(max));
        self
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be told without a kernel.
    ///
    /// # Errors
    /// [`InvalidLimits`](crate::ErrorKind::InvalidLimits) with every [`problem`](crate::Error::problems).
    pub fn validate(&self) -> crate::Result<()> {
        let mut problems = Vec::new();
        self.memory.check(&mut problems);
        self.cpu.check(&mut problems);
        self.io.check(&mut problems);
        self.check_names(&mut problems);
        crate::Error::of_problems(problems)
    }

    fn check_names(&self, problems: &mut Vec<Problem>) {
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= 255
                && !name.contains(['/', '\0', '\n', ' '])
                && !name.contains("..")
        };
        for (limit, sizes) in [("hugetlb", &self.hugetlb), ("hugetlb.rsvd", &self.hugetlb_reserved)]
        {
            for (size, _) in sizes.iter().filter(|(size, _)| !plain(size)) {
                problems.push(Problem::new(limit, format!("{size:?} is no size of pages")));
            }
        }
        let devices = self.rdma.iter().filter(|(name, text)| !plain(name) || text.contains('\n'));
        for (name, _) in devices {
            problems.push(Problem::new("rdma", format!("{name:?} is no device")));
        }
        for (name, _) in self.misc.iter().filter(|(name, _)| !plain(name)) {
            problems.push(Problem::new("misc", format!("{name:?} is no resource")));
        }
        for (file, text) in &self.unified {
            let of_controller = file.split_once('.').is_some_and(|(first, _)| first != "cgroup");
            let limit = of_controller
                || matches!(file.as_str(), "cgroup.max.depth" | "cgroup.max.descendants");
            if !plain(file) || !limit || text.contains('\0') {
                problems
                    .push(Problem::new("unified", format!("{file:?} is not the file of a limit")));
            }
        }
    }
}
