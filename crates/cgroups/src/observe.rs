//! Looking at a group: statistics, events, pressure; and the device program, which is no file.
//!
//! Kernel objects: files of the group in each of its hierarchies, opened for one call. Invariant: no descriptor is kept
//! but those of a stream.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::controller::{Controller, Controllers};
use crate::error::Result;
use crate::events::EventStream;
use crate::group::Group;
use crate::limits::Limits;
use crate::place::Dir;
use crate::pressure::{Pressure, PressureWatch, Resource, Trigger};
use crate::stat::{self, Files, Stats, Totals};
use crate::table::Version;

/// Finds the directory of a controller.
type Find<'f, 'a> = &'f dyn Fn(Controller) -> Option<stat::Dir<'a>>;

impl Group {
    /// Everything that the kernel counts for it: some thirty small reads, about 50 µs.
    ///
    /// Two samples make a [`Usage`](crate::stat::Usage).
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the group has been removed.
    pub fn stat(&self) -> Result<Stats> {
        self.read(stat::read_with, |_| true)
    }

    /// Only what these controllers count, in fewer reads than [`Group::stat`]; the rest is as when nobody counts it.
    ///
    /// # Errors
    /// As [`Group::stat`].
    pub fn stat_of(&self, controllers: Controllers) -> Result<Stats> {
        let wanted = |one: Controller| one != Controller::Core && controllers.contains(one.set());
        self.read(stat::read_with, wanted)
    }

    /// What it counted in all, in some six reads: for a report of its end.
    ///
    /// # Errors
    /// As [`Group::stat`].
    pub fn totals(&self) -> Result<Totals> {
        self.read(stat::totals::read, |_| true)
    }

    /// Reads files by their paths from the directories above.
    fn read<'a, T>(
        &'a self,
        read: impl Fn(&mut Files, Find<'_, 'a>) -> Result<T>,
        wanted: impl Fn(Controller) -> bool,
    ) -> Result<T> {
        let above: Vec<_> = self.dirs().map(|dir| (dir, dir.fd.as_fd())).collect();
        let mut files = Files::below(self.name());
        let find = |one| if wanted(one) { find(&above, one) } else { None };
        let counted = read(&mut files, &find)?;
        if files.found() == 0 {
            // A group that has been removed has no files; opening it says so.
            self.open_dirs()?;
        }
        Ok(counted)
    }

    /// What happens to it from now on: out of memory, a limit reached, empty, frozen.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the group has been removed.
    pub fn events(&self) -> Result<EventStream> {
        let open = self.open_dirs()?;
        let open: Vec<_> = open.iter().map(|(dir, fd)| (*dir, fd.as_fd())).collect();
        EventStream::open(&|controller| find(&open, controller))
    }

    /// How long its processes waited for a resource; measured in v2 only.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a group that is not in v2; for the rest see
    /// [`Pressure::of_group`].
    pub fn pressure(&self, resource: Resource) -> Result<Pressure> {
        let dir = self.open_v2(resource)?;
        Pressure::of_group(stat::Dir::V2(dir.as_fd()), resource)
    }

    /// Has the kernel wake the caller when its processes lose time.
    ///
    /// # Errors
    /// As [`pressure`](Self::pressure) and [`Trigger::watch_group`].
    pub fn watch_pressure(&self, resource: Resource, trigger: &Trigger) -> Result<PressureWatch> {
        let dir = self.open_v2(resource)?;
        trigger.watch_group(stat::Dir::V2(dir.as_fd()), resource)
    }

    /// Puts rules for devices in force where they are a program of the group's directory.
    pub(crate) fn restrict_devices(&self, limits: &Limits) -> Result<()> {
        let dir = self.dirs().find(|dir| dir.version == Version::V2);
        match dir {
            Some(dir) if self.place.has_device_programs() && !limits.devices.is_empty() => {
                crate::devices::attach(self.open_dir(dir)?, &limits.devices)
            }
            _ => Ok(()),
        }
    }

    fn open_dirs(&self) -> Result<Vec<(&Dir, OwnedFd)>> {
        self.dirs().map(|dir| Ok((dir, self.open_dir(dir)?))).collect()
    }

    /// The directory that has pressure, or the error that names the file.
    fn open_v2(&self, resource: Resource) -> Result<OwnedFd> {
        let v2 = self.dirs().find(|dir| dir.version == Version::V2);
        self.open_dir(v2.ok_or_else(|| resource.unsupported())?)
    }
}

/// The directory that has a controller's files.
fn find<'a>(open: &[(&Dir, BorrowedFd<'a>)], controller: Controller) -> Option<stat::Dir<'a>> {
    let in_v2 = open.iter().any(|(dir, _)| dir.version == Version::V2);
    let fits = |(dir, _): &&(&Dir, BorrowedFd<'a>)| match (controller, dir.version) {
        // Freezing is done by v2 where the group is in it.
        (Controller::Freezer, Version::V1) if in_v2 => false,
        (Controller::Core, Version::V2) => true,
        (Controller::Core, Version::V1) => false,
        // v2 counts the time of every group.
        (Controller::CpuAcct, Version::V2) => true,
        _ => dir.controllers.contains(controller.set()),
    };
    let (dir, fd) = open.iter().find(fits)?;
    Some(match dir.version {
        Version::V1 => stat::Dir::V1(*fd),
        Version::V2 => stat::Dir::V2(*fd),
    })
}
