//! The container's control group: planned, made for each launch, asked, and removed.
//!
//! Kernel objects: one group per container, below a place that the plan opened. Invariant: limits that were asked for
//! are in force or the launch fails; a launch that fails leaves no group.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use ampoule_cgroups::events::Above;
use ampoule_cgroups::limits::devices::container_rules;
use ampoule_cgroups::limits::{CpuMax, IoDevice};
use ampoule_cgroups::{
    Bytes, Controllers, Cpus, DeviceRule, Group, GroupPath, Hierarchies, Life, Limits, Max,
    Membership, NumberList, Place, Shape, Weight, owned_name, sweep,
};
use ampoule_init::{Fd, Step};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::container::OnDrop;
use crate::error::{Error, Stage};
use crate::levels::LeftOut;
use crate::placement::ACCOUNTED;
use crate::report::Control;

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

    /// Whether it has a control group of its own also without limits: to be counted, paused, killed as a whole.
    #[must_use]
    pub fn own_group(mut self, own_group: OwnGroup) -> Self {
        self.own_group = own_group;
        self
    }

    /// The container's name, which is part of its group's; otherwise one is made. Letters, digits, `.`, `-`, `_` and
    /// `+`, a letter or digit first, at most 128. Containers of one process that run at the same time have different
    /// ones: see [`Launch::id`](crate::Launch::id).
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Where the container's group is made: a path from the top of each hierarchy, or without `/` from the caller's own
    /// group. Otherwise a place is found ([`Builder::cgroup_placement`]).
    #[must_use]
    pub fn cgroup_parent(mut self, path: impl Into<String>) -> Self {
        self.cgroup_parent = Some(path.into());
        self
    }
}

/// Which containers have a control group of their own (cgroups(7)), and how much is counted in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnGroup {
    /// Those with limits or a `cgroup_parent`.
    WithLimits,
    /// Every one, where the caller may make groups; the report says where it may not. A container without limits has
    /// it in the caller's own group, and in one hierarchy (the v2 one, where there is one): it can be paused and killed
    /// as a whole, and what that hierarchy counts is counted. A detached one ([`OnDrop::Detach`]) has none, because
    /// nobody would remove it.
    #[default]
    WherePossible,
    /// Also without limits where those with limits are, so that everything is counted, a network of its own until the
    /// end ([`Resources::network`](crate::Resources::network)) too; where that is not possible, as
    /// [`OwnGroup::WherePossible`].
    Counted,
    /// As [`OwnGroup::Counted`]; where that is not possible, nothing starts.
    Always,
}

/// Where and with what limits groups are made.
#[derive(Debug)]
pub(crate) struct GroupPlan {
    place: SharedPlace,
    limits: Limits,
    shape: Shape,
    kind: Kind,
    /// What it counts, or rather where it is besides its limits.
    accounting: Controllers,
    /// The name that was asked for; otherwise each launch makes one.
    name: Option<String>,
}

/// What a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Limits, a parent, or that everything is counted.
    Asked,
    /// Nothing was asked for.
    Default,
}

/// A place, opened again where its directories were removed meanwhile.
type SharedPlace = Arc<Mutex<Place>>;

/// What was found out about the group.
#[derive(Debug)]
pub(crate) enum Grouping {
    /// It is made for each launch.
    Planned(Box<GroupPlan>),
    /// It cannot be made.
    NotPossible(ampoule_cgroups::Error),
    /// The container outlives its handle, so that nobody would remove a group that was not asked for.
    Detached,
    /// It is not wanted.
    Off,
}

impl Grouping {
    /// The plan, if there is one.
    pub(crate) fn plan(&self) -> Option<&GroupPlan> {
        match self {
            Self::Planned(plan) => Some(plan),
            Self::NotPossible(_) | Self::Detached | Self::Off => None,
        }
    }
}

/// The plan of a group.
pub(crate) fn prepare(builder: &Builder, left_out: &mut Vec<LeftOut>) -> Result<Grouping, Error> {
    let limited = !builder.limits.is_empty() || builder.names_group();
    let limited = limited || builder.asks_systemd();
    let optional = match limited {
        true => builder.best_effort.contains(&Control::Limits),
        false => builder.own_group != OwnGroup::Always,
    };
    if limited || matches!(builder.own_group, OwnGroup::Counted | OwnGroup::Always) {
        match find(builder) {
            Ok(plan) => return Ok(Grouping::Planned(Box::new(plan))),
            Err(error) if !optional => return Err(Error::from_cgroups(Stage::Plan, error)),
            Err(error) if limited => left_out.push((Control::Limits, error.to_string())),
            Err(_) => {}
        }
    }
    if builder.own_group == OwnGroup::WithLimits {
        return Ok(Grouping::Off);
    }
    if builder.on_drop == OnDrop::Detach {
        return Ok(Grouping::Detached);
    }
    Ok(match find_default() {
        Ok(plan) => Grouping::Planned(Box::new(plan)),
        Err(error) => Grouping::NotPossible(error),
    })
}

fn find(builder: &Builder) -> ampoule_cgroups::Result<GroupPlan> {
    static SWEPT: Once = Once::new();
    // What is wrong with the settings is said first, whatever the machine has.
    builder.limits.validate()?;
    let (parent, name) = builder.group_path();
    let parent = parent.map(group_path).transpose()?;
    // The last part of a path has to be a name, too.
    name.as_deref().map(GroupPath::new).transpose()?;
    let hierarchies = Hierarchies::detect()?;
    let place = match &parent {
        Some(path) => Place::open(&hierarchies, path)?,
        None => swept(crate::placement::choose(&hierarchies, builder, ACCOUNTED)?, &SWEPT),
    };
    let limits = builder.limits.clone();
    let accounting = builder.accounting();
    let shape = Group::shape(&place, &limits, accounting)?;
    let place = Arc::new(Mutex::new(place));
    Ok(GroupPlan { place, limits, shape, kind: Kind::Asked, accounting, name })
}

/// A path, which may be the top.
fn group_path(path: &str) -> ampoule_cgroups::Result<GroupPath> {
    if path == "/" { Ok(GroupPath::top()) } else { GroupPath::new(path) }
}

/// The group of a container without limits; all plans of the process share the place while one of them lives.
fn find_default() -> ampoule_cgroups::Result<GroupPlan> {
    static SHARED: Mutex<Weak<Mutex<Place>>> = Mutex::new(Weak::new());
    static SWEPT: Once = Once::new();
    let mut shared = locked(&SHARED);
    let place = match shared.upgrade() {
        Some(place) => place,
        None => {
            let place = swept(within()?, &SWEPT);
            let place = Arc::new(Mutex::new(place));
            *shared = Arc::downgrade(&place);
            place
        }
    };
    drop(shared);
    let limits = Limits::default();
    let accounting = ACCOUNTED;
    let shape = Group::shape(&locked(&place), &limits, accounting)?;
    Ok(GroupPlan { place, limits, shape, kind: Kind::Default, accounting, name: None })
}

/// The place in the own group. Where the hierarchies are mounted is looked up once, and again where it is no longer true.
fn within() -> ampoule_cgroups::Result<Place> {
    static KNOWN: Mutex<Option<Hierarchies>> = Mutex::new(None);
    let mut known = locked(&KNOWN);
    let place = known.as_ref().filter(|known| known.is_current()).map(Place::within);
    if let Some(Ok(place)) = place {
        return Ok(place);
    }
    Place::within(known.insert(Hierarchies::detect()?))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clears once what ended programs left: nobody else does.
fn swept(place: Place, once: &Once) -> Place {
    once.call_once(|| drop(sweep(&place)));
    place
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

    /// Whether limits were asked for.
    pub(crate) fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// What a report says.
    pub(crate) fn describe(&self) -> String {
        let place = locked(&self.place);
        let text = crate::placement::describe(&place);
        match (self.kind, place.controllers().is_empty()) {
            (Kind::Default, true) => format!("{text}, without controllers: nothing is limited"),
            _ => text,
        }
    }

    /// That of a group that is there, for processes that join it.
    pub(crate) fn of(group: &Group) -> Result<Self, Error> {
        let membership = group.membership();
        let membership = membership.map_err(|error| Error::from_cgroups(Stage::Running, error))?;
        let place = Arc::new(Mutex::new(group.place().clone()));
        let (limits, shape) = (Limits::default(), membership.shape());
        Ok(Self { place, limits, shape, kind: Kind::Asked, accounting: ACCOUNTED, name: None })
    }

    /// The directories in which groups are made.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        locked(&self.place).paths().map(PathBuf::from).collect()
    }

    /// The name that the builder gives it.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What helps when a limit cannot be changed.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        (self.kind == Kind::Default).then_some("ask for a limit when it is started")
    }

    /// Makes the group of one launch.
    pub(crate) fn make(
        &self,
        id: &str,
        on_drop: OnDrop,
        name: Option<&str>,
    ) -> Result<Made, Error> {
        let life = match on_drop {
            OnDrop::Kill => Life::WithOwner,
            OnDrop::Detach => Life::Detached,
        };
        let failed = |error: ampoule_cgroups::Error| {
            let taken = error.kind() == ampoule_cgroups::ErrorKind::AlreadyExists;
            let error = Error::from_cgroups(Stage::Launch, error);
            let hint = "a container with this id runs: give each launch its own (Launch::id)";
            if taken { error.with_hint(hint) } else { error }
        };
        let name = match name.or(self.name.as_deref()) {
            Some(name) => name.to_owned(),
            None => owned_name(Some(id), life).map_err(failed)?,
        };
        let place = locked(&self.place).clone();
        let made = Group::create_in(&place, &name, &self.limits, self.accounting);
        let group = made.map_err(failed)?;
        *locked(&self.place) = group.place().clone();
        match group.membership() {
            Ok(membership) => {
                let above = group.above();
                Ok(Made { group: Some(group), above, membership })
            }
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
    pub(crate) group: Option<Group>,
    above: Above,
    membership: Membership,
}

impl Made {
    /// The descriptors of the launch, in the order of the steps.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.membership.joins.iter().chain(&self.membership.group).map(AsFd::as_fd)
    }

    /// Hands the group over.
    pub(crate) fn keep(mut self) -> Option<(Group, Above)> {
        self.group.take().map(|group| (group, std::mem::take(&mut self.above)))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Its processes have ended with the launch.
        let _left = self.group.as_ref().is_some_and(|group| group.remove().is_err());
    }
}
