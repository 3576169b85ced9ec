//! Where groups are made: one directory in each hierarchy, opened once.
//!
//! Kernel objects: directories of cgroupfs (`way.rs`). Invariant: groups are reached through these descriptors only. A
//! directory that was made for groups goes with its last use (`uses.rs`); whoever comes meanwhile makes it again.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::error::{Absence, Error, ErrorKind, Result};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::path::GroupPath;
use crate::systemd::Held;
use crate::table::Version;
use crate::uses::Keep;
pub(crate) use crate::way::Dir;
use crate::way::{HandDown, SUBTREE, Way};

/// The group of a process's own in which the groups of pods are, and nobody else's.
const PODS: &str = "ampoule-pod";

/// Where groups are made. Cheap to clone; holds one descriptor for each hierarchy.
///
/// The directories that it made, and `ampoule`, are removed with its last clone and the last [`Group`](crate::Group) in
/// it, unless somebody else has groups there.
#[derive(Clone, Debug)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dirs: Vec<Dir>,
    /// What keeps the scope that it is in, if it is in one.
    held: Option<Arc<Held>>,
}

impl Place {
    /// Opens the place, and makes its directories where they are missing.
    ///
    /// On v2 all controllers that can be had are enabled on the way down, which fails where a group on the way has
    /// processes of its own (the "no internal processes" rule of cgroups(7)). The hierarchies that have a name alone are
    /// among them where they can be written to.
    ///
    /// # Errors
    /// [`NotDelegated`](crate::ErrorKind::NotDelegated), [`ReadOnly`](crate::ErrorKind::ReadOnly),
    /// [`Busy`](crate::ErrorKind::Busy).
    pub fn open(hierarchies: &Hierarchies, path: &GroupPath) -> Result<Self> {
        let names: Vec<&str> = path.names().collect();
        let open = |hierarchy: &Hierarchy| to_path(hierarchy, path, &names).open();
        let mut dirs = hierarchies.iter().map(open).collect::<Result<Vec<Dir>>>()?;
        // Nothing is limited or counted there.
        let named = hierarchies.named().filter_map(|hierarchy| open(hierarchy).ok());
        let v2 = dirs.iter().position(|dir| dir.version == Version::V2).unwrap_or(dirs.len());
        dirs.splice(v2..v2, named);
        Ok(Self::new(dirs, None))
    }

    pub(crate) fn new(dirs: Vec<Dir>, held: Option<Held>) -> Self {
        Self(Arc::new(Inner { dirs, held: held.map(Arc::new) }))
    }

    /// Whether somebody removed a directory of it, because no group was in it.
    pub(crate) fn is_gone(&self) -> bool {
        let stat = |dir: &Dir| rustix::fs::statat(&dir.fd, "cgroup.procs", AtFlags::empty());
        self.dirs().iter().any(|dir| matches!(stat(dir), Err(Errno::NOENT | Errno::NODEV)))
    }

    /// The same place, after somebody removed its directories because no group was in them.
    pub(crate) fn again(&self) -> Result<Self> {
        let dirs = self.dirs().iter().map(Dir::again).collect::<Result<Vec<Dir>>>()?;
        Ok(Self(Arc::new(Inner { dirs, held: self.0.held.clone() })))
    }

    /// Where the group at `path` is, and its name. Makes nothing; a hierarchy that does not have the way there is left
    /// out.
    pub(crate) fn above<'p>(
        hierarchies: &Hierarchies,
        path: &'p GroupPath,
    ) -> Result<(Self, &'p str)> {
        let mut names: Vec<&str> = path.names().collect();
        let name = names.pop().unwrap_or_default();
        let mut dirs = Vec::new();
        for hierarchy in hierarchies.iter().chain(hierarchies.named()) {
            match to_path(hierarchy, path, &names).look() {
                Ok(dir) => dirs.push(dir),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        match dirs.is_empty() {
            true => Err(Error::at("open", Path::new(&path.to_string()), Errno::NOENT)),
            false => Ok((Self::new(dirs, None), name)),
        }
    }

    /// The place with these directories ([`Place::paths`]), of this or another process. Makes nothing; directories that are
    /// not there, or below no hierarchy that is mounted, are left out.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when none is there.
    pub fn reopen<P: AsRef<Path>>(hierarchies: &Hierarchies, paths: &[P]) -> Result<Self> {
        let mut dirs = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            match Way::along(hierarchies, path).map(Way::look_to_use) {
                Some(Ok(dir)) => dirs.push(dir),
                Some(Err(error)) if error.kind() != ErrorKind::NotFound => return Err(error),
                Some(Err(_)) | None => {}
            }
        }
        match (dirs.is_empty(), paths.first()) {
            (true, path) => {
                let path = path.map_or(Path::new("cgroup"), AsRef::as_ref);
                Err(Error::at("open", path, Errno::NOENT))
            }
            (false, _) => Ok(Self::new(dirs, None)),
        }
    }

    /// The controllers that groups made here have.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.0.dirs.iter().map(|dir| dir.controllers).collect()
    }

    /// The directories, one for each hierarchy.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.dirs.iter().map(|dir| dir.path.as_path())
    }

    /// Why groups made here do not have a controller.
    pub(crate) fn absence(&self) -> Absence {
        let v2 = self.0.dirs.iter().find(|dir| dir.version == Version::V2);
        v2.map_or(Absence::Unmounted, |dir| absence(&dir.path, dir.occupied.as_deref()))
    }

    /// Which version has a controller here: v1 where it is in both; without one, what most limits are in.
    pub(crate) fn version_of(&self, controller: Controllers) -> Version {
        let has = |version| {
            let fits = |dir: &&Dir| dir.version == version && dir.controllers.contains(controller);
            self.0.dirs.iter().any(|dir| fits(&dir))
        };
        let is_v1 = |dir: &Dir| dir.version == Version::V1 && !dir.controllers.is_empty();
        let any_v1 = self.0.dirs.iter().any(is_v1);
        if has(Version::V1) || (any_v1 && !has(Version::V2)) { Version::V1 } else { Version::V2 }
    }

    /// Whether rules for devices are a program here: in v2, where v1 does not have the controller.
    pub(crate) fn has_device_programs(&self) -> bool {
        let v1 = self.controllers().contains(Controllers::DEVICES);
        !v1 && self.0.dirs.iter().any(|dir| dir.version == Version::V2)
    }

    pub(crate) fn dirs(&self) -> &[Dir] {
        &self.0.dirs
    }

    /// The name of the systemd unit that it is in, if systemd made it ([`Placement::Systemd`]).
    ///
    /// [`Placement::Systemd`]: crate::Placement::Systemd
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.0.held.as_ref().map(|held| held.unit())
    }
}

/// Why groups in a directory of v2 do not have a controller.
pub(crate) fn absence(path: &Path, occupied: Option<&Path>) -> Absence {
    let disabled = || Absence::Disabled(path.join(SUBTREE));
    occupied.map_or_else(disabled, |above| Absence::Occupied(above.to_owned()))
}

/// Refuses a directory that somebody else has made, in which the caller may make no groups.
pub(crate) fn writable(dir: Dir) -> Result<Dir> {
    match rustix::fs::accessat(&dir.fd, ".", rustix::fs::Access::WRITE_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(dir),
        Err(errno) => Err(Error::not_delegated(dir.path, errno)),
    }
}

/// The way to a path in one hierarchy, or to the beginning of it.
fn to_path(hierarchy: &Hierarchy, path: &GroupPath, names: &[&str]) -> Way {
    let top = if path.is_absolute() { &hierarchy.mount } else { &hierarchy.own };
    // Also one that a killed process made.
    let ours = !path.is_absolute() && names == [PODS];
    let keep = if ours { Keep::Nothing } else { Keep::Found };
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let (top, hand_down) = (top.clone(), HandDown::All);
    Way { hierarchy: hierarchy.clone(), top, names, hand_down, keep }
}

/// The text of a file; the kernel makes it in one piece.
pub(crate) fn read(dir: &OwnedFd, file: &str) -> Result<String, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(dir, file, flags, Mode::empty())?;
    let mut text = Vec::with_capacity(4096);
    loop {
        let mut part = [0; 4096];
        match rustix::io::read(&file, &mut part) {
            Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(count) => text.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes a text to a file in one call, as cgroupfs wants it.
pub(crate) fn write(dir: &OwnedFd, file: &str, text: &str) -> Result<(), Errno> {
    let file = openat(dir, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, text.as_bytes())).map(drop)
}
