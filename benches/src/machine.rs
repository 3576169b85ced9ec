//! The facts about the machine that belong beside every figure. Touches /proc and /sys, reading only.
//!
//! Invariant: what cannot be read is said to be unknown, not left out.

use std::fs;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::host_size::status_field;

/// The machine as it is while measuring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Architecture.
    pub architecture: String,
    /// /sys/kernel/rcu_expedited: 1 makes grace periods, and so mounts and cgroups, faster.
    pub rcu_expedited: String,
    /// Load averages when the bench began: a machine that does something else measures that too.
    pub load: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// MemAvailable when the bench began, in MiB.
    pub available_mib: u64,
    /// Transparent huge pages: with `always`, a fork of a big host copies fewer entries.
    pub huge_pages: String,
}

impl Machine {
    /// Reads the facts.
    pub fn here() -> Self {
        let names = rustix::system::uname();
        Self {
            kernel: names.release().to_string_lossy().into_owned(),
            architecture: names.machine().to_string_lossy().into_owned(),
            rcu_expedited: value("/sys/kernel/rcu_expedited"),
            load: load(),
            cpus: thread::available_parallelism().map_or(0, usize::from),
            available_mib: available_mib(),
            huge_pages: chosen(&value("/sys/kernel/mm/transparent_hugepage/enabled")),
        }
    }
}

/// The load averages over 1, 5 and 15 minutes.
pub fn load() -> String {
    value("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// MemAvailable of /proc/meminfo in MiB; 0 when unknown.
pub fn available_mib() -> u64 {
    let text = value("/proc/meminfo");
    status_field(&text, "MemAvailable:").unwrap_or(0) / 1024
}

/// A file's text without the newline, or `unknown`.
fn value(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim_end().to_owned())
}

/// The word in brackets of a sysfs choice, or the whole.
fn chosen(text: &str) -> String {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inner.map_or(text, |(word, _)| word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Machine, chosen};

    #[test]
    fn facts() {
        let machine = Machine::here();
        assert!(machine.cpus > 0 && machine.available_mib > 0);
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen("unknown"), "unknown");
    }
}
