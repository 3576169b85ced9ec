//! What a group counted in all: the few numbers that an end is reported with.
//!
//! Kernel objects: one or two files of each controller. Invariant: `memory.stat`, for which the kernel collects the
//! counts of all processors, is not read.

use std::time::Duration;

use super::files::{Dir, Files};
use super::{Cpu, Io, MemoryEvents, keyed};
use crate::controller::Controller;
use crate::error::Result;

/// What a group counted from when it was made, with all groups below it; see [`Group::totals`](crate::Group::totals).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// The most bytes of memory at once (`memory.peak`, since Linux 5.19; v1 `memory.max_usage_in_bytes`).
    pub memory_peak: Option<u64>,
    /// Processes that were killed for want of memory (`memory.events`; v1 `memory.oom_control`).
    pub oom_kills: Option<u64>,
    /// Processor time (`cpu.stat`, which v2 has without a controller too; v1 `cpuacct.usage`).
    pub cpu: Option<Duration>,
    /// How long processes had to wait because the quota was used up (`cpu.stat`).
    pub throttled: Option<Duration>,
    /// The most processes and threads at once (`pids.peak`, since Linux 6.1).
    pub pids_peak: Option<u64>,
    /// What was transferred, all devices together (`io.stat`; v1 `blkio.throttle.io_service_bytes_recursive`).
    pub io: super::IoDevice,
}

/// Reads them; `dir` as for [`read()`](super::read()).
pub(crate) fn read<'a>(
    files: &mut Files,
    dir: &dyn Fn(Controller) -> Option<Dir<'a>>,
) -> Result<Totals> {
    let mut totals = Totals::default();
    if let Some(dir) = dir(Controller::Memory) {
        let [peak, events] = match dir {
            Dir::V1(_) => ["memory.max_usage_in_bytes", "memory.oom_control"],
            Dir::V2(_) => ["memory.peak", "memory.events"],
        };
        totals.memory_peak = files.read(dir, peak)?.and_then(keyed::single);
        let events = files.read(dir, events)?.map(MemoryEvents::parse);
        totals.oom_kills = events.and_then(|events| events.oom_kill);
    }
    read_cpu(files, dir, &mut totals)?;
    if let Some(dir) = dir(Controller::Pids) {
        totals.pids_peak = files.read(dir, "pids.peak")?.and_then(keyed::single);
    }
    let io = match dir(Controller::Io) {
        Some(dir @ Dir::V2(_)) => files.read(dir, "io.stat")?.map(Io::parse),
        Some(dir @ Dir::V1(_)) => files
            .read(dir, "blkio.throttle.io_service_bytes_recursive")?
            .map(|bytes| Io::parse_v1(bytes, "")),
        None => None,
    };
    totals.io = io.unwrap_or_default().total();
    Ok(totals)
}

/// On v1 the waiting is one controller's, the time another's, or that of a v2 directory beside.
fn read_cpu<'a>(
    files: &mut Files,
    dir: &dyn Fn(Controller) -> Option<Dir<'a>>,
    totals: &mut Totals,
) -> Result<()> {
    let mut stat = |dir| files.read(dir, "cpu.stat").map(|text| text.map(Cpu::parse));
    let cpu = dir(Controller::Cpu).map(&mut stat).transpose()?.flatten().unwrap_or_default();
    (totals.cpu, totals.throttled) = (cpu.usage, cpu.throttled);
    totals.cpu = match dir(Controller::CpuAcct).filter(|_| cpu.usage.is_none()) {
        Some(dir @ Dir::V2(_)) => stat(dir)?.and_then(|cpu| cpu.usage),
        Some(dir @ Dir::V1(_)) => {
            files.read(dir, "cpuacct.usage")?.and_then(keyed::single).map(Duration::from_nanos)
        }
        None => totals.cpu,
    };
    Ok(())
}
