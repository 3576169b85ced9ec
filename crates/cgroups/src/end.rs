//! Processes of a group: listed, frozen, killed; and the end of the group.
//!
//! Kernel objects: `cgroup.procs`, `cgroup.freeze` (Linux 5.2), `cgroup.kill` (5.14), v1 `freezer.state`; pidfds.
//! Invariant: a process id is acted on only while its pidfd is open and the id is still listed.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Absence, Error, ErrorKind, Result};
use crate::group::Group;
use crate::place::{self, Dir};
use crate::table::Version;
use crate::walk::{self, After};

/// How long a freeze or the end of killed processes may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(500);

/// Whether groups below are meant too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The group alone.
    One,
    /// With everything below it.
    Recursive,
}

impl Group {
    /// Ids of its processes, in the caller's pid namespace.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the group has been removed.
    pub fn procs(&self, depth: Depth) -> Result<BTreeSet<u32>> {
        let mut procs = BTreeSet::new();
        let (mut found, mut gone) = (false, None);
        for dir in self.dirs() {
            match collect(dir, &self.name, depth, &mut procs) {
                // A removal that failed half-way took this one away; the others count.
                Err(error) if error.kind() == ErrorKind::NotFound => gone = Some(error),
                result => {
                    result?;
                    found = true;
                }
            }
        }
        gone.filter(|_| !found).map_or(Ok(procs), Err)
    }

    /// Stops all processes where they are, and waits until they have stopped.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout), [`MissingController`](crate::ErrorKind::MissingController).
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen("1", "FROZEN")
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As [`Group::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen("0", "THAWED")
    }

    /// Where the kernel says whether it is frozen, to be asked again and again.
    ///
    /// # Errors
    /// [`MissingController`](crate::ErrorKind::MissingController), [`NotFound`](crate::ErrorKind::NotFound), a limit on
    /// descriptors.
    pub fn freeze_state(&self) -> Result<FreezeState> {
        let dir = self.freezer()?;
        let (name, frozen) = match dir.version {
            Version::V2 => ("cgroup.events", ["frozen 1", "frozen 1"]),
            Version::V1 => ("freezer.state", ["FROZEN", "FREEZING"]),
        };
        let name = format!("{}/{name}", self.name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&dir.fd, name.as_str(), flags, Mode::empty())
            .map_err(|errno| Error::at("open", &dir.path.join(&name), errno))?;
        Ok(FreezeState { file: crate::group::above_stdio(file)?, frozen })
    }

    /// The directory in the hierarchy that freezes.
    fn freezer(&self) -> Result<&Dir> {
        let freezer = crate::controller::Controllers::FREEZER;
        let on_v2 = self.dirs().find(|dir| dir.version == Version::V2);
        let on_v1 = || self.dirs().find(|dir| dir.controllers.contains(freezer));
        let missing = || Error::missing("freeze", freezer, Absence::Unmounted);
        on_v2.or_else(on_v1).ok_or_else(missing)
    }

    fn set_frozen(&self, v2: &str, v1: &str) -> Result<()> {
        let dir = self.freezer()?;
        let (file, text) = match dir.version {
            Version::V2 => ("cgroup.freeze", v2),
            Version::V1 => ("freezer.state", v1),
        };
        let file = format!("{}/{file}", self.name);
        place::write(&dir.fd, &file, text)
            .map_err(|errno| Error::at("write", &dir.path.join(&file), errno))?;
        self.settled(dir, [v2, v1]).inspect_err(|_| {
            // Not half frozen: the error means that they go on.
            let thawed = if dir.version == Version::V2 { "0" } else { "THAWED" };
            let _kept = place::write(&dir.fd, &file, thawed).is_err();
        })
    }

    /// Waits until it is frozen or thawed as asked.
    fn settled(&self, dir: &Dir, [v2, v1]: [&str; 2]) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while !is(dir, &self.name, v2, v1)? {
            if Instant::now() > deadline {
                return Err(Error::timeout("freezing", dir.path.join(&self.name)));
            }
            std::thread::sleep(PAUSE);
            // v1 looks for processes that have stopped by now when it is written to.
            if dir.version == Version::V1 {
                let file = format!("{}/freezer.state", self.name);
                place::write(&dir.fd, &file, v1)
                    .map_err(|errno| Error::at("write", &dir.path.join(&file), errno))?;
            }
        }
        Ok(())
    }

    /// Kills all processes, also those of groups below, and waits for their end.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) when one does not end, [`Denied`](crate::ErrorKind::Denied).
    pub fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while !self.procs(Depth::Recursive)?.is_empty() {
            self.kill_once()?;
            if Instant::now() > deadline {
                return Err(Error::timeout("killing", self.first_path()));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn kill_once(&self) -> Result<()> {
        if let Some(dir) = self.dirs().find(|dir| dir.version == Version::V2) {
            // Processes may be in a v1 directory only, or this one may be gone: look at the others too.
            let _kept = place::write(&dir.fd, &format!("{}/cgroup.kill", self.name), "1").is_err();
            return self.signal_all();
        }
        // A process that forks faster than it is killed stands still meanwhile.
        let frozen = self.freeze().is_ok();
        let killed = self.signal_all();
        if frozen {
            self.thaw()?;
        }
        killed
    }

    fn signal_all(&self) -> Result<()> {
        for id in self.procs(Depth::Recursive)? {
            let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
            let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
                continue;
            };
            if !self.procs(Depth::Recursive)?.contains(&id) {
                continue;
            }
            match pidfd_send_signal(&pidfd, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(Error::system("pidfd_send_signal", errno)),
            }
        }
        Ok(())
    }

    /// Removes it with all groups below, which must be without processes.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) when a process is still in it.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        for dir in self.dirs() {
            remove(dir, &self.name, deadline)?;
        }
        Ok(())
    }

    /// Kills what is still in it and removes it with all groups below. A group that is empty is removed without a look
    /// at its processes.
    ///
    /// # Errors
    /// As [`Group::kill`] and [`Group::remove`].
    pub fn end(mut self) -> Result<()> {
        let mut busy = 0;
        for (index, dir) in self.members() {
            match unlinkat(&dir.fd, self.name.as_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::BUSY) => busy |= 1 << index,
                Err(errno) => return Err(Error::at("rmdir", &dir.path.join(&self.name), errno)),
            }
        }
        self.members = busy;
        if busy == 0 {
            return Ok(());
        }
        self.kill()?;
        self.remove()
    }

    fn first_path(&self) -> std::path::PathBuf {
        self.paths().next().unwrap_or_default()
    }
}

/// Whether a group is frozen; see [`Group::freeze_state`].
#[derive(Debug)]
pub struct FreezeState {
    file: OwnedFd,
    frozen: [&'static str; 2],
}

impl FreezeState {
    /// Whether all its processes have stopped, by [`Group::freeze`] of it or of a group above.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the group has been removed.
    pub fn is_frozen(&self) -> Result<bool> {
        let mut text = [0; 256];
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, &mut text, 0));
        let length = read.map_err(|errno| Error::system("pread", errno))?;
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        Ok(text.lines().any(|line| self.frozen.contains(&line)))
    }
}

/// Whether a group is frozen or thawed as asked.
fn is(dir: &Dir, name: &str, v2: &str, v1: &str) -> Result<bool> {
    let (file, wanted) = match dir.version {
        Version::V2 => (format!("{name}/cgroup.events"), format!("frozen {v2}")),
        Version::V1 => (format!("{name}/freezer.state"), v1.to_owned()),
    };
    let text = place::read(&dir.fd, &file)
        .map_err(|errno| Error::at("read", &dir.path.join(&file), errno))?;
    Ok(text.lines().any(|line| line == wanted))
}

fn collect(dir: &Dir, group: &str, depth: Depth, procs: &mut BTreeSet<u32>) -> Result<()> {
    let failed = |errno| Error::at("read", &dir.path.join(group).join("cgroup.procs"), errno);
    let top = open(dir, group).map_err(failed)?;
    if depth == Depth::One {
        return listed(&top, procs).map_err(failed);
    }
    walk::deepest_first(top, After::Keep, &mut |here| listed(here, procs)).map_err(failed)
}

/// Adds the processes of one group.
fn listed(group: &OwnedFd, procs: &mut BTreeSet<u32>) -> Result<(), Errno> {
    match place::read(group, "cgroup.procs") {
        Ok(text) => procs.extend(text.lines().filter_map(|line| line.parse::<u32>().ok())),
        // A threaded group: its processes are listed above it.
        Err(Errno::OPNOTSUPP) => {}
        Err(errno) => return Err(errno),
    }
    Ok(())
}

fn open(dir: &Dir, group: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&dir.fd, group, flags, Mode::empty())
}

/// Removes a group, deepest first; what has just ended may take a moment to leave it.
fn remove(dir: &Dir, group: &str, deadline: Instant) -> Result<()> {
    let failed = |errno| Error::at("rmdir", &dir.path.join(group), errno);
    loop {
        match unlinkat(&dir.fd, group, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(failed(errno)),
        }
        // Nothing is taken away from under a process that lives.
        let mut living = BTreeSet::new();
        match collect(dir, group, Depth::Recursive, &mut living) {
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => result?,
        }
        if !living.is_empty() || Instant::now() > deadline {
            return Err(failed(Errno::BUSY));
        }
        let mut groups = 0;
        let mut count = |_: &OwnedFd| {
            groups += 1;
            Ok(())
        };
        match open(dir, group).and_then(|top| walk::deepest_first(top, After::Remove, &mut count)) {
            Ok(()) if groups > 1 => continue,
            Ok(()) | Err(Errno::NOENT | Errno::BUSY) => std::thread::sleep(PAUSE),
            Err(errno) => return Err(failed(errno)),
        }
    }
}
