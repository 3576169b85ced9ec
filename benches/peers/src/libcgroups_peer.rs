//! youki's libcgroups as a contender of `bench-cgroups`.
//!
//! Touches what it touches. Invariant: the directories that it makes only together with a process are made here, the
//! same as ours, so that its rows mean the same as the others.

use std::fs;
use std::path::{Path, PathBuf};

use ampoule_benches::cgroups::contender::{Contender, Group, Usage};
use ampoule_benches::cgroups::hierarchy::{Hierarchies, Hierarchy, Version};
use ampoule_benches::cgroups::limits;
use ampoule_benches::cgroups::worker::Assignment;
use ampoule_benches::failure::Failure;
use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager,
};
use nix::unistd::Pid;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

/// Makes groups with a cgroup manager each.
pub(crate) struct Libcgroups {
    /// The directory of the run, from the top.
    place: PathBuf,
    /// The same in each hierarchy.
    places: Vec<PathBuf>,
    resources: LinuxResources,
}

impl Libcgroups {
    /// Uses the directories that ours has, and `devices`, without which it takes no limits on v1.
    pub(crate) fn new(hierarchies: &Hierarchies, assignment: &Assignment) -> Result<Self, Failure> {
        let has_v1 = hierarchies.iter().any(|used| used.version == Version::V1);
        let is_used = |used: &&Hierarchy| match used.version {
            Version::V1 => assignment.work.directories.contains(&used.name) || used.has("devices"),
            Version::V2 => !has_v1,
        };
        let places = hierarchies.iter().filter(is_used).map(|used| used.place.clone()).collect();
        let place = Path::new("/").join(&assignment.place);
        Ok(Self { place, places, resources: resources()? })
    }
}

/// The limits in OCI's terms.
fn resources() -> Result<LinuxResources, Failure> {
    let signed = |number: u64| i64::try_from(number).map_err(Failure::reported);
    let memory = LinuxMemoryBuilder::default()
        .limit(signed(limits::MEMORY_MAX)?)
        .swap(signed(limits::MEMORY_AND_SWAP_MAX)?)
        .build()
        .map_err(Failure::reported)?;
    let cpu = LinuxCpuBuilder::default()
        .quota(signed(limits::CPU_QUOTA)?)
        .period(limits::CPU_PERIOD)
        .shares(limits::CPU_SHARES)
        .build()
        .map_err(Failure::reported)?;
    let pids = LinuxPidsBuilder::default().limit(signed(limits::PIDS_MAX)?).build();
    LinuxResourcesBuilder::default()
        .memory(memory)
        .cpu(cpu)
        .pids(pids.map_err(Failure::reported)?)
        .build()
        .map_err(Failure::reported)
}

impl Contender for Libcgroups {
    fn create(&self, name: &str) -> Result<Box<dyn Group>, Failure> {
        let config = CgroupConfig {
            cgroup_path: self.place.join(name),
            systemd_cgroup: false,
            container_name: name.to_owned(),
        };
        let manager = create_cgroup_manager(config).map_err(Failure::reported)?;
        for place in &self.places {
            let directory = place.join(name);
            fs::create_dir(&directory).map_err(Failure::file("create", &directory))?;
        }
        let limits = ControllerOpt {
            resources: &self.resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        manager.apply(&limits).map_err(Failure::reported)?;
        Ok(Box::new(LibcgroupsGroup(manager)))
    }
}

/// A group of it.
struct LibcgroupsGroup(AnyCgroupManager);

impl Group for LibcgroupsGroup {
    fn stat(&self) -> Result<Usage, Failure> {
        let stats = self.0.stats().map_err(Failure::reported)?;
        Ok(Usage { memory: stats.memory.memory.usage, processes: stats.pids.current })
    }

    fn add(&self, process: u32) -> Result<(), Failure> {
        let process = i32::try_from(process).map_err(Failure::reported)?;
        self.0.add_task(Pid::from_raw(process)).map_err(Failure::reported)
    }

    fn remove(self: Box<Self>) -> Result<(), Failure> {
        self.0.remove().map_err(Failure::reported)
    }
}
