//! Where a root comes from, and what else is given without being asked for: pure data.
//!
//! Kernel objects: none. Invariant: none of it is looked at before the plan is made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// A read-only selection of the host: programs, libraries and an allow-list of `/etc`.
    HostView,
    /// A directory with a root file system.
    Directory(PathBuf),
    /// Directories with the layers of a root file system, the uppermost first.
    Layers(Vec<PathBuf>),
    /// The host's own root, nothing mounted or changed but what is asked for.
    Bare,
}

/// Whether the payload may gain privileges by executing files (no_new_privs, prctl(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewPrivileges {
    /// Never.
    #[default]
    Forbidden,
    /// By set-user-id and file capabilities, within the bounding set.
    Allowed,
}

/// Whether the container ends when the host's process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithHost {
    /// It does, however the host ends; kept by [`Pid1::Reaper`](crate::Pid1::Reaper).
    #[default]
    Dies,
    /// It goes on.
    Survives,
}

/// What a container with a root of its own is given without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Defaults {
    /// What programs need: `/proc`, `/sys` and `/dev`, and a host name.
    #[default]
    Usual,
    /// What the runtime specification of OCI makes a runtime supply, and nothing else: below `/dev` the nodes `null`,
    /// `zero`, `full`, `random`, `urandom` and `tty`, and links to streams and to `pts/ptmx`; unless `/dev` is bound from
    /// the host. The mounts are those that are given.
    Runtime,
}
