//! Ampoule's crate as a contender.
//!
//! Invariant: the place is opened once, before the first group, as a program does; the limits are data that is checked
//! and translated anew for each group.

use std::path::Path;

use ampoule_cgroups::limits::CpuMax;
use ampoule_cgroups::{
    Bytes, Controllers, Error, GroupPath, Hierarchies, Limits, Max, Micros, Place, Weight,
};

use super::contender::{Contender, Group, Usage};
use super::{limits, start};
use crate::contender::Contender as Starter;
use crate::failure::Failure;

/// What the statistics of a container are about besides the controllers of its limits.
const ACCOUNTED: Controllers = Controllers::CPUACCT.union(Controllers::IO);

/// Makes groups with `Group::create`.
struct Ours {
    path: String,
    place: Place,
    limits: Limits,
}

/// Opens the directories `place` at the top of the hierarchies, and makes the limits.
///
/// # Errors
/// Whatever the crate reports.
pub fn contender(place: &str) -> Result<Box<dyn Contender>, Failure> {
    let path = format!("/{place}");
    let hierarchies = Hierarchies::detect().map_err(reported)?;
    let place = GroupPath::new(path.as_str()).and_then(|path| Place::open(&hierarchies, &path));
    let (place, limits) = (place.map_err(reported)?, limits().map_err(reported)?);
    Ok(Box::new(Ours { path, place, limits }))
}

/// The limits as the crate has them.
///
/// # Errors
/// Whatever the crate reports.
pub fn limits() -> Result<Limits, Error> {
    let mut all = Limits::default();
    all.memory.max = Some(Bytes::new(limits::MEMORY_MAX).into());
    all.memory.swap_max = Some(Bytes::new(limits::MEMORY_AND_SWAP_MAX - limits::MEMORY_MAX).into());
    let quota = Micros::new(limits::CPU_QUOTA).into();
    all.cpu.max = Some(CpuMax { quota, period: Micros::new(limits::CPU_PERIOD) });
    all.cpu.weight = Some(Weight::new(limits::CPU_WEIGHT)?);
    all.pids_max = Some(Max::Limit(limits::PIDS_MAX));
    Ok(all)
}

/// An error of the library as the harness carries it.
fn reported(error: Error) -> Failure {
    Failure::reported(error)
}

impl Contender for Ours {
    fn starter(&self, rootfs: &Path, _prefix: &str) -> Result<Box<dyn Starter>, Failure> {
        let builder =
            crate::ours::builder(start::configuration(), rootfs).limits(self.limits.clone());
        crate::ours::launches(builder.cgroup_parent(&self.path))
    }

    fn create(&self, name: &str) -> Result<Box<dyn Group>, Failure> {
        let group = ampoule_cgroups::Group::create_in(&self.place, name, &self.limits, ACCOUNTED);
        Ok(Box::new(group.map_err(reported)?))
    }
}

impl Group for ampoule_cgroups::Group {
    fn stat(&self) -> Result<Usage, Failure> {
        let stats = ampoule_cgroups::Group::stat(self).map_err(reported)?;
        let (memory, processes) = (stats.memory.current, stats.pids.current);
        Ok(Usage { memory: memory.unwrap_or(0), processes: processes.unwrap_or(0) })
    }

    fn add(&self, process: u32) -> Result<(), Failure> {
        ampoule_cgroups::Group::add(self, process).map_err(reported)
    }

    fn remove(self: Box<Self>) -> Result<(), Failure> {
        ampoule_cgroups::Group::remove(&self).map_err(reported)
    }
}
