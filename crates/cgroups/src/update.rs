//! Changing the limits of a living group.
//!
//! Kernel objects: the group's interface files. Invariant: all changes are in force, or the group is as it was.

use crate::controller::Controllers;
use crate::error::{Absence, Error, Result};
use crate::former;
use crate::group::{Group, writes};
use crate::limits::{Limits, Switch};
use crate::owner::{Life, owned_name};
use crate::place;
use crate::table::{self, Version, Write};
use crate::unit::Max;

impl Group {
    /// Changes limits of the living group; those that are not named stay as they are.
    ///
    /// # Errors
    /// As [`Group::create_in`], and [`BelowUsage`](crate::ErrorKind::BelowUsage); what was written before the failure is
    /// put back.
    pub fn update(&self, limits: &Limits) -> Result<()> {
        let mut writes = writes(&self.place, limits)?;
        self.check_usage(limits, &writes)?;
        self.rehearse(&writes)?;
        self.raise_swap_first(&mut writes);
        let mut done: Vec<(usize, Write)> = Vec::new();
        for (index, write) in writes {
            match self.change(index, &write) {
                Ok(old) => done.extend(old.map(|old| (index, old))),
                Err(error) => return Err(self.restored(done, error)),
            }
        }
        self.restrict_devices(limits).map_err(|error| self.restored(done, error))
    }

    /// Refuses a limit of memory below what is used, where that is wanted.
    fn check_usage(&self, limits: &Limits, writes: &[(usize, Write)]) -> Result<()> {
        let (Some(Switch::On), Some(Max::Limit(asked))) =
            (limits.memory.check_before_update, limits.memory.max)
        else {
            return Ok(());
        };
        for (index, write) in writes.iter().filter(|(_, write)| write.limit == "memory.max") {
            let Some(dir) = self.place.dirs().get(*index) else { continue };
            let file = match dir.version {
                Version::V1 => "memory.usage_in_bytes",
                Version::V2 => "memory.current",
            };
            let path = dir.path.join(self.name()).join(file);
            let text = place::read(&dir.fd, &format!("{}/{file}", self.name()))
                .map_err(|errno| Error::limit(write.limit, path.clone(), &write.text, errno))?;
            let used = text.trim().parse().unwrap_or(0);
            if asked.get() < used {
                return Err(Error::below_usage(path, asked.get(), used));
            }
        }
        Ok(())
    }

    /// Writes, and gives the write that brings back what was there.
    fn change(&self, index: usize, write: &Write) -> Result<Option<Write>> {
        if self.members & 1 << index == 0 {
            let dir = self.place.dirs().get(index).map(|dir| dir.path.join(self.name()));
            let absence = dir.map_or(Absence::Unmounted, Absence::Elsewhere);
            return Err(Error::missing(write.limit, write.controller, absence));
        }
        let shown = match write.controller {
            // Rules cannot be read back as they were written; they were rehearsed instead.
            Controllers::DEVICES => None,
            _ => Some(self.shown(index, write)?),
        };
        let old = |shown: String| Write {
            text: former::text(&write.file, &write.text, &shown),
            ..write.clone()
        };
        let old = shown.map(old);
        match self.write(index, write) {
            Ok(()) => Ok(old),
            // What the kernel took without effect is in the file.
            Err(error) => {
                Err(self.restored(old.map(|old| (index, old)).into_iter().collect(), error))
            }
        }
    }

    /// What a file has now; without it there would be nothing to put back.
    fn shown(&self, index: usize, write: &Write) -> Result<String> {
        let Some(dir) = self.place.dirs().get(index) else { return Ok(String::new()) };
        place::read(&dir.fd, &format!("{}/{}", self.name, write.file))
            .map_err(|errno| self.refused(dir, write, errno))
    }

    /// Tries rules for devices on an empty group beside this one, under the same group above: the kernel shows no
    /// exceptions of a group that may use all devices, so that nothing could be put back.
    fn rehearse(&self, writes: &[(usize, Write)]) -> Result<()> {
        let of_devices = |(_, write): &&(usize, Write)| write.controller == Controllers::DEVICES;
        let rules: Vec<_> = writes.iter().filter(of_devices).collect();
        let Some((index, _)) = rules.first() else { return Ok(()) };
        let Some(dir) = self.place.dirs().get(*index) else { return Ok(()) };
        let name = owned_name(None, Life::WithOwner)?;
        let mut scratch = Self { place: self.place.clone(), name, members: 0 };
        let made = scratch.make_in(*index, dir);
        let try_one = |(_, write): &&(usize, Write)| {
            place::write(&dir.fd, &format!("{}/{}", scratch.name, write.file), &write.text)
                .map_err(|errno| self.refused(dir, write, errno))
        };
        let tried = made.and_then(|()| rules.iter().try_for_each(try_one));
        scratch.undo();
        tried
    }

    /// On v1 memory with swap may never be below memory: the one that grows goes first.
    fn raise_swap_first(&self, writes: &mut [(usize, Write)]) {
        let at = |file| writes.iter().position(|(_, write)| write.file == file);
        let (Some(memory), Some(both)) = (at(table::LIMIT), at(table::LIMIT_WITH_SWAP)) else {
            return;
        };
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(u64::MAX);
        let (index, write) = &writes[both];
        let now = self.shown(*index, write).map_or(0, |text| number(&text));
        if now < number(&writes[memory].1.text) {
            writes.swap(memory, both);
        }
    }

    fn restored(&self, done: Vec<(usize, Write)>, error: Error) -> Error {
        for (index, write) in done.into_iter().rev() {
            // The first error is the one to tell.
            let _kept = self.write(index, &write).is_err();
        }
        error
    }
}
