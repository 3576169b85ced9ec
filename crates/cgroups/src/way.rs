//! The directories that a place is: reached, made where they are missing, and made ready for groups below them.
//!
//! Kernel objects: directories of cgroupfs; `cgroup.subtree_control` on the way to them (v2). Invariant: a directory that
//! others remove meanwhile is made again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, XattrFlags, openat};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::error::{Error, Result};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::place::{read, write};
use crate::table::Version;
use crate::uses::{Keep, Used};

/// The group that all groups of this crate are in.
const NAME: &str = "ampoule";

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

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
    way: Way,
    _used: Used,
}

/// How a directory was reached, to reach it again.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) top: PathBuf,
    pub(crate) names: Vec<String>,
    pub(crate) hand_down: HandDown,
    pub(crate) keep: Keep,
}

/// Whether controllers are enabled on the way (v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandDown {
    /// Every one that is there.
    All,
    /// None: the group above goes on having processes of its own.
    Nothing,
}

/// How often a directory is made again that others remove meanwhile.
const TRIES: usize = 100;

impl Dir {
    /// Notes the group above that has processes of its own.
    pub(crate) fn below_occupied(self, occupied: Option<&Path>) -> Self {
        Self { occupied: occupied.map(Path::to_owned), ..self }
    }

    /// The same directory, made again where it was removed.
    pub(crate) fn again(&self) -> Result<Self> {
        let top = open_top(&self.way.top)?;
        let dir = self.way.clone().open_from(top)?;
        Ok(dir.below_occupied(self.occupied.as_deref()))
    }

    /// Where its hierarchy is mounted.
    pub(crate) fn mount(&self) -> &Path {
        &self.way.hierarchy.mount
    }
}

impl Way {
    /// The way to the directory of all groups of this crate.
    pub(crate) fn to_ours(hierarchy: &Hierarchy, top: &Path, hand_down: HandDown) -> Self {
        let (names, keep) = (vec![NAME.to_owned()], Keep::Nothing);
        Self { hierarchy: hierarchy.clone(), top: top.to_owned(), names, hand_down, keep }
    }

    /// The way to a group that stays as it is.
    #[cfg(feature = "systemd")]
    pub(crate) fn to_top(hierarchy: &Hierarchy, top: &Path) -> Self {
        Self {
            names: Vec::new(),
            keep: Keep::Found,
            ..Self::to_ours(hierarchy, top, HandDown::All)
        }
    }

    /// Opens the directory, and makes what is missing.
    pub(crate) fn open(self) -> Result<Dir> {
        let top = open_top(&self.top)?;
        self.enable(&top, &self.top)?;
        self.open_from(top)
    }

    /// The same from the opened top, whose controllers are as they are.
    pub(crate) fn open_from(self, top: OwnedFd) -> Result<Dir> {
        let all = self.names.iter().scan(self.top.clone(), |path, name| {
            path.push(name);
            Some(path.clone())
        });
        let used = Used::new(all.collect(), self.keep);
        let mut tried = 0;
        let below = loop {
            tried += 1;
            match self.descend(&top) {
                Err(error) if was_removed(&error) && tried < TRIES => {}
                descended => break descended?,
            }
        };
        let (path, fd) = below.unwrap_or((self.top.clone(), top));
        if self.hierarchy.beside_v1 && self.hand_down == HandDown::All {
            hand_down(&fd);
        }
        Ok(self.opened(path, fd, used))
    }

    /// As [`Way::open`], for what is there: makes nothing, and nothing goes with it.
    pub(crate) fn look(self) -> Result<Dir> {
        let mut path = self.top.clone();
        let failed = |path: &Path, errno| Error::at("open", path, errno);
        let mut fd = open_top(&self.top)?;
        for name in &self.names {
            path.push(name);
            fd = openat(&fd, name.as_str(), DIRECTORY, Mode::empty())
                .map_err(|errno| failed(&path, errno))?;
        }
        let used = Used::new(Vec::new(), Keep::Found);
        Ok(self.opened(path, fd, used))
    }

    /// The way to a directory by its path, below the hierarchy that is mounted there.
    pub(crate) fn along(hierarchies: &Hierarchies, path: &Path) -> Option<Self> {
        let below = |one: &&Hierarchy| path.starts_with(&one.mount);
        let all = hierarchies.iter().chain(hierarchies.named());
        let hierarchy = all.filter(below).max_by_key(|one| one.mount.as_os_str().len())?;
        let rest = path.strip_prefix(&hierarchy.mount).ok()?;
        let names = rest.iter().map(|name| name.to_str().map(str::to_owned));
        let (names, keep) = (names.collect::<Option<Vec<String>>>()?, Keep::Found);
        let (hierarchy, top) = (hierarchy.clone(), hierarchy.mount.clone());
        Some(Self { hierarchy, top, names, hand_down: HandDown::Nothing, keep })
    }

    /// As [`Way::look`]; the directory of all groups of this crate goes with its last use, and so do those on the way that
    /// some process made for it.
    pub(crate) fn look_to_use(self) -> Result<Dir> {
        let last = self.names.len().saturating_sub(1);
        let all = self.names.iter().enumerate().scan(self.top.clone(), |path, (index, name)| {
            path.push(name);
            Some((index == last && name == NAME, path.clone()))
        });
        let paths = all.filter(|(ours, path)| *ours || is_marked(path)).map(|(_, path)| path);
        let used = Used::new(paths.collect(), Keep::Nothing);
        Ok(Dir { _used: used, ..self.look()? })
    }

    fn opened(self, path: PathBuf, fd: OwnedFd, used: Used) -> Dir {
        let controllers = controllers(&self.hierarchy, &fd);
        let version = self.hierarchy.version;
        Dir { version, controllers, path, fd, occupied: None, way: self, _used: used }
    }

    /// Makes what is missing below the top; `None` when the top is all.
    fn descend(&self, top: &OwnedFd) -> Result<Option<(PathBuf, OwnedFd)>> {
        let mut path = self.top.clone();
        let mut below: Option<OwnedFd> = None;
        for name in &self.names {
            path.push(name);
            let above = below.as_ref().unwrap_or(top);
            let made = rustix::fs::mkdirat(above, name.as_str(), Mode::from(0o755));
            match made {
                Ok(()) => Used::made(&path),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::not_delegated(path, errno)),
            }
            let fd = openat(above, name.as_str(), DIRECTORY, Mode::empty())
                .map_err(|errno| Error::at("open", &path, errno))?;
            if made.is_ok() {
                // Without the mark it stays, as one that was found.
                let flags = XattrFlags::empty();
                let _kept = rustix::fs::fsetxattr(&fd, MARK, b"1", flags).is_err();
            }
            self.prepare(&fd, &path)?;
            below = Some(fd);
        }
        Ok(below.map(|fd| (path, fd)))
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

/// Noted in a directory that was made for the groups in it, so that whoever removes the last of these removes it too: that
/// may be another process (xattr(7); in cgroupfs since Linux 5.7).
const MARK: &str = "user.ampoule.made";

fn is_marked(path: &Path) -> bool {
    rustix::fs::getxattr(path, MARK, &mut [0; 1]).is_ok()
}

/// A group that is there.
pub(crate) fn open_top(top: &Path) -> Result<OwnedFd> {
    let fd = openat(CWD, top, DIRECTORY, Mode::empty());
    fd.map_err(|errno| Error::at("open", top, errno))
}

/// What groups made in a directory have.
pub(crate) fn controllers(hierarchy: &Hierarchy, fd: &OwnedFd) -> Controllers {
    match hierarchy.version {
        Version::V1 => hierarchy.controllers,
        Version::V2 => Controllers::of_v2(&read(fd, SUBTREE).unwrap_or_default()),
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

pub(crate) const SUBTREE: &str = "cgroup.subtree_control";

fn enable_all(fd: &OwnedFd) -> Result<(), Errno> {
    let list = |name| read(fd, name).map(|line| Controllers::of_v2(&line)).unwrap_or_default();
    let missing = list("cgroup.controllers").difference(list(SUBTREE));
    if missing.is_empty() { Ok(()) } else { write(fd, SUBTREE, &missing.to_enable()) }
}
