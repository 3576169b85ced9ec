//! A place in a transient scope of systemd.
//!
//! Kernel objects: one group that systemd makes and delegates, and in it a group with a process of ours that does
//! nothing, because a scope ends with its last process. Invariant: when the function returns, nothing of the conversation
//! is left in this process: no thread, no descriptor, no handler.

mod bus;
mod conversation;
mod keeper;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, mkdirat, unlinkat};

use crate::error::{Error, NoSystemd, Result};
use crate::hierarchy::Hierarchy;
use crate::place::{self, Place};
use crate::placement::Scope;
use crate::way::{self, Way};
use keeper::Keeper;

/// How long systemd may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The group of the process that keeps the scope: groups that hand on controllers have no processes of their own.
const KEEPER: &str = "keeper";

/// A scope and what keeps it; dropping it lets the scope end as soon as no process is left in it.
#[derive(Debug)]
pub(crate) struct Held {
    unit: String,
    /// The directory of the scope, to remove the keeper's group from.
    dir: OwnedFd,
    keeper: Keeper,
}

impl Held {
    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.end();
        // Where groups are left that go on without us; where none is, systemd may be faster.
        let _gone = unlinkat(&self.dir, KEEPER, AtFlags::REMOVEDIR).is_err();
    }
}

/// Has a scope made, and opens its group. The bus is root's for root, else the user's own.
pub(crate) fn place(hierarchy: Option<&Hierarchy>, scope: &Scope) -> Result<Place> {
    let hierarchy = hierarchy.ok_or_else(|| Error::no_systemd(NoSystemd::NotV2))?;
    let deadline = Instant::now() + LIMIT;
    let bus = bus::connect_to_systemd()?;
    let keeper = Keeper::start(deadline)?;
    let named = scope.name.as_ref().map(|name| name.as_str().to_owned());
    let unit = named.map_or_else(unit_name, Ok)?;
    let order = conversation::Order { unit: &unit, scope, pid: keeper.pid() };
    // From here on the scope ends with the keeper, on the way of an error too.
    let group = conversation::converse(bus, &order, deadline)?;
    open(hierarchy, Path::new(&group), unit, keeper)
}

/// Whether a scope could be asked for: where cgroup v2 is all that is mounted, and somebody listens on the bus.
pub(crate) fn answers(hierarchy: Option<&Hierarchy>) -> Result<()> {
    hierarchy.ok_or_else(|| Error::no_systemd(NoSystemd::NotV2))?;
    bus::connect_to_systemd().map(drop)
}

/// A name that no other scope has, also not one that an ended process with the same id left running.
fn unit_name() -> Result<String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let start = crate::owner::start_time(pid)
        .ok_or_else(|| Error::system("read of procfs", rustix::io::Errno::NOENT))?;
    Ok(format!("ampoule-{pid}-{start}-{number}.scope"))
}

/// Moves the keeper out of the way and opens the scope's group.
fn open(hierarchy: &Hierarchy, group: &Path, unit: String, keeper: Keeper) -> Result<Place> {
    let path = hierarchy.mount.join(group.strip_prefix("/").unwrap_or(group));
    let fd = way::open_top(&path)?;
    mkdirat(&fd, KEEPER, Mode::from(0o755))
        .map_err(|errno| Error::not_delegated(path.join(KEEPER), errno))?;
    let file = format!("{KEEPER}/cgroup.procs");
    place::write(&fd, &file, &keeper.pid().to_string())
        .map_err(|errno| Error::at("write", &path.join(file), errno))?;
    way::enable(hierarchy, &fd, &path)?;
    let dir = Way::to_top(hierarchy, &path).open_from(fd)?;
    let kept = rustix::io::fcntl_dupfd_cloexec(&dir.fd, 3)
        .map_err(|errno| Error::system("fcntl(F_DUPFD)", errno))?;
    Ok(Place::new(vec![dir], Some(Held { unit, dir: kept, keeper })))
}
