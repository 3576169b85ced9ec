//! The ruleset of processes that join a container.
//!
//! Kernel objects: the ruleset of the plan or of the launch, by descriptor. Invariant: no process that joins may do what
//! the payload may not; a ruleset is never built again from paths that the container could have changed.

use std::os::fd::OwnedFd;

use crate::container::Container;
use crate::error::{Error, ErrorKind, Stage};

impl Container {
    /// A descriptor of the ruleset, if there are rules.
    pub(crate) fn ruleset(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(rules) = &self.plan.settings.landlock else { return Ok(None) };
        let kept = rules.ruleset.as_ref().or(self.ruleset.as_ref());
        let kept = kept.ok_or_else(|| {
            // A reopened container: the host's files of the same names may be others.
            Error::new(ErrorKind::Unsupported, Stage::Launch)
                .about("the ruleset of Landlock went with the process that started the container")
        })?;
        let copy = kept.try_clone().map_err(|error| Error::io(Stage::Launch, "dup", &error))?;
        Ok(Some(ampoule_init::above_stdio(copy)?))
    }
}
