//! The pids controller: how many processes and threads.
//!
//! Kernel objects: `pids.*`, the same on v1 and v2. Invariant: threads count like processes.

use serde::{Deserialize, Serialize};

use super::files::{Dir, Files};
use super::keyed;
use crate::error::Result;
use crate::unit::Max;

/// Processes and threads of a group with all groups below it.
///
/// See the kernel's admin-guide/cgroup-v2.rst, "PID Interface Files".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pids {
    /// How many there are (`pids.current`).
    pub current: Option<u64>,
    /// The most there have been (`pids.peak`). Since Linux 6.1.
    pub peak: Option<u64>,
    /// The limit (`pids.max`).
    pub max: Option<Max<u64>>,
    /// Forks that failed because of a limit (`pids.events`, key `max`).
    pub max_events: Option<u64>,
}

/// Reads `pids.events`: forks that failed because of a limit.
#[must_use]
pub fn parse_events(text: &str) -> Option<u64> {
    keyed::flat(text).find(|(key, _)| *key == "max").map(|(_, value)| value)
}

/// Reads the files of the pids controller.
pub(crate) fn read(files: &mut Files, dir: Dir<'_>) -> Result<Pids> {
    Ok(Pids {
        current: files.read(dir, "pids.current")?.and_then(keyed::single),
        peak: files.read(dir, "pids.peak")?.and_then(keyed::single),
        max: files.read(dir, "pids.max")?.and_then(keyed::limit),
        max_events: files.read(dir, "pids.events")?.and_then(parse_events),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_max_counts() {
        assert_eq!(parse_events("max 12\nother 3\n"), Some(12));
        assert_eq!(parse_events("other 3\n"), None);
        assert_eq!(parse_events(""), None);
    }
}
