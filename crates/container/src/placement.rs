//! Where a container's group is: in a delegated group, or in a scope that systemd makes.
//!
//! Kernel objects: none; see `Place` of ampoule-cgroups. Invariant: a place is found by the plan, and kept by it and by
//! what it starts.

use ampoule_cgroups::{Controllers, Hierarchies, Place, Placement};

use crate::builder::Builder;

/// What statistics need besides the controllers of limits.
pub(crate) const ACCOUNTED: Controllers = Controllers::MEMORY
    .union(Controllers::CPU)
    .union(Controllers::CPUACCT)
    .union(Controllers::IO)
    .union(Controllers::PIDS);

impl Builder {
    /// Who makes the group that the container's is made in; [`Placement::Auto`] unless set.
    ///
    /// With [`Placement::Systemd`] the plan asks systemd for a transient scope, and keeps it with a small process, a
    /// child of this one, that does nothing; both are there until the plan and what it started have ended. It needs the
    /// feature `systemd`.
    #[must_use]
    pub fn cgroup_placement(mut self, placement: Placement) -> Self {
        self.cgroup_placement = placement;
        self
    }

    /// The path of the container's own group, from the top of each hierarchy, or without `/` from the place that would
    /// be found for it otherwise. The group is made for the launch and must not be there; a plan is launched once at a
    /// time.
    #[must_use]
    pub fn cgroup_path(mut self, path: impl Into<String>) -> Self {
        self.cgroup_path = Some(path.into());
        self
    }

    /// Whether it is said where the group is.
    pub(crate) fn names_group(&self) -> bool {
        self.cgroup_parent.is_some() || self.cgroup_path.is_some()
    }

    /// The group above the container's, and the name of its own, as far as they are said.
    pub(crate) fn group_path(&self) -> (Option<&str>, Option<String>) {
        let Some(path) = &self.cgroup_path else { return (self.cgroup_parent.as_deref(), None) };
        match path.trim_end_matches('/').rsplit_once('/') {
            Some(("", name)) => (Some("/"), Some(name.to_owned())),
            Some((parent, name)) => (Some(parent), Some(name.to_owned())),
            None => (None, Some(path.clone())),
        }
    }

    /// The controllers that its group has besides those of its limits.
    pub(crate) fn accounting(&self) -> Controllers {
        if self.cgroup_path.is_some() { Controllers::all() } else { ACCOUNTED }
    }

    pub(crate) fn asks_systemd(&self) -> bool {
        matches!(self.cgroup_placement, Placement::Systemd(_))
    }

    /// What is wrong with the settings of the place.
    pub(crate) fn placement_problem(&self) -> Option<&'static str> {
        let twice = self.names_group() && self.asks_systemd();
        if self.cgroup_parent.is_some() && self.cgroup_path.is_some() {
            return Some("a cgroup_path says it all: it cannot be together with a cgroup_parent");
        }
        twice.then_some("systemd chooses the group: it cannot be together with a path of one")
    }
}

/// The place for a container's group.
pub(crate) fn choose(
    hierarchies: &Hierarchies,
    builder: &Builder,
    accounting: Controllers,
) -> ampoule_cgroups::Result<Place> {
    Place::choose(hierarchies, &builder.cgroup_placement, &builder.limits, accounting)
}

/// What a report says about the place.
pub(crate) fn describe(place: &Place) -> String {
    let path = place.paths().last().map(|path| path.display().to_string()).unwrap_or_default();
    match place.unit() {
        Some(_) => format!("a group of its own in systemd's scope {path}"),
        None => format!("a group of its own below {path}"),
    }
}
