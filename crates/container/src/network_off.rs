//! Networks without the feature `net`: there are none.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ampoule_init::{Fd, Refused, Slot, Slots, Step};
use ampoule_ns::NamespaceSet;
use ampoule_overlay::File;
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::error::{Error, Problem};

/// A builder's networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Networking {}

/// What a plan knows of networks.
#[derive(Debug, Default)]
pub(crate) struct Planned {}

/// What is made for a launch.
#[derive(Debug)]
pub(crate) struct Attaching;

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct Attached(());

/// What a container that outlives its handle has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {}

impl Left {
    pub(crate) fn of(_: &Attached) -> Self {
        Self {}
    }

    pub(crate) fn take_away(&self, _: &Networking) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn plan(_: &Builder, _: &NamespaceSet, _: &mut Vec<Problem>) -> Planned {
    Planned {}
}

pub(crate) fn name_files(_: &Builder) -> Vec<File> {
    Vec::new()
}

pub(crate) fn later_file(_: &Builder) -> Option<PathBuf> {
    None
}

impl Planned {
    pub(crate) fn sysctls(&self, _: Fd) -> std::iter::Empty<Step> {
        std::iter::empty()
    }

    pub(crate) fn steps(&self, _: Fd, _: Option<Slot>, _: &mut Slots) -> Vec<Step> {
        Vec::new()
    }

    pub(crate) fn begin(&self, _: &str) -> Attaching {
        Attaching
    }
}

impl Attaching {
    pub(crate) fn attach(&mut self, _: &mut Vec<(u32, OwnedFd)>) -> Result<(), Refused> {
        Ok(())
    }

    pub(crate) fn explain(&mut self, error: Error) -> Error {
        error
    }

    pub(crate) fn attached(self) -> Attached {
        Attached::default()
    }
}

impl Attached {
    pub(crate) fn detach(&mut self) {}

    pub(crate) fn leave(&mut self) {}
}
