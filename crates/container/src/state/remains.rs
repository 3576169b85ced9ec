//! What is left of a container whose file cannot be used: it is of another version, or a part of it is not as this one has it.
//!
//! Kernel objects: its first process, its group. Invariant: only a part that can be read whole is believed, and as far as
//! the kernel confirms it.

use std::time::{Duration, Instant};

use ampoule_cgroups::Group;
use ampoule_init::process::{self, wait_readable};
use rustix::io::Errno;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::container::END_LIMIT;
use crate::error::{Error, ErrorKind, Stage};
use crate::state::record::{Grouped, Process};
use crate::state::reopen;

/// What there is to be ended.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    boot: String,
    init: Option<Process>,
    group: Option<Grouped>,
}

impl Remains {
    /// Each part as far as a file says it.
    pub(crate) fn of(text: &[u8]) -> Self {
        fn part<T: DeserializeOwned + Default>(all: &Value, name: &str) -> T {
            let found = all.get(name).cloned().unwrap_or_default();
            serde_json::from_value(found).unwrap_or_default()
        }
        let all: Value = serde_json::from_slice(text).unwrap_or_default();
        Self { boot: part(&all, "boot"), init: part(&all, "init"), group: part(&all, "group") }
    }

    /// Kills its processes and removes its group.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let init = reopen::init(self.init, &self.boot)?;
        let failed = |error: std::io::Error| Error::io(Stage::Running, "kill", &error);
        if let Some(init) = &init {
            process::signal(init, Signal::KILL).map_err(failed)?;
        }
        if let Some(group) = reopen::group(self.group.as_ref())? {
            // On v1 a frozen process ends only then; one that has no freezer is not frozen.
            drop(group.thaw());
            group.kill().map_err(|error| Error::from_cgroups(Stage::Running, error))?;
        }
        if let Some(init) = &init
            && !wait_readable(init, Some(Instant::now() + END_LIMIT)).map_err(failed)?
        {
            return Err(Error::new(ErrorKind::NotEnding, Stage::Running));
        }
        end_group(self.group.as_ref())
    }
}

/// Removes a group with what is still in it, if it is there.
pub(crate) fn end_group(grouped: Option<&Grouped>) -> Result<(), Error> {
    remove(reopen::group(grouped)?, grouped)
}

/// As [`end_group`], of a group that was opened for it.
pub(crate) fn remove(mut group: Option<Group>, grouped: Option<&Grouped>) -> Result<(), Error> {
    let deadline = Instant::now() + END_LIMIT;
    while let Some(found) = group {
        match found.end() {
            Ok(()) => break,
            Err(error)
                if error.errno() == Some(Errno::BUSY.raw_os_error())
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(1));
                group = reopen::group(grouped)?;
            }
            Err(error) => return Err(Error::from_cgroups(Stage::Running, error)),
        }
    }
    Ok(())
}
