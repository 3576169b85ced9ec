//! Where groups are made: one directory in each hierarchy, opened once.
//!
//! Kernel objects: directories of cgroupfs; `cgroup.subtree_control` on the way to them (v2). Invariant: groups are
//! reached through these descriptors only. A directory that was made for groups
//! goes with its last use (`uses.rs`); whoever comes meanwhile makes it again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::error::{Error, Result};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::path::GroupPath;
use crate::table::Version;
use crate::uses::{Keep, Used};

/// A directory in one hierarchy.
#[derive(Debug)]
pub(crate) struct Dir {
    pub(crate) version: Version,
    /// What groups made here have.
    pub(crate) controllers: Controllers,
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
    way: Way,
    _used: Used,
}

/// How a directory was reached, to reach it again.
#[derive(Clone, Debug)]
struct Way {
    hierarchy: Hierarchy,
    top: PathBuf,
    names: Vec<String>,
    hand_down: HandDown,
}

/// Whether controllers are enabled on the way (v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandDown {
    /// Every one that is there.
    All,
    /// None: the group above goes on having processes of its own.
    Nothing,
}

/// Where groups are made. Cheap to clone; holds one descriptor for each hierarchy.
///
/// The directories that it made, and `ampoule`, are removed with its last clone and the last [`Group`](crate::Group) in
/// it, unless somebody else has groups there.
#[derive(Clone, Debug)]
pub struct Place(Arc<Vec<Dir>>);

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
        let open = |hierarchy: &Hierarchy| {
            let top = if path.is_absolute() { &hierarchy.mount } else { &hierarchy.own };
            let names = path.names().map(str::to_owned).collect();
            let hand_down = HandDown::All;
            Way { hierarchy: hierarchy.clone(), top: top.clone(), names, hand_down }.open()
        };
        let dirs: Result<Vec<Dir>> = hierarchies.iter().map(open).collect();
        dirs.map(|dirs| Self(Arc::new(dirs)))
    }

    /// The place that fits the caller: `/ampoule` for one who may make it, else a group `ampoule` in the highest
    /// group above the caller's own that was delegated to it.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn find(hierarchies: &Hierarchies) -> Result<Self> {
        let mut dirs = Vec::new();
        let mut refused = None;
        for hierarchy in hierarchies.iter() {
            let top = delegated(hierarchy).unwrap_or_else(|| hierarchy.own.clone());
            match Way::to_ours(hierarchy, top, HandDown::All).open() {
                Ok(dir) => dirs.push(dir),
                // Another hierarchy may be enough.
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if dirs.is_empty() => Err(error),
            _ => Ok(Self(Arc::new(dirs))),
        }
    }

    /// The place for groups without limits: `ampoule` in the caller's own group, so that what limits the caller limits
    /// them too. It is in one hierarchy, where a process can be born: v2, else the cheapest one of v1.
    ///
    /// # Errors
    /// As [`Place::open`]; of the first hierarchy when none can be used.
    pub fn within(hierarchies: &Hierarchies) -> Result<Self> {
        let mut all: Vec<&Hierarchy> = hierarchies.iter().collect();
        all.sort_by_key(|one| {
            let last = [Controllers::PIDS, Controllers::FREEZER];
            let v1 = last.iter().position(|wanted| one.controllers.contains(*wanted));
            (one.version == Version::V1, v1.unwrap_or(last.len()))
        });
        let mut refused = None;
        for hierarchy in all {
            match open_within(hierarchy) {
                Ok(dir) => return Ok(Self(Arc::new(vec![dir]))),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(Error::no_cgroups))
    }

    /// Whether somebody removed a directory of it, because no group was in it.
    pub(crate) fn is_gone(&self) -> bool {
        let stat = |dir: &Dir| rustix::fs::statat(&dir.fd, "cgroup.procs", AtFlags::empty());
        self.0.iter().any(|dir| matches!(stat(dir), Err(Errno::NOENT | Errno::NODEV)))
    }

    /// The same place, after somebody removed its directories because no group was in them.
    pub(crate) fn again(&self) -> Result<Self> {
        let dirs: Result<Vec<Dir>> = self.0.iter().map(|dir| dir.way.clone().open()).collect();
        dirs.map(|dirs| Self(Arc::new(dirs)))
    }

    /// The controllers that groups made here have.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.0.iter().map(|dir| dir.controllers).collect()
    }

    /// The directories, one for each hierarchy.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|dir| dir.path.as_path())
    }

    /// Whether rules for devices are a program here: in v2, where v1 does not have the controller.
    pub(crate) fn has_device_programs(&self) -> bool {
        let v1 = self.controllers().contains(Controllers::DEVICES);
        !v1 && self.0.iter().any(|dir| dir.version == Version::V2)
    }

    pub(crate) fn dirs(&self) -> &[Dir] {
        &self.0
    }
}

/// The group that all groups of this crate are in.
const NAME: &str = "ampoule";

/// The highest group, the own one or above it, in which the caller may make groups.
fn delegated(hierarchy: &Hierarchy) -> Option<PathBuf> {
    let below = hierarchy.own.ancestors().take_while(|path| path.starts_with(&hierarchy.mount));
    let writable = |path: &&Path| {
        let access = rustix::fs::Access::WRITE_OK;
        let may = |path: &Path| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
        may(path) && may(&path.join("cgroup.procs"))
    };
    below.filter(writable).last().map(Path::to_owned)
}

/// The directory in the own group; one that is the root hands controllers down where it can.
fn open_within(hierarchy: &Hierarchy) -> Result<Dir> {
    let own = hierarchy.own.clone();
    if hierarchy.version == Version::V2 {
        // A process is born into a group by whoever may move it out of the own one.
        let file = own.join("cgroup.procs");
        let access =
            rustix::fs::accessat(CWD, &file, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS);
        access.map_err(|errno| Error::not_delegated(own.clone(), errno))?;
    }
    let is_root = own == hierarchy.mount;
    let all = is_root.then(|| Way::to_ours(hierarchy, own.clone(), HandDown::All).open());
    match all {
        Some(Ok(dir)) => Ok(dir),
        _ => Way::to_ours(hierarchy, own, HandDown::Nothing).open(),
    }
}

/// How often a directory is made again that others remove meanwhile.
const TRIES: usize = 100;

impl Dir {
    /// Where its hierarchy is mounted.
    pub(crate) fn mount(&self) -> &Path {
        &self.way.hierarchy.mount
    }
}

impl Way {
    fn to_ours(hierarchy: &Hierarchy, top: PathBuf, hand_down: HandDown) -> Self {
        Self { hierarchy: hierarchy.clone(), top, names: vec![NAME.to_owned()], hand_down }
    }

    fn open(self) -> Result<Dir> {
        let top = openat(CWD, &self.top, DIRECTORY, Mode::empty())
            .map_err(|errno| Error::at("open", &self.top, errno))?;
        self.enable(&top, &self.top)?;
        let all = self.names.iter().scan(self.top.clone(), |path, name| {
            path.push(name);
            Some(path.clone())
        });
        let used = Used::new(
            all.collect(),
            if self.names == [NAME] { Keep::Nothing } else { Keep::Found },
        );
        let mut tried = 0;
        let (path, fd) = loop {
            tried += 1;
            match self.descend(&top) {
                Err(error) if was_removed(&error) && tried < TRIES => {}
                descended => break descended?,
            }
        };
        let controllers = match self.hierarchy.version {
            Version::V1 => self.hierarchy.controllers,
            Version::V2 => {
                Controllers::of_v2(&read(&fd, "cgroup.subtree_control").unwrap_or_default())
            }
        };
        Ok(Dir { version: self.hierarchy.version, controllers, path, fd, way: self, _used: used })
    }

    /// Makes what is missing.
    fn descend(&self, top: &OwnedFd) -> Result<(PathBuf, OwnedFd)> {
        let mut path = self.top.clone();
        let mut below: Option<OwnedFd> = None;
        for name in &self.names {
            path.push(name);
            let above = below.as_ref().unwrap_or(top);
            match rustix::fs::mkdirat(above, name.as_str(), Mode::from(0o755)) {
                Ok(()) => Used::made(&path),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::not_delegated(path, errno)),
            }
            let fd = openat(above, name.as_str(), DIRECTORY, Mode::empty())
                .map_err(|errno| Error::at("open", &path, errno))?;
            self.prepare(&fd, &path)?;
            below = Some(fd);
        }
        let fd = below.ok_or_else(|| Error::at("open", &path, Errno::NOENT))?;
        Ok((path, fd))
    }

    /// Makes a new directory ready for groups below it.
    fn prepare(&self, fd: &OwnedFd, path: &Path) -> Result<()> {
        match self.hierarchy.version {
            Version::V1 if self.hierarchy.controllers.contains(Controllers::CPUSET) => {
                inherit_cpuset(fd, path)
            }
            _ => self.enable(fd, path),
        }
    }

    fn enable(&self, fd: &OwnedFd, path: &Path) -> Result<()> {
        match self.hand_down {
            HandDown::All => enable(&self.hierarchy, fd, path),
            HandDown::Nothing => Ok(()),
        }
    }
}

/// Whether a directory was removed under our hands.
fn was_removed(error: &Error) -> bool {
    let gone = [Errno::NOENT, Errno::NODEV].map(Errno::raw_os_error);
    error.errno().is_some_and(|errno| gone.contains(&errno))
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
fn enable(hierarchy: &Hierarchy, fd: &OwnedFd, path: &Path) -> Result<()> {
    if hierarchy.version == Version::V1 || hierarchy.controllers.is_empty() {
        return Ok(());
    }
    let file = "cgroup.subtree_control";
    let list = |name| read(fd, name).map(|line| Controllers::of_v2(&line)).unwrap_or_default();
    let missing = list("cgroup.controllers").difference(list(file));
    if missing.is_empty() {
        return Ok(());
    }
    match write(fd, file, &missing.to_enable()) {
        // Whoever made this group keeps the controllers: a limit that needs one says so.
        Ok(()) | Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(errno) => Err(Error::at("write", &path.join(file), errno)),
    }
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
