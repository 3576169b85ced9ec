//! Where a container's group is: in a delegated group, or in a scope that systemd makes.
//!
//! Kernel objects: none; see `Place` of ampoule-cgroups. Invariant: a place is found by the plan, and kept by it and by
//! what it starts.

use ampoule_cgroups::{Controllers, Hierarchies, Place, Placement};

use crate::builder::Builder;

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

    pub(crate) fn asks_systemd(&self) -> bool {
        matches!(self.cgroup_placement, Placement::Systemd(_))
    }

    /// What is wrong with the settings of the place.
    pub(crate) fn placement_problem(&self) -> Option<&'static str> {
        let twice = self.cgroup_parent.is_some() && self.asks_systemd();
        twice.then_some("systemd chooses the group: it cannot be together with a cgroup_parent")
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
