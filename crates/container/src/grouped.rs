//! What the handle does through the container's control group.
//!
//! Kernel objects: the group of one container. Invariant: the group goes with the container.

use ampoule_cgroups::{Group, Limits};

use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};
use crate::exit::Outcome;
use crate::group::GroupPlan;
use crate::network_at_end;
use crate::resources::Resources;

impl Container {
    /// Changes limits while it runs; those that are not named stay.
    ///
    /// # Errors
    /// [`ErrorKind::Limits`], [`ErrorKind::InvalidSettings`]; then nothing has changed.
    pub fn update(&self, limits: &Limits) -> Result<(), Error> {
        self.grouped()?.update(limits).map_err(|error| {
            let missing = error.kind() == ampoule_cgroups::ErrorKind::MissingController;
            let error = Error::from_cgroups(Stage::Running, error);
            let plan = self.plan.settings.group.plan();
            match plan.and_then(GroupPlan::hint).filter(|_| missing) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    }

    /// Stops all processes where they are until [`Container::resume`].
    ///
    /// # Errors
    /// [`ErrorKind::Limits`].
    pub fn pause(&self) -> Result<(), Error> {
        let _nobody_joins = self.joined.pausing();
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

    pub(crate) fn grouped(&self) -> Result<&Group, Error> {
        self.group.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Limits, Stage::Running)
                .about("the container has no control group".to_owned())
                .with_hint("the report says why; OwnGroup::Always makes it an error")
        })
    }

    /// Reads what the group counted, and removes it; everything in it has ended.
    pub(crate) fn close_group(&mut self) {
        let network = self.network.take().and_then(|file| network_at_end::read(&file));
        let Some(group) = self.group.take() else {
            self.ended = self
                .ended
                .take()
                .map(|status| status.with_resources(Resources { network, ..Resources::default() }));
            return;
        };
        if let Some(status) = self.ended.take() {
            let counted = Resources::of(&group, &self.above).unwrap_or_default();
            let resources = Resources { network, ..counted };
            let killed = matches!(status.outcome(), Outcome::Signaled { signal: 9, .. });
            let oom = killed && resources.oom_kills > 0;
            let status = status.with_resources(resources);
            self.ended = Some(if oom { status.with_outcome(Outcome::OutOfMemory) } else { status });
        }
        end_group(group);
    }
}

/// Ends what is left in a group and removes it; `sweep` does it later where that fails.
pub(crate) fn end_group(group: Group) {
    let _left = group.end().is_err();
}
