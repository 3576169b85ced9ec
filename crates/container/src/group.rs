//! The container's control group: planned, made for each launch, asked, and removed.
//!
//! Kernel objects: one group per container, below a place that the plan opened. Invariant: limits that were asked for
//! are in force or the launch fails; a launch that fails leaves no group.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ampoule_cgroups::limits::devices::container_rules;
use ampoule_cgroups::limits::{CpuMax, IoDevice};
use ampoule_cgroups::{
    Bytes, Controllers, Cpus, DeviceRule, Group, GroupPath, Hierarchies, Life, Limits, Max,
    Membership, NumberList, Place, Shape, Stats, Weight, owned_name,
};
use ampoule_init::{Fd, Step};

use crate::builder::Builder;
use crate::container::{Container, OnDrop};
use crate::error::{Error, ErrorKind, Stage};
use crate::exit::Outcome;
use crate::levels::LeftOut;
use crate::report::Control;

/// What statistics need besides the controllers of limits.
const ACCOUNTED: Controllers = Controllers::MEMORY
    .union(Controllers::CPU)
    .union(Controllers::CPUACCT)
    .union(Controllers::PIDS);

impl Builder {
    /// The most memory that all processes together may use (`memory.max`); above it they are killed.
    #[must_use]
    pub fn memory_max(mut self, max: impl Into<Bytes>) -> Self {
        self.limits.memory.max = Some(Max::Limit(max.into()));
        self
    }

    /// CPU time as a number of CPUs, such as `"0.5".parse()?` (`cpu.max`).
    #[must_use]
    pub fn cpus(mut self, cpus: Cpus) -> Self {
        self.limits.cpu.max = Some(CpuMax::from(cpus));
        self
    }

    /// The most processes and threads (`pids.max`).
    #[must_use]
    pub fn pids_max(mut self, max: u64) -> Self {
        self.limits.pids_max = Some(Max::Limit(max));
        self
    }

    /// Which CPUs its processes may run on (`cpuset.cpus`).
    #[must_use]
    pub fn cpuset(mut self, cpus: NumberList) -> Self {
        self.limits.cpuset.cpus = Some(cpus);
        self
    }

    /// Limits of one block device: `IoDevice::at("/dev/vda")?.read_bps(Bytes::mib(10))` (`io.max`, `io.weight`,
    /// `io.latency`). Each device is named once.
    #[must_use]
    pub fn io(mut self, device: IoDevice) -> Self {
        self.limits.io.devices.push(device);
        self
    }

    /// Its share of every block device among siblings, 100 unless it is said (`io.weight`).
    #[must_use]
    pub fn io_weight(mut self, weight: Weight) -> Self {
        self.limits.io.weight = Some(weight);
        self
    }

    /// No device node can be opened but those of these rules and those that every container needs
    /// ([`container_rules`]); without rules the nodes of `/dev` are what there is.
    ///
    /// For each kind of access the last rule that is about the device decides.
    #[must_use]
    pub fn devices(mut self, rules: impl IntoIterator<Item = DeviceRule>) -> Self {
        if self.limits.devices.is_empty() {
            self.limits.devices = container_rules();
        }
        self.limits.devices.extend(rules);
        self
    }

    /// All limits; those that were set before are replaced.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the container's group is made: a path from the top of each hierarchy, or without `/` from the caller's own
    /// group. Otherwise a place is found ([`Place::find`]).
    #[must_use]
    pub fn cgroup_parent(mut self, path: impl Into<String>) -> Self {
        self.cgroup_parent = Some(path.into());
        self
    }
}

/// Where and with what limits groups are made.
#[derive(Debug)]
pub(crate) struct GroupPlan {
    place: Place,
    limits: Limits,
    shape: Shape,
}

/// The plan of a group, if limits were asked for.
pub(crate) fn prepare(
    builder: &Builder,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<GroupPlan>, Error> {
    if builder.limits.is_empty() && builder.cgroup_parent.is_none() {
        return Ok(None);
    }
    match find(builder) {
        Ok(plan) => Ok(Some(plan)),
        Err(error) if builder.best_effort.contains(&Control::Limits) => {
            left_out.push((Control::Limits, error.to_string()));
            Ok(None)
        }
        Err(error) => Err(Error::from_cgroups(Stage::Plan, error)),
    }
}

fn find(builder: &Builder) -> ampoule_cgroups::Result<GroupPlan> {
    // What is wrong with the settings is said first, whatever the machine has.
    builder.limits.validate()?;
    let parent = builder.cgroup_parent.as_ref().map(|path| GroupPath::new(path.as_str()));
    let parent = parent.transpose()?;
    let hierarchies = Hierarchies::detect()?;
    let place = match &parent {
        Some(path) => Place::open(&hierarchies, path)?,
        None => Place::find(&hierarchies)?,
    };
    let limits = builder.limits.clone();
    let shape = Group::shape(&place, &limits, ACCOUNTED)?;
    Ok(GroupPlan { place, limits, shape })
}

impl GroupPlan {
    /// The launcher's steps that join the v1 groups; their descriptors stand at `first` and after it in the launch.
    pub(crate) fn joins(&self, first: usize) -> Vec<Step> {
        (first..first + self.shape.joins).map(|at| ampoule_cgroups::join(fd(at))).collect()
    }

    /// The group that the first process is cloned into.
    pub(crate) fn target(&self, first: usize) -> Option<Fd> {
        self.shape.group.then(|| fd(first + self.shape.joins))
    }

    /// What a report says.
    pub(crate) fn describe(&self) -> String {
        let place = self.place.paths().last().map(|path| path.display().to_string());
        format!("a group of its own below {}", place.unwrap_or_default())
    }

    /// Makes the group of one launch.
    pub(crate) fn make(&self, on_drop: OnDrop) -> Result<Made, Error> {
        let life = match on_drop {
            OnDrop::Kill => Life::WithOwner,
            OnDrop::Detach => Life::Detached,
        };
        let failed = |error| Error::from_cgroups(Stage::Launch, error);
        let name = owned_name(None, life).map_err(failed)?;
        let group = Group::create(&self.place, &name, &self.limits, ACCOUNTED).map_err(failed)?;
        match group.membership() {
            Ok(membership) => Ok(Made { group: Some(group), membership }),
            Err(error) => {
                // The first error is the one to tell; the group is empty.
                let _kept = group.remove().is_err();
                Err(failed(error))
            }
        }
    }
}

fn fd(at: usize) -> Fd {
    Fd::Launch(u16::try_from(at).unwrap_or(u16::MAX))
}

/// A group under way to a container; dropping it removes the group.
#[derive(Debug)]
pub(crate) struct Made {
    group: Option<Group>,
    membership: Membership,
}

impl Made {
    /// The descriptors of the launch, in the order of the steps.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.membership.joins.iter().chain(&self.membership.group).map(AsFd::as_fd)
    }

    /// Hands the group over.
    pub(crate) fn keep(mut self) -> Option<Group> {
        self.group.take()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Its processes have ended with the launch.
        let _left = self.group.as_ref().is_some_and(|group| group.remove().is_err());
    }
}

/// What a container's group counted until the end (`ExitStatus::resources`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resources {
    /// The most memory that was used at once (`memory.peak`, since Linux 5.19; v1 `memory.max_usage_in_bytes`).
    pub memory_peak: Option<Bytes>,
    /// CPU time of all processes, also of those that nobody waited for.
    pub cpu: Option<Duration>,
    /// How long processes had to wait because the quota was used up.
    pub throttled: Option<Duration>,
    /// How many processes were killed for want of memory.
    pub oom_kills: u64,
    /// Whose limit it was.
    pub oom_by: Option<LimitOf>,
}

/// Whose memory limit killed a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOf {
    /// The container's own.
    Container,
    /// That of a group above it, or the whole machine's memory.
    Ancestor,
}

impl Resources {
    fn of(stats: &Stats) -> Self {
        let memory = &stats.memory;
        let oom_kills = memory.events.oom_kill.unwrap_or(0);
        // v1 has no local events; its count of failures is the own limit's.
        let own = memory.events_local.oom.or(memory.events.oom).or(memory.events.max);
        let by = if own.unwrap_or(0) > 0 { LimitOf::Container } else { LimitOf::Ancestor };
        Self {
            memory_peak: memory.peak.map(Bytes::new),
            cpu: stats.cpu.usage,
            throttled: stats.cpu.throttled,
            oom_kills,
            oom_by: (oom_kills > 0).then_some(by),
        }
    }
}

/// One line: what was used, as far as it was counted.
impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak = self.memory_peak.map_or("?".to_owned(), |bytes| bytes.to_string());
        let (cpu, throttled) = (self.cpu.unwrap_or_default(), self.throttled.unwrap_or_default());
        write!(out, "memory peak {peak}, CPU time {cpu:.3?}, throttled {throttled:.3?}")?;
        match self.oom_by {
            Some(LimitOf::Container) => write!(out, ", {} killed at the own limit", self.oom_kills),
            Some(LimitOf::Ancestor) => {
                write!(out, ", {} killed at the limit of a group above", self.oom_kills)
            }
            None => Ok(()),
        }
    }
}

impl Container {
    /// What the container uses now.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`] without a group (no limits were asked for), or when it has ended.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.grouped()?.stat().map_err(|error| Error::from_cgroups(Stage::Running, error))
    }

    /// Changes limits while it runs; those that are not named stay.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`], [`ErrorKind::InvalidSettings`]; then nothing has changed.
    pub fn update(&self, limits: &Limits) -> Result<(), Error> {
        let result = self.grouped()?.update(limits);
        result.map_err(|error| Error::from_cgroups(Stage::Running, error))
    }

    /// Stops all processes where they are until [`Container::resume`].
    ///
    /// # Errors
    /// [`ErrorKind::Limits`].
    pub fn pause(&self) -> Result<(), Error> {
        self.grouped()?.freeze().map_err(|error| Error::from_cgroups(Stage::Running, error))
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`].
    pub fn resume(&self) -> Result<(), Error> {
        self.grouped()?.thaw().map_err(|error| Error::from_cgroups(Stage::Running, error))
    }

    /// The container's control group, if it has one.
    #[must_use]
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    fn grouped(&self) -> Result<&Group, Error> {
        self.group.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Limits, Stage::Running)
                .about("the container has no control group".to_owned())
                .with_hint("ask for a limit, or for a cgroup_parent")
        })
    }

    /// Reads what the group counted, and removes it; everything in it has ended.
    pub(crate) fn close_group(&mut self) {
        let Some(group) = self.group.take() else { return };
        if let (Some(status), Ok(stats)) = (self.ended, group.stat()) {
            let resources = Resources::of(&stats);
            let killed = matches!(status.outcome(), Outcome::Signaled { signal: 9, .. });
            let status = status.with_resources(resources);
            let oom = killed && resources.oom_kills > 0;
            self.ended = Some(if oom { status.with_outcome(Outcome::OutOfMemory) } else { status });
        }
        self.drop_group(&group);
    }

    /// Ends what is left in the group and removes it; `reconcile` does it later where that fails.
    pub(crate) fn drop_group(&self, group: &Group) {
        let _left = group.kill().and_then(|()| group.remove()).is_err();
    }
}
