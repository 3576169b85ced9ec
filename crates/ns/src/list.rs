//! The namespaces of a process, and a list of all namespaces that processes are in.
//!
//! Kernel objects: `/proc/PID/ns/*` and the ioctls of these files (ioctl_ns(2)), read only. Manual:
//! namespaces(7), lsns(8). Namespaces that only a descriptor, a mount or a single thread keeps are
//! not listed. Invariant: a namespace is told by device and inode of its file, never by the text
//! of a link.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ampoule_init::sys::ns_ioctl;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::namespace::Namespace;
use crate::process::{Proc, Process};

/// Which namespace it is: device and inode of its file, unique while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespaceId {
    /// The inode, as in `net:[4026531840]`.
    pub inode: u64,
    /// The device, the one of nsfs.
    pub dev: u64,
}

impl NamespaceId {
    /// The identity of an open namespace file, for instance from [`open`].
    ///
    /// # Errors
    /// When fstat(2) fails.
    pub fn of(namespace: BorrowedFd<'_>) -> Result<Self> {
        let stat = fstat(namespace).map_err(|errno| Error::system("fstat", errno))?;
        Ok(Self::from(&stat))
    }
}

impl From<&Stat> for NamespaceId {
    fn from(stat: &Stat) -> Self {
        Self { inode: stat.st_ino, dev: stat.st_dev }
    }
}

/// The namespaces of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Namespaces {
    /// The process.
    pub pid: u32,
    /// By kind; a kind is missing when the kernel does not have it, or the process is a zombie.
    pub ids: BTreeMap<Namespace, NamespaceId>,
    /// The PID namespace of its children, since Linux 4.12. Missing when the first of them, which
    /// will be its PID 1, is not there yet.
    pub pid_for_children: Option<NamespaceId>,
    /// The time namespace of its children, since Linux 5.6.
    pub time_for_children: Option<NamespaceId>,
}

impl Namespaces {
    /// Looks at process `pid`. Needs the right to trace it (ptrace(2), `PTRACE_MODE_READ_FSCREDS`).
    ///
    /// # Errors
    /// [`ProcessGone`](ErrorKind::ProcessGone), [`Denied`](ErrorKind::Denied).
    pub fn of(pid: u32) -> Result<Self> {
        Self::read(&Proc::open()?.process(pid)?)
    }

    /// The namespace of one kind.
    #[must_use]
    pub fn get(&self, kind: Namespace) -> Option<NamespaceId> {
        self.ids.get(&kind).copied()
    }

    fn read(process: &Process) -> Result<Self> {
        let mut ids = BTreeMap::new();
        for kind in Namespace::ALL {
            if let Some(id) = identity(process, kind.proc_name())? {
                ids.insert(kind, id);
            }
        }
        Ok(Self {
            pid: process.pid,
            ids,
            pid_for_children: identity(process, "pid_for_children")?,
            time_for_children: identity(process, "time_for_children")?,
        })
    }
}

/// Opens the namespace of a process, close-on-exec.
///
/// # Errors
/// [`ProcessGone`](ErrorKind::ProcessGone) (also for a zombie, which has no namespaces left),
/// [`Denied`](ErrorKind::Denied).
pub fn open(pid: u32, kind: Namespace) -> Result<OwnedFd> {
    open_in(&Proc::open()?.process(pid)?, kind)
}

/// Opens a namespace file, such as a pinned one, close-on-exec, and checks its kind.
///
/// # Errors
/// [`WrongNamespace`](ErrorKind::WrongNamespace), or what open(2) answered.
pub fn open_path(path: &Path, kind: Namespace) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let fd =
        openat(CWD, path, flags, Mode::empty()).map_err(|errno| Error::at("open", path, errno))?;
    crate::pin::check_kind(fd.as_fd(), kind)?;
    Ok(fd)
}

fn open_in(process: &Process, kind: Namespace) -> Result<OwnedFd> {
    let name = format!("ns/{kind}");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    openat(process.directory(), name, flags, Mode::empty()).map_err(|errno| process.failed(errno))
}

/// The identity behind a link below `ns`; `None` when the kernel or a zombie does not have it.
fn identity(process: &Process, name: &str) -> Result<Option<NamespaceId>> {
    match statat(process.directory(), format!("ns/{name}"), AtFlags::empty()) {
        Ok(stat) => Ok(Some(NamespaceId::from(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(process.failed(errno)),
    }
}

/// A namespace that at least one process is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamespaceEntry {
    /// The kind.
    pub kind: Namespace,
    /// Which one it is.
    pub id: NamespaceId,
    /// How many of the readable processes are in it.
    pub processes: usize,
    /// The lowest id among them.
    pub pid: u32,
    /// The effective user of that process.
    pub uid: u32,
    /// Who made the user namespace that owns it (for a user namespace: who made it itself); `None`
    /// when that is outside the caller's own user namespace.
    pub owner_uid: Option<u32>,
    /// The command line of that process, or its name. It may contain control characters.
    pub command: String,
}

/// What [`scan`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamespaceList {
    /// Sorted by inode.
    pub entries: Vec<NamespaceEntry>,
    /// How many processes were left out because they may not be read.
    pub unreadable: usize,
}

/// Lists the namespaces of all visible processes.
///
/// Processes that end meanwhile are left out. Command lines lie in the memory of their processes,
/// so this waits for processes whose memory cannot be read at once.
///
/// # Errors
/// When `/proc` is not a procfs or cannot be read.
pub fn scan() -> Result<NamespaceList> {
    let proc = Proc::open()?;
    let mut list = NamespaceList::default();
    let mut found = BTreeMap::new();
    for pid in proc.pids()? {
        match proc.process(pid).and_then(|process| add(&mut found, &process)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::ProcessGone => {}
            Err(error) if error.kind() == ErrorKind::Denied => list.unreadable += 1,
            Err(error) => return Err(error),
        }
    }
    list.entries = found.into_values().collect();
    Ok(list)
}

type Found = BTreeMap<(NamespaceId, Namespace), NamespaceEntry>;

/// Counts the namespaces of a process; the first process of a namespace makes its entry.
fn add(found: &mut Found, process: &Process) -> Result<()> {
    let namespaces = Namespaces::read(process)?;
    for (kind, id) in namespaces.ids {
        match found.get_mut(&(id, kind)) {
            Some(entry) => entry.processes += 1,
            None => drop(found.insert((id, kind), describe(process, kind, id)?)),
        }
    }
    Ok(())
}

fn describe(process: &Process, kind: Namespace, id: NamespaceId) -> Result<NamespaceEntry> {
    Ok(NamespaceEntry {
        kind,
        id,
        processes: 1,
        pid: process.pid,
        uid: process.uid()?,
        owner_uid: owner_uid(process, kind, id)?,
        command: process.command()?,
    })
}

fn owner_uid(process: &Process, kind: Namespace, id: NamespaceId) -> Result<Option<u32>> {
    let namespace = open_in(process, kind)?;
    if NamespaceId::of(namespace.as_fd())? != id {
        return Ok(None); // The process moved on meanwhile.
    }
    let user = match kind {
        Namespace::User => Ok(namespace),
        _ => ns_ioctl::owning_user_namespace(namespace.as_fd()),
    };
    Ok(user.and_then(|user| ns_ioctl::owner_uid(user.as_fd())).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn finds_the_own_namespaces() {
        let own = Namespaces::of(std::process::id()).unwrap();
        for kind in Namespace::ALL {
            let meta = std::fs::metadata(format!("/proc/self/ns/{kind}")).unwrap();
            let id = NamespaceId { inode: meta.ino(), dev: meta.dev() };
            assert_eq!(own.get(kind), Some(id));
            let opened = open(std::process::id(), kind).unwrap();
            assert_eq!(NamespaceId::of(opened.as_fd()).unwrap(), id);
            let flags = rustix::io::fcntl_getfd(&opened).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert_eq!(own.pid_for_children, own.get(Namespace::Pid));
        assert_eq!(own.time_for_children, own.get(Namespace::Time));
        let json = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Namespaces>(&json).unwrap(), own);
    }

    #[test]
    fn a_process_that_is_not_there_is_gone() {
        for pid in [0, u32::MAX] {
            assert_eq!(Namespaces::of(pid).unwrap_err().kind(), ErrorKind::ProcessGone);
            assert_eq!(open(pid, Namespace::Net).unwrap_err().kind(), ErrorKind::ProcessGone);
        }
    }

    #[test]
    fn a_zombie_has_few_namespaces() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), gone).unwrap();
        let zombie = Namespaces::of(child.id()).unwrap();
        assert_eq!(zombie.get(Namespace::Net), None);
        assert_eq!(open(child.id(), Namespace::Net).unwrap_err().kind(), ErrorKind::ProcessGone);
        child.wait().unwrap();
    }

    #[test]
    fn the_scan_has_this_process() {
        let own = Namespaces::of(std::process::id()).unwrap();
        let list = scan().unwrap();
        for kind in Namespace::ALL {
            let id = own.get(kind).unwrap();
            let entry = list.entries.iter().find(|e| e.kind == kind && e.id == id).unwrap();
            assert!(entry.processes > 0 && entry.pid <= std::process::id());
            assert!(!entry.command.is_empty());
        }
    }

    #[test]
    fn the_scan_survives_ending_processes() {
        let churn = std::thread::spawn(|| {
            for _ in 0..100 {
                std::process::Command::new("true").status().unwrap();
            }
        });
        while !churn.is_finished() {
            scan().unwrap();
        }
        churn.join().unwrap();
    }
}
