//! Who is process 1 of the container.

use serde::{Deserialize, Serialize};

/// Who is the container's first process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pid1 {
    /// A tiny init that reaps, forwards signals, keeps the time limit, watches the host and reports the true status.
    #[default]
    Reaper,
    /// The payload itself, as OCI runtimes do: it must reap, signals without a handler do nothing to it, and
    /// `abort` shows as signal 11 (pid_namespaces(7)). With SELinux nothing holds its categories after this process.
    Payload,
}
