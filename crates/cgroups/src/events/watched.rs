//! One open file of a group that tells what happened.
//!
//! Kernel objects: a file of cgroupfs; kernfs marks it with `POLLPRI` from the moment of a change to
//! the next read of the same descriptor. Invariant: reading a file is what takes the mark away, so
//! that a change after the read is seen by the next poll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::EventfdFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::snapshot::Snapshot;
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::stat::{Dir, Files, MemoryEvents, State, keyed, pids, tree};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// v2 `memory.events`.
    Memory,
    /// v2 `memory.events.local`.
    MemoryLocal,
    /// `pids.events`.
    Pids,
    /// v2 `cgroup.events`.
    State,
    /// v1 `memory.oom_control`.
    OomControl,
    /// v1 `memory.failcnt`.
    Failcnt,
    /// v1 `memory.memsw.failcnt`: the limit of memory and swap together.
    BothFailcnt,
    /// v1 `freezer.state`.
    FreezerState,
    /// v1 `cgroup.procs`, of any hierarchy; the descriptor is the directory's, because a list of processes that is
    /// read twice from one descriptor may be up to a second old.
    Procs,
}

/// The files by source and version, in the order in which they are read: the state first, so that
/// what ended a process has been counted when its end is seen.
const V2: [(Controller, Content, &str); 4] = [
    (Controller::Core, Content::State, "cgroup.events"),
    (Controller::Memory, Content::Memory, "memory.events"),
    (Controller::Memory, Content::MemoryLocal, "memory.events.local"),
    (Controller::Pids, Content::Pids, "pids.events"),
];
const V1: [(Controller, Content, &str); 5] = [
    (Controller::Freezer, Content::FreezerState, "freezer.state"),
    (Controller::Memory, Content::OomControl, "memory.oom_control"),
    (Controller::Memory, Content::Failcnt, "memory.failcnt"),
    (Controller::Memory, Content::BothFailcnt, "memory.memsw.failcnt"),
    (Controller::Pids, Content::Pids, "pids.events"),
];

/// An open file and what it holds.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) content: Content,
    /// Whether it has to be looked at, because not every kernel wakes who polls it.
    pub(super) ticks: bool,
    file: OwnedFd,
}

impl Watched {
    /// Opens what there is to watch below the directories.
    pub(super) fn open_all<'a>(dir: &dyn Fn(Controller) -> Option<Dir<'a>>) -> Result<Vec<Self>> {
        use Controller::{Core, Freezer, Memory, Pids};
        let mut all = Vec::new();
        for controller in [Core, Freezer, Memory, Pids] {
            let Some(dir) = dir(controller) else { continue };
            let (table, ticks) = match dir {
                Dir::V1(_) => (V1.as_slice(), true),
                Dir::V2(_) => (V2.as_slice(), false),
            };
            for (_, content, name) in table.iter().filter(|(each, ..)| *each == controller) {
                let file = open(dir, name)?;
                all.extend(file.map(|file| Self { content: *content, ticks, file }));
            }
        }
        // Before the counters, but after v2's state, which it adds to.
        let place = all.iter().take_while(|each| each.content == Content::State).count();
        if let Some(dir @ Dir::V1(_)) = [Freezer, Pids, Memory].into_iter().find_map(dir) {
            let file = open(dir, ".")?.into_iter();
            let procs = file.map(|file| Self { content: Content::Procs, ticks: true, file });
            all.splice(place..place, procs);
        }
        Ok(all)
    }

    /// Whether the kernel wakes who polls the file. For `pids.events` of v1 Linux 6.11 and later do
    /// not, so that it is looked at too.
    pub(super) fn notifies(&self) -> bool {
        use Content::{Memory, MemoryLocal, Pids, State};
        matches!(self.content, Memory | MemoryLocal | Pids | State)
    }

    /// Reads the file into `snapshot`.
    pub(super) fn read(&self, files: &mut Files, snapshot: &mut Snapshot) -> Result<(), Errno> {
        if self.content == Content::Procs {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let list = rustix::fs::openat(&self.file, "cgroup.procs", flags, Mode::empty())?;
            snapshot.state.add_v1_processes(files.read_open(list)?);
            return Ok(());
        }
        let text = files.read_open(&self.file)?;
        match self.content {
            Content::Memory => snapshot.memory = MemoryEvents::parse(text),
            Content::MemoryLocal => snapshot.memory_local = MemoryEvents::parse(text),
            Content::Pids => snapshot.pids_max = pids::parse_events(text),
            Content::State => snapshot.state = State::parse(text),
            Content::OomControl => snapshot.memory = MemoryEvents::parse(text),
            Content::Failcnt => snapshot.set_v1_max(keyed::single(text)),
            Content::BothFailcnt => {
                let both = keyed::single(text).zip(snapshot.memory.max);
                snapshot.set_v1_max(both.map(|(both, memory)| both.saturating_add(memory)));
            }
            Content::FreezerState => snapshot.state.frozen = tree::parse_freezer_state(text),
            Content::Procs => {}
        }
        Ok(())
    }
}

impl Snapshot {
    /// v1 has no counters of the group alone beside those of the group with all below.
    fn set_v1_max(&mut self, max: Option<u64>) {
        self.memory.max = max.or(self.memory.max);
        self.memory_local = self.memory.clone();
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open(dir: Dir<'_>, name: &str) -> Result<Option<OwnedFd>> {
    match rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::at("openat", Path::new(name), errno)),
    }
}

/// Has v1's memory controller count every time that `oom_control`'s group is out of memory.
pub(super) fn oom_eventfd(dir: Dir<'_>, oom_control: BorrowedFd<'_>) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    const NAME: &str = "cgroup.event_control";
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let eventfd = rustix::event::eventfd(0, flags).map_err(|e| Error::system("eventfd", e))?;
    let control = rustix::fs::openat(dir, NAME, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let control = control.map_err(|errno| Error::at("openat", Path::new(NAME), errno))?;
    let text = format!("{} {}", eventfd.as_raw_fd(), oom_control.as_raw_fd());
    rustix::io::write(&control, text.as_bytes())
        .map_err(|errno| Error::at("write", Path::new(NAME), errno))?;
    Ok(eventfd)
}
