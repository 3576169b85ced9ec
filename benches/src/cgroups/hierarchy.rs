//! The hierarchies of this machine, found without any library that is measured, and one directory in each.
//!
//! Touches `/proc/self/mountinfo` and `/proc/self/cgroup`, reading; [`Hierarchies::make_place`] makes that directory.
//! Invariant: named v1 hierarchies without a controller are left alone; what v2 had enabled is as before in the end.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use procfs_core::process::{MountInfo, MountInfos};
use procfs_core::{FromBufRead, ProcessCGroup, ProcessCGroups};

use crate::failure::Failure;

/// Which generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy per controller or few of them.
    V1,
    /// The one hierarchy.
    V2,
}

/// One hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    /// Its generation.
    pub version: Version,
    /// The last part of its mount point, such as `memory`, or `unified`.
    pub name: String,
    /// Its controllers, by their names in its generation.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory in which all groups of the run are made.
    pub place: PathBuf,
    /// The group of this process.
    pub own: PathBuf,
}

/// All hierarchies.
#[derive(Debug)]
pub struct Hierarchies(Vec<Hierarchy>);

/// Reads and parses a file of /proc/self.
fn proc_self<T: FromBufRead>(path: &str) -> Result<T, Failure> {
    let file = File::open(path).map_err(Failure::file("open", Path::new(path)))?;
    T::from_buf_read(std::io::BufReader::new(file)).map_err(Failure::reported)
}

impl Hierarchies {
    /// Looks for them; groups will be made in the directory `place` at the top of each.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn here(place: &str) -> Result<Self, Failure> {
        let mounts: MountInfos = proc_self("/proc/self/mountinfo")?;
        let places: ProcessCGroups = proc_self("/proc/self/cgroup")?;
        let mut list: Vec<Hierarchy> = Vec::new();
        for mount in mounts.0 {
            let Some(hierarchy) = hierarchy(&mount, &places.0, place)? else { continue };
            // The same hierarchy may be mounted twice.
            let is_known = |known: &Hierarchy| {
                known.version == hierarchy.version && known.controllers == hierarchy.controllers
            };
            if !list.iter().any(is_known) {
                list.push(hierarchy);
            }
        }
        Ok(Self(list))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// The one with this controller.
    pub fn of(&self, controller: &str) -> Option<&Hierarchy> {
        self.iter().find(|hierarchy| hierarchy.has(controller))
    }

    /// The names of those in which a group has a directory.
    pub fn holding(&self, group: &str) -> Vec<String> {
        let there = self.iter().filter(|hierarchy| hierarchy.place.join(group).is_dir());
        there.map(|hierarchy| hierarchy.name.clone()).collect()
    }

    /// Makes the directory of the run, and lets groups in it have the controllers that the limits and statistics
    /// need (v2). Returns what was enabled at the top before, for [`Hierarchies::remove_place`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn make_place(&self) -> Result<Before, Failure> {
        let before = Before(enabled(self.unified())?);
        for hierarchy in self.iter() {
            let place = &hierarchy.place;
            fs::create_dir(place).map_err(Failure::file("create", place))?;
        }
        if let Some(unified) = self.unified().filter(|unified| !unified.controllers.is_empty()) {
            for directory in [&unified.mount, &unified.place] {
                let wanted = CONTROLLERS_V2.iter().filter(|name| unified.has(name));
                let line: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
                write(&directory.join(SUBTREE), &line.join(" "))?;
            }
        }
        Ok(before)
    }

    /// Removes the directory of the run, which is empty, and takes back what was enabled for it, by whomever.
    ///
    /// # Errors
    /// When the kernel refuses: somebody else uses a controller by now.
    pub fn remove_place(&self, before: &Before) -> Result<(), Failure> {
        for hierarchy in self.iter().filter(|hierarchy| hierarchy.place.exists()) {
            let place = &hierarchy.place;
            fs::remove_dir(place).map_err(Failure::file("remove", place))?;
        }
        let Some(unified) = self.unified() else { return Ok(()) };
        for controller in enabled(Some(unified))?.iter().filter(|name| !before.0.contains(name)) {
            write(&unified.mount.join(SUBTREE), &format!("-{controller}"))?;
        }
        Ok(())
    }

    /// The hierarchy of v2; on a hybrid machine it has few controllers or none.
    fn unified(&self) -> Option<&Hierarchy> {
        self.iter().find(|one| one.version == Version::V2)
    }
}

/// The controllers of v2 that limits and statistics are about.
pub const CONTROLLERS_V2: [&str; 4] = ["cpu", "io", "memory", "pids"];
/// What v2 hands to the groups below, by controllers.
const SUBTREE: &str = "cgroup.subtree_control";

/// What the top of v2 had enabled before the run.
#[derive(Debug)]
pub struct Before(Vec<String>);

impl Hierarchy {
    /// Whether it has a controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// What is enabled at the top.
fn enabled(unified: Option<&Hierarchy>) -> Result<Vec<String>, Failure> {
    unified.map_or(Ok(Vec::new()), |unified| words(&unified.mount.join(SUBTREE)))
}

fn words(file: &Path) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(file).map_err(Failure::file("read", file))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(Failure::file("write", file))
}

impl fmt::Display for Hierarchies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hierarchy) in self.iter().enumerate() {
            let generation = match hierarchy.version {
                Version::V1 => "v1",
                Version::V2 => "v2",
            };
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{}({generation})", hierarchy.name)?;
        }
        Ok(())
    }
}

/// The hierarchy that a mount shows.
fn hierarchy(
    mount: &MountInfo,
    places: &[ProcessCGroup],
    place: &str,
) -> Result<Option<Hierarchy>, Failure> {
    let is_named = |option: &str| option.starts_with("name=") || option == "name";
    let (version, controllers) = match mount.fs_type.as_str() {
        "cgroup2" => (Version::V2, words(&mount.mount_point.join("cgroup.controllers"))?),
        "cgroup" if !mount.super_options.keys().any(|option| is_named(option)) => {
            (Version::V1, v1_controllers(mount, places))
        }
        _ => return Ok(None),
    };
    if version == Version::V1 && controllers.is_empty() {
        return Ok(None);
    }
    let own = places.iter().find(|place| match version {
        Version::V1 => place.controllers.iter().any(|name| controllers.contains(name)),
        Version::V2 => place.hierarchy == 0,
    });
    let own = own.map_or("", |place| place.pathname.trim_start_matches('/'));
    let path = &mount.mount_point;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (own, place, mount) = (path.join(own), path.join(place), path.clone());
    Ok(Some(Hierarchy { version, name, controllers, mount, place, own }))
}

/// What a v1 mount has: those of its options that `/proc/self/cgroup` calls controllers.
fn v1_controllers(mount: &MountInfo, places: &[ProcessCGroup]) -> Vec<String> {
    let known = places.iter().flat_map(|place| &place.controllers);
    known.filter(|name| mount.super_options.contains_key(*name)).cloned().collect()
}
