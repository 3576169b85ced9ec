//! The raw calls: what has to be done, and nothing else.
//!
//! Touches directories and files of cgroupfs. Invariant: every path is relative to a directory that is open already;
//! the directories that it makes and the statistics that it reads are those of Ampoule's crate, as the kernel saw them
//! ([`super::proof`]), so that both do the same work.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::contender::{Contender, Group, Usage};
use super::hierarchy::{Hierarchies, Hierarchy, Version};
use super::limits;
use super::proof::Work;
use super::start;
use crate::contender::{Contender as Starter, Sample};
use crate::failure::Failure;
use crate::floor::Floor;
use crate::floor_calls;
use crate::floor_group::{self, Directory, Way};

/// Makes groups with system calls.
#[derive(Debug)]
pub struct Raw(Arc<Plan>);

/// Everything that is known before the first group.
#[derive(Debug)]
struct Plan {
    tops: Vec<OwnedFd>,
    /// Which of them is of v2.
    unified: Option<usize>,
    /// Index of the hierarchy, file, text.
    writes: Vec<(usize, &'static str, String)>,
    /// Index of the hierarchy, file, in the order in which they are read.
    reads: Vec<(usize, String)>,
}

/// The floor with a group for each start.
struct Grouped {
    floor: Floor,
    _plan: Arc<Plan>,
}

impl Starter for Grouped {
    fn spawn(&self) -> Result<Sample, Failure> {
        self.floor.spawn()
    }
}

/// A group of [`Raw`].
#[derive(Debug)]
struct RawGroup {
    plan: Arc<Plan>,
    name: String,
}

impl Raw {
    /// Plans the same work.
    ///
    /// # Errors
    /// When a limit's controller is in none of its directories, or one cannot be opened.
    pub fn new(hierarchies: &Hierarchies, work: &Work) -> Result<Self, Failure> {
        let is_used = |one: &&Hierarchy| work.directories.contains(&one.name);
        let used: Vec<&Hierarchy> = hierarchies.iter().filter(is_used).collect();
        let mut writes = Vec::new();
        for write in limits::writes(hierarchies)? {
            let index = used.iter().position(|used| used.has(write.controller));
            let missing =
                || Failure::Unknown { what: "hierarchy of", name: write.controller.into() };
            writes.push((index.ok_or_else(missing)?, write.file, write.text));
        }
        let read = |path: &String| {
            let (hierarchy, file) = path.split_once('/')?;
            let index = used.iter().position(|used| used.name == hierarchy)?;
            Some((index, file.to_owned()))
        };
        let reads = work.reads.iter().filter_map(read).collect();
        let tops = used.iter().map(|used| open(&used.place)).collect::<Result<_, _>>()?;
        let unified = used.iter().position(|used| used.version == Version::V2);
        Ok(Self(Arc::new(Plan { tops, unified, writes, reads })))
    }
}

fn open(directory: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty());
    opened.map_err(|errno| Failure::file("open", directory)(errno.into()))
}

impl Contender for Raw {
    fn starter(&self, rootfs: &Path, prefix: &str) -> Result<Box<dyn Starter>, Failure> {
        let plan = &self.0;
        let directory = |(index, top): (usize, &OwnedFd)| {
            let own = plan.writes.iter().filter(|(at, ..)| *at == index);
            let writes = own.map(|(_, file, text)| (*file, text.clone())).collect();
            let way = if plan.unified == Some(index) { Way::Born } else { Way::Joins };
            Directory { above: top.as_raw_fd(), way, writes }
        };
        let directories: Vec<Directory> = plan.tops.iter().enumerate().map(directory).collect();
        let recipe = floor_group::recipe(&format!("{prefix}start"), &directories);
        let recipe = floor_calls::extend(recipe, start::configuration(), rootfs, &["/bin/true"]);
        // The recipe's calls name the descriptors of the plan.
        Ok(Box::new(Grouped { floor: Floor::new(recipe), _plan: plan.clone() }))
    }

    fn create(&self, name: &str) -> Result<Box<dyn Group>, Failure> {
        let plan = &self.0;
        let mode = Mode::from_raw_mode(0o755);
        for top in &plan.tops {
            rustix::fs::mkdirat(top, name, mode).map_err(Failure::call("mkdirat"))?;
        }
        for (index, file, text) in &plan.writes {
            write(&plan.tops[*index], name, file, text)?;
        }
        Ok(Box::new(RawGroup { plan: plan.clone(), name: name.to_owned() }))
    }
}

/// Opens, writes, closes.
fn write(top: &OwnedFd, group: &str, file: &str, text: &str) -> Result<(), Failure> {
    let path = format!("{group}/{file}");
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(top, path, flags, Mode::empty());
    let file = file.map_err(Failure::call("openat"))?;
    rustix::io::write(&file, text.as_bytes()).map_err(Failure::call("write"))?;
    Ok(())
}

impl Group for RawGroup {
    fn stat(&self) -> Result<Usage, Failure> {
        let mut bytes = vec![0; 16 << 10];
        let mut usage = Usage::default();
        for (index, file) in &self.plan.reads {
            let path = format!("{}/{file}", self.name);
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let open = rustix::fs::openat(&self.plan.tops[*index], path, flags, Mode::empty());
            let open = open.map_err(Failure::call("openat"))?;
            let length = rustix::io::read(&open, &mut bytes).map_err(Failure::call("read"))?;
            let number = || {
                let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
                text.trim_end().parse().unwrap_or(0)
            };
            match file.as_str() {
                "memory.usage_in_bytes" | "memory.current" => usage.memory = number(),
                "pids.current" => usage.processes = number(),
                _ => {}
            }
        }
        Ok(usage)
    }

    fn add(&self, process: u32) -> Result<(), Failure> {
        let text = process.to_string();
        for top in &self.plan.tops {
            write(top, &self.name, "cgroup.procs", &text)?;
        }
        Ok(())
    }

    fn remove(self: Box<Self>) -> Result<(), Failure> {
        for top in &self.plan.tops {
            rustix::fs::unlinkat(top, &self.name, AtFlags::REMOVEDIR)
                .map_err(Failure::call("unlinkat"))?;
        }
        Ok(())
    }
}
