//! Where groups are made: one directory in each hierarchy, opened once.
//!
//! Kernel objects: directories of cgroupfs; `cgroup.subtree_control` on the way to them (v2). Invariant: groups are
//! reached through these descriptors only, so that no path is ever resolved again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::error::{Absence, Error, ErrorKind, Result};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::path::GroupPath;
use crate::systemd::Held;
use crate::table::Version;

/// A directory in one hierarchy.
#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) version: Version,
    /// What groups made here have.
    pub(crate) controllers: Controllers,
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
    /// The group above that has processes of its own, and so cannot hand on its controllers.
    pub(crate) occupied: Option<PathBuf>,
}

/// Where groups are made. Cheap to clone; holds one descriptor for each hierarchy.
#[derive(Clone, Debug)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dirs: Vec<Dir>,
    /// What keeps the scope that it is in, if it is in one.
    held: Option<Held>,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Place {
    /// Opens the place, and makes its directories where they are missing.
    ///
    /// On v2 all controllers that can be had are enabled on the way down, which fails where a group on the way has
    /// processes of its own (the "no internal processes" rule of cgroups(7)).
    ///
    /// # Errors
    /// [`NotDelegated`](crate::ErrorKind::NotDelegated), [`ReadOnly`](crate::ErrorKind::ReadOnly),
    /// [`Busy`](crate::ErrorKind::Busy).
    pub fn open(hierarchies: &Hierarchies, path: &GroupPath) -> Result<Self> {
        let dirs: Result<Vec<Dir>> = hierarchies.iter().map(|one| open(one, path)).collect();
        dirs.map(|dirs| Self::new(dirs, None))
    }

    pub(crate) fn new(dirs: Vec<Dir>, held: Option<Held>) -> Self {
        Self(Arc::new(Inner { dirs, held }))
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
        for hierarchy in hierarchies.iter() {
            let top = if path.is_absolute() { &hierarchy.mount } else { &hierarchy.own };
            match look_below(hierarchy, top, &names) {
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
        let any_v1 = self.0.dirs.iter().any(|dir| dir.version == Version::V1);
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
        self.0.held.as_ref().map(Held::unit)
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

fn open(hierarchy: &Hierarchy, path: &GroupPath) -> Result<Dir> {
    let top = if path.is_absolute() { &hierarchy.mount } else { &hierarchy.own };
    let dir = open_below(hierarchy, top, path.names())?;
    debug_assert_eq!(dir.path, path.below(&hierarchy.mount, &hierarchy.own), "the same path");
    Ok(dir)
}

fn open_below<'n>(
    hierarchy: &Hierarchy,
    top: &Path,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Dir> {
    let fd = open_top(top)?;
    enable(hierarchy, &fd, top)?;
    descend(hierarchy, fd, top, names)
}

/// A group that is there.
pub(crate) fn open_top(top: &Path) -> Result<OwnedFd> {
    let fd = openat(CWD, top, DIRECTORY, Mode::empty());
    fd.map_err(|errno| Error::at("open", top, errno))
}

/// The group below `top`, made where it is missing.
pub(crate) fn descend<'n>(
    hierarchy: &Hierarchy,
    mut fd: OwnedFd,
    top: &Path,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Dir> {
    let mut path = top.to_owned();
    for name in names {
        path.push(name);
        match rustix::fs::mkdirat(&fd, name, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::not_delegated(path, errno)),
        }
        fd = openat(&fd, name, DIRECTORY, Mode::empty())
            .map_err(|errno| Error::at("open", &path, errno))?;
        prepare(hierarchy, &fd, &path)?;
    }
    if hierarchy.beside_v1 {
        hand_down(&fd);
    }
    Ok(opened(hierarchy, path, fd))
}

/// As [`open_below`], for what is there.
fn look_below(hierarchy: &Hierarchy, top: &Path, names: &[&str]) -> Result<Dir> {
    let mut path = top.to_owned();
    let failed = |path: &Path, errno| Error::at("open", path, errno);
    let mut fd = open_top(top)?;
    for name in names {
        path.push(name);
        fd = openat(&fd, *name, DIRECTORY, Mode::empty()).map_err(|errno| failed(&path, errno))?;
    }
    Ok(opened(hierarchy, path, fd))
}

fn opened(hierarchy: &Hierarchy, path: PathBuf, fd: OwnedFd) -> Dir {
    let controllers = controllers(hierarchy, &fd);
    Dir { version: hierarchy.version, controllers, path, fd, occupied: None }
}

/// What groups made in a directory have.
pub(crate) fn controllers(hierarchy: &Hierarchy, fd: &OwnedFd) -> Controllers {
    match hierarchy.version {
        Version::V1 => hierarchy.controllers,
        Version::V2 => Controllers::of_v2(&read(fd, SUBTREE).unwrap_or_default()),
    }
}

/// Makes a new directory ready for groups below it.
fn prepare(hierarchy: &Hierarchy, fd: &OwnedFd, path: &Path) -> Result<()> {
    if hierarchy.controllers.contains(Controllers::CPUSET) && hierarchy.version == Version::V1 {
        return inherit_cpuset(fd, path);
    }
    enable(hierarchy, fd, path)
}

/// Gives a directory of v1 the CPUs and memory nodes of the one above: it has none at first, and takes no process.
pub(crate) fn inherit_cpuset(fd: &OwnedFd, path: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !read(fd, file).unwrap_or_default().trim().is_empty() {
            continue;
        }
        let above = read(fd, &format!("../{file}"))
            .map_err(|errno| Error::at("read", &path.join("..").join(file), errno))?;
        write(fd, file, above.trim())
            .map_err(|errno| Error::at("write", &path.join(file), errno))?;
    }
    Ok(())
}

/// Hands every controller that is there to the groups below.
pub(crate) fn enable(hierarchy: &Hierarchy, fd: &OwnedFd, path: &Path) -> Result<()> {
    // On a hybrid machine the tree of v2 belongs to the host, which uses v1 for limits.
    if hierarchy.version == Version::V1 || hierarchy.beside_v1 {
        return Ok(());
    }
    match enable_all(fd) {
        // Whoever made this group keeps the controllers: a limit that needs one says so.
        Ok(()) | Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(errno) => Err(Error::at("write", &path.join(SUBTREE), errno)),
    }
}

/// On a hybrid machine: hands down what the host gave to the place itself, such as `hugetlb` where v1 does not have it.
fn hand_down(place: &OwnedFd) {
    // Where processes are in the place it has none to give; a limit that needs one says so.
    let _kept = enable_all(place).is_err();
}

const SUBTREE: &str = "cgroup.subtree_control";

fn enable_all(fd: &OwnedFd) -> Result<(), Errno> {
    let list = |name| read(fd, name).map(|line| Controllers::of_v2(&line)).unwrap_or_default();
    let missing = list("cgroup.controllers").difference(list(SUBTREE));
    if missing.is_empty() { Ok(()) } else { write(fd, SUBTREE, &missing.to_enable()) }
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
