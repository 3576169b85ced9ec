//! The kinds of facts that make up the state of the host.
//!
//! Touches kernel objects only through the readers it names. Invariant: every field is in
//! [`Field::ALL`], so that none is forgotten by a snapshot.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{process, processes, system};

/// What a field holds: an identity (a number, a name) and its value.
pub(crate) type Facts = BTreeMap<String, String>;

/// One kind of fact about the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Field {
    /// Attributes shared by all threads: cwd, umask, ids, capabilities, signals, dumpable …
    Process,
    /// Attributes of the calling thread: signal mask, namespaces, scheduling, labels …
    Thread,
    /// Environment variables.
    Environment,
    /// Resource limits.
    Limits,
    /// Open descriptors: target and flags.
    Descriptors,
    /// Threads that do not belong to the test harness.
    Threads,
    /// Direct children, zombies included.
    Children,
    /// Processes further below, and processes of Ampoule that lost their host.
    Processes,
    /// The mount table of the calling thread.
    Mounts,
    /// Network devices of the calling thread's namespace.
    NetworkDevices,
    /// Control groups whose name contains `ampoule`.
    Groups,
    /// Files under the temporary directories and `/run` with our name.
    Files,
    /// Abstract UNIX sockets whose name begins with `ampoule`.
    Sockets,
}

/// Which changes of a field count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Additions, removals and changed values.
    Everything,
    /// Only additions: the rest may come from a neighbour that cleans up after itself.
    Additions,
}

impl Field {
    /// Every field.
    pub(crate) const ALL: [Self; 13] = [
        Self::Process,
        Self::Thread,
        Self::Environment,
        Self::Limits,
        Self::Descriptors,
        Self::Threads,
        Self::Children,
        Self::Processes,
        Self::Mounts,
        Self::NetworkDevices,
        Self::Groups,
        Self::Files,
        Self::Sockets,
    ];

    /// Which of its changes count.
    pub(crate) fn watch(self) -> Watch {
        match self {
            Self::Threads | Self::Processes | Self::Groups | Self::Files | Self::Sockets => {
                Watch::Additions
            }
            _ => Watch::Everything,
        }
    }

    /// Its facts, now.
    pub(crate) fn read(self) -> Facts {
        match self {
            Self::Process => process::attributes(),
            Self::Thread => process::thread_attributes(),
            Self::Environment => process::environment(),
            Self::Limits => process::limits(),
            Self::Descriptors => process::descriptors(),
            Self::Threads => process::threads(),
            Self::Children => processes::Table::read().children(),
            Self::Processes => processes::Table::read().strays(),
            Self::Mounts => system::mounts(),
            Self::NetworkDevices => system::network_devices(),
            Self::Groups => system::groups(std::path::Path::new("/sys/fs/cgroup")),
            Self::Files => system::files(),
            Self::Sockets => system::sockets(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Thread => "calling thread",
            Self::Environment => "environment",
            Self::Limits => "limits",
            Self::Descriptors => "descriptor",
            Self::Threads => "thread",
            Self::Children => "child",
            Self::Processes => "process left",
            Self::Mounts => "mount",
            Self::NetworkDevices => "network device",
            Self::Groups => "group",
            Self::Files => "file",
            Self::Sockets => "socket",
        })
    }
}
