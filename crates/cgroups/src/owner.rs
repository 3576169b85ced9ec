//! Whose groups are whose: names that say which process made a group, and clearing up after one that ended.
//!
//! Kernel objects: names of directories, `/proc/PID/stat`. Invariant: a group of a living process, or of a process that
//! cannot be seen from here, is never touched.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::end::Depth;
use crate::error::{Error, ErrorKind, PATH, Result};
use crate::group::Group;
use crate::path::check_name;
use crate::place::Place;

/// Whether a group ends with the process that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does: [`reconcile()`] kills what is left in it.
    WithOwner,
    /// It goes on, and is removed when it is empty.
    Detached,
}

/// What [`reconcile()`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciled {
    /// Groups that were removed.
    pub removed: usize,
    /// Groups that could not be removed.
    pub failed: usize,
}

/// A name for a group of this process that no other group has: `ID.PID-START-NAMESPACE`.
///
/// # Errors
/// When procfs cannot be read, or the id cannot be part of a name.
pub fn owned_name(id: Option<&str>, life: Life) -> Result<String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let namespace = namespace();
    let start =
        own_start(pid, namespace).ok_or_else(|| Error::system("read of procfs", Errno::NOENT))?;
    let letter = match life {
        Life::WithOwner => 'w',
        Life::Detached => 'd',
    };
    let id = id.map_or_else(|| number.to_string(), str::to_owned);
    check_name(&id).map_err(|reason| Error::text(PATH, &id, reason))?;
    let name = format!("{id}.{letter}{pid}-{start}-{namespace:x}");
    crate::path::group_name(&name).map(str::to_owned)
}

/// When this process was started: looked up once, and again in a fork.
fn own_start(pid: u32, namespace: u64) -> Option<u64> {
    static KNOWN: Mutex<Option<(u32, u64, u64)>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !known.is_some_and(|(of, inside, _)| (of, inside) == (pid, namespace)) {
        *known = start_time(pid).map(|start| (pid, namespace, start));
    }
    known.map(|(.., start)| start)
}

/// The own pid namespace: ids mean nothing in another one.
fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino())
}

/// When a process was started, in ticks since boot (proc_pid_stat(5)).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether the process with this id and start is gone; what cannot be read counts as living.
fn has_ended(pid: u32, start: u64) -> bool {
    match std::fs::metadata(format!("/proc/{pid}")) {
        Ok(_) => start_time(pid).is_some_and(|other| other != start),
        // It may be hidden (`hidepid` of proc(5)), or procfs may not be there at all: the kernel knows.
        Err(error) => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let gone = pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
            gone && error.kind() == std::io::ErrorKind::NotFound
        }
    }
}

/// What a name tells of its owner.
struct Owner {
    life: Life,
    pid: u32,
    start: u64,
    namespace: u64,
}

impl Owner {
    fn of(name: &str) -> Option<Self> {
        let (life, owner) = name.rsplit_once('.')?.1.split_at_checked(1)?;
        let mut parts = owner.split('-');
        let (pid, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let namespace = u64::from_str_radix(parts.next()?, 16).ok()?;
        let life = match life {
            "w" => Life::WithOwner,
            "d" => Life::Detached,
            _ => return None,
        };
        parts.next().is_none().then_some(Self { life, pid, start, namespace })
    }
}

/// Whether a name tells its owner.
pub(crate) fn is_owned(name: &str) -> bool {
    Owner::of(name).is_some()
}

/// Whether the owner that a name tells is gone.
fn orphaned(name: &str) -> Option<Life> {
    let owner = Owner::of(name)?;
    let gone = owner.namespace == namespace() && has_ended(owner.pid, owner.start);
    gone.then_some(owner.life)
}

/// The names of all groups of a place whose owner is gone.
fn orphans(place: &Place) -> Result<Vec<(String, Life)>> {
    let mut names = std::collections::BTreeSet::new();
    for path in place.paths() {
        let entries =
            std::fs::read_dir(path).map_err(|error| Error::io("readdir", path, &error))?;
        names.extend(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()));
    }
    Ok(names.into_iter().filter_map(|name| orphaned(&name).map(|life| (name, life))).collect())
}

/// Removes the groups of processes that have ended and that are empty; what runs in others, and they, stay. Waits for
/// nothing.
///
/// # Errors
/// When the place cannot be read.
pub fn sweep(place: &Place) -> Result<Reconciled> {
    let mut done = Reconciled::default();
    for (name, _) in orphans(place)? {
        let remove = |dir: &crate::place::Dir| unlinkat(&dir.fd, &*name, AtFlags::REMOVEDIR);
        let results: Vec<_> = place.dirs().iter().map(remove).collect();
        let failed = |result: &_| !matches!(result, Ok(()) | Err(Errno::NOENT));
        done.failed += usize::from(results.iter().any(failed));
        done.removed +=
            usize::from(results.iter().any(Result::is_ok) && !results.iter().any(failed));
    }
    Ok(done)
}

/// Removes the groups of processes that have ended, with what still runs in them; a detached group only when it is
/// empty. Several processes may do it at once.
///
/// # Errors
/// When the place cannot be read.
pub fn reconcile(place: &Place) -> Result<Reconciled> {
    let mut done = Reconciled::default();
    for (name, life) in orphans(place)? {
        let Ok(group) = Group::open(place, &name) else { continue };
        let empty = || group.procs(Depth::Recursive).is_ok_and(|procs| procs.is_empty());
        if life == Life::Detached && !empty() {
            continue;
        }
        match end(&group) {
            Ok(()) => done.removed += 1,
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => done.failed += 1,
        }
    }
    Ok(done)
}

/// How long processes may be on their way into a group whose owner has ended.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Kills what is in the group and removes it. A process that the owner started last may join only now.
fn end(group: &Group) -> Result<()> {
    let deadline = Instant::now() + ON_THE_WAY;
    loop {
        match group.kill().and_then(|()| group.remove()) {
            Err(error) if error.kind() == ErrorKind::Busy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_owner() {
        let name = owned_name(Some("web.1"), Life::WithOwner).unwrap();
        assert!(name.starts_with("web.1.w"), "{name}");
        assert_eq!(orphaned(&name), None, "this process lives");
        let other = format!("x.w{}-1-{:x}", std::process::id(), namespace());
        assert_eq!(orphaned(&other), Some(Life::WithOwner), "another process with this id");
        assert_eq!(orphaned(&other.replace(".w", ".d")), Some(Life::Detached));
        for id in ["memory", "cpu.max"] {
            let name = owned_name(Some(id), Life::WithOwner).unwrap();
            crate::path::group_name(&name).unwrap();
        }
        for id in ["", ".", "..", "a/b", "../x", "a\n"] {
            owned_name(Some(id), Life::WithOwner).unwrap_err();
        }
        for foreign in ["web", "x.w1-1", "x.w1-1-7", "x.q1-1-1", "user.slice", "x.w", "."] {
            assert_eq!(orphaned(foreign), None, "{foreign}");
        }
        assert_ne!(owned_name(None, Life::WithOwner), owned_name(None, Life::WithOwner));
    }
}
