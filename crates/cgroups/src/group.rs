//! A group: made with its limits, looked at, changed, frozen, killed, removed.
//!
//! Kernel objects: one directory in each hierarchy that it needs. Invariant: a group is made with all of its limits or
//! not at all, and a change that fails half-way is taken back. It holds no descriptor of its own.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::error::{Error, Result};
use crate::ignored;
use crate::limits::Limits;
use crate::membership::Membership;
use crate::path::group_name;
use crate::place::{self, Dir, Place};
use crate::table::{self, Version, Write};

/// Controllers that belong to every group where they are: what its state and its processes are asked through.
const ALWAYS: Controllers = Controllers::FREEZER;

/// How often a place is opened again that others remove meanwhile.
const TRIES: usize = 100;

/// A group of processes. Dropping it leaves the group where it is: [`Group::remove`].
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) place: Place,
    pub(crate) name: String,
    /// Which of the place's directories it is in.
    pub(crate) members: u32,
}

impl Group {
    /// Makes a group with limits. It is in the hierarchies that the limits and `accounting` need, and always in v2:
    /// `cpuacct` is not needed there, because v2 counts the CPU time of every group. With [`Controllers::all`] it is in
    /// every hierarchy of v1 in which the caller may make groups here.
    ///
    /// # Errors
    /// [`InvalidPath`](crate::ErrorKind::InvalidPath), [`InvalidLimits`](crate::ErrorKind::InvalidLimits),
    /// [`MissingController`](crate::ErrorKind::MissingController), [`Unsupported`](crate::ErrorKind::Unsupported),
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), [`NotDelegated`](crate::ErrorKind::NotDelegated): the
    /// limit and the file are named, and no group is left.
    pub fn create_in(
        place: &Place,
        name: &str,
        limits: &Limits,
        accounting: Controllers,
    ) -> Result<Self> {
        group_name(name)?;
        let mut place = place.clone();
        let mut tried = 0;
        loop {
            tried += 1;
            match Self::create_once(&place, name, limits, accounting) {
                // The place has gone with the last group of another process.
                Err(_) if place.is_gone() && tried < TRIES => {
                    place = place.again()?;
                }
                created => return created,
            }
        }
    }

    fn create_once(
        place: &Place,
        name: &str,
        limits: &Limits,
        accounting: Controllers,
    ) -> Result<Self> {
        let writes = writes(place, limits)?;
        let needed = writes.iter().map(|(index, _)| 1 << index).fold(0, |all, one: u32| all | one);
        let mut group = Self { place: place.clone(), name: name.to_owned(), members: 0 };
        let made = group
            .make(needed, accounting)
            .and_then(|()| writes.iter().try_for_each(|(index, write)| group.write(*index, write)))
            .and_then(|()| group.restrict_devices(limits));
        match made {
            Ok(()) => Ok(group),
            Err(error) => {
                group.undo();
                Err(error)
            }
        }
    }

    /// The group with this name that is there already.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when no hierarchy has it.
    pub fn open(place: &Place, name: &str) -> Result<Self> {
        group_name(name)?;
        let mut group = Self { place: place.clone(), name: name.to_owned(), members: 0 };
        for (index, dir) in place.dirs().iter().enumerate() {
            match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => group.members |= 1 << index,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::at("stat", &dir.path.join(name), errno)),
            }
        }
        match (group.members, place.dirs().first()) {
            (0, Some(dir)) => Err(Error::at("open", &dir.path.join(name), Errno::NOENT)),
            _ => Ok(group),
        }
    }

    fn make(&mut self, needed: u32, accounting: Controllers) -> Result<()> {
        let place = self.place.clone();
        let besides = besides(&place, accounting);
        for (index, dir) in place.dirs().iter().enumerate() {
            let wanted = dir.version == Version::V2 || besides.has(dir);
            if needed & 1 << index == 0 && !wanted {
                continue;
            }
            self.make_in(index, dir)?;
            if dir.version == Version::V1 && dir.controllers.contains(Controllers::CPUSET) {
                crate::way::inherit_cpuset(&self.open_dir(dir)?, &dir.path.join(&self.name))?;
            }
        }
        Ok(())
    }

    /// Makes its directory in one hierarchy.
    pub(crate) fn make_in(&mut self, index: usize, dir: &Dir) -> Result<()> {
        mkdirat(&dir.fd, self.name.as_str(), Mode::from(0o755)).map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => {
                Error::not_delegated(dir.path.clone(), errno)
            }
            _ => Error::at("mkdir", &dir.path.join(&self.name), errno),
        })?;
        self.members |= 1 << index;
        Ok(())
    }

    /// Takes a group back that was just made: nothing can be in it.
    pub(crate) fn undo(&self) {
        for dir in self.dirs() {
            let _busy = unlinkat(&dir.fd, self.name.as_str(), AtFlags::REMOVEDIR).is_err();
        }
    }

    pub(crate) fn write(&self, index: usize, write: &Write) -> Result<()> {
        let Some(dir) = self.place.dirs().get(index) else { return Ok(()) };
        let file = format!("{}/{}", self.name, write.file);
        let refused = |errno| self.refused(dir, write, errno);
        place::write(&dir.fd, &file, &write.text).map_err(refused)?;
        if !ignored::is_doubtful(&write.file) {
            return Ok(());
        }
        let shown = place::read(&dir.fd, &file).map_err(refused)?;
        if ignored::is_ignored(&write.text, &shown) {
            let path = dir.path.join(&file);
            return Err(Error::ignored(write.limit, path, &write.text, &shown));
        }
        Ok(())
    }

    /// The error of a limit at one of its files.
    pub(crate) fn refused(&self, dir: &Dir, write: &Write, errno: Errno) -> Error {
        let path = dir.path.join(&self.name).join(&*write.file);
        let there = || rustix::fs::statat(&dir.fd, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        if matches!(errno, Errno::NOENT | Errno::NODEV) && there().err() == Some(Errno::NOENT) {
            return Error::at("write", &path, Errno::NOENT);
        }
        Error::limit(write.limit, path, &write.text, errno)
    }

    /// The text of an interface file, such as `memory.max`; of the first hierarchy that has it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when no hierarchy has it.
    pub fn file(&self, name: &str) -> Result<String> {
        let files = files_of(self.dirs(), &self.name, name);
        let mut missing = Error::no_cgroups();
        for (dir, file) in files {
            match place::read(&dir.fd, &file) {
                Ok(text) => return Ok(text),
                Err(errno) => missing = Error::at("read", &dir.path.join(file), errno),
            }
        }
        Err(missing)
    }

    /// What a launch needs so that the first process is born in it.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied), [`NotFound`](crate::ErrorKind::NotFound), a limit on descriptors.
    pub fn membership(&self) -> Result<Membership> {
        let mut membership = Membership { joins: Vec::new(), group: None };
        for dir in self.dirs() {
            match dir.version {
                Version::V2 => membership.group = Some(self.open_dir(dir)?),
                Version::V1 => {
                    let file = format!("{}/tasks", self.name);
                    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                    let open = openat(&dir.fd, file.as_str(), flags, Mode::empty());
                    let failed = |errno| Error::at("open", &dir.path.join(&file), errno);
                    membership.joins.push(above_stdio(open.map_err(failed)?)?);
                }
            }
        }
        Ok(membership)
    }

    /// How many v1 directories a group with these limits is in, and whether it is in v2: what a plan must know.
    ///
    /// # Errors
    /// As [`Group::create_in`], as far as it can be told beforehand.
    pub fn shape(place: &Place, limits: &Limits, accounting: Controllers) -> Result<Shape> {
        limits.validate()?;
        let writes = writes(place, limits)?;
        let dirs = place.dirs();
        let besides = besides(place, accounting);
        let joins = dirs.iter().enumerate().filter(|(index, dir)| {
            let needed = writes.iter().any(|(used, _)| used == index);
            dir.version == Version::V1 && (needed || besides.has(dir))
        });
        let group = dirs.iter().any(|dir| dir.version == Version::V2);
        Ok(Shape { joins: joins.count(), group })
    }

    /// Where it was made: the place that was given, or the same opened again because its directories had been removed.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directories, one in each hierarchy that it is in.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.dirs().map(|dir| dir.path.join(&self.name))
    }

    /// Its directories' parents, each with its index in the place.
    pub(crate) fn members(&self) -> impl Iterator<Item = (usize, &Dir)> {
        let all = self.place.dirs().iter().enumerate();
        all.filter(|(index, _)| self.members & 1 << index != 0)
    }

    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Dir> {
        self.members().map(|(_, dir)| dir)
    }

    pub(crate) fn open_dir(&self, dir: &Dir) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = openat(&dir.fd, self.name.as_str(), flags, Mode::empty());
        let failed = |errno| Error::at("open", &dir.path.join(&self.name), errno);
        above_stdio(open.map_err(failed)?)
    }
}

/// What a plan must know about a group: how many descriptors its membership has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// v1 directories.
    pub joins: usize,
    /// Whether it is in v2.
    pub group: bool,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.paths().map(|path| path.display().to_string()).collect();
        f.write_str(&paths.join(" "))
    }
}

fn files_of<'a>(
    dirs: impl Iterator<Item = &'a Dir>,
    group: &str,
    file: &str,
) -> impl Iterator<Item = (&'a Dir, String)> {
    dirs.map(move |dir| (dir, format!("{group}/{file}")))
}

/// Which v1 hierarchies a group is in besides those of its limits.
#[derive(Clone, Copy, Debug)]
enum Besides {
    /// Those of these controllers.
    Of(Controllers),
    /// Those in which the caller may make groups.
    Writable,
}

impl Besides {
    fn has(self, dir: &Dir) -> bool {
        let may = || accessat(&dir.fd, ".", Access::WRITE_OK, AtFlags::EACCESS);
        match self {
            Self::Of(controllers) => dir.controllers.intersects(controllers),
            Self::Writable => may().is_ok(),
        }
    }
}

/// v2 freezes, and counts CPU time, of every group.
fn besides(place: &Place, accounting: Controllers) -> Besides {
    let has_v2 = place.dirs().iter().any(|dir| dir.version == Version::V2);
    match (accounting, has_v2) {
        (all, _) if all.is_all() => Besides::Writable,
        (some, true) => Besides::Of(some.difference(Controllers::CPUACCT)),
        (some, false) => Besides::Of(some | ALWAYS),
    }
}

/// What is to be written for limits, each with the directory that it belongs to.
pub(crate) fn writes(place: &Place, limits: &Limits) -> Result<Vec<(usize, Write)>> {
    limits.validate()?;
    let without_devices;
    let limits = if place.has_device_programs() {
        without_devices = Limits { devices: Vec::new(), ..limits.clone() };
        &without_devices
    } else {
        limits
    };
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(device) = limits.io.devices.iter().find(|device| !device.exists()) {
        return Err(Error::problem("io", format!("there is no block device {device}")));
    }
    let dirs = place.dirs();
    let find = |write: Write| {
        let version = place.version_of(write.controller);
        let fits = |dir: &Dir| dir.version == version && dir.controllers.contains(write.controller);
        match dirs.iter().position(fits) {
            Some(index) => Ok((index, write)),
            None => Err(Error::missing(write.limit, write.controller, place.absence())),
        }
    };
    let version_of = |controller| place.version_of(controller);
    table::writes(limits, &version_of)?.into_iter().map(find).collect()
}

/// A host that closed a standard stream must not find a descriptor of ours in its place.
pub(crate) fn above_stdio(fd: OwnedFd) -> Result<OwnedFd> {
    if std::os::fd::AsRawFd::as_raw_fd(&fd) > 2 {
        return Ok(fd);
    }
    rustix::io::fcntl_dupfd_cloexec(&fd, 3).map_err(|errno| Error::system("fcntl(F_DUPFD)", errno))
}
