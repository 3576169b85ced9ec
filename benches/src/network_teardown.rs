//! Waits until the kernel has taken down the network namespaces of ended containers.
//!
//! Touches /proc, reading only: a kernel worker that is busy with it is called `kworker/…+netns` (the name of
//! its workqueue, net/core/net_namespace.c, follows a plus sign while it runs).
//! Invariant: never waits longer than [`LIMIT`].

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait.
pub const LIMIT: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(4);
/// Looks in a row that must find no worker busy: the work is queued a moment after the last process ended.
const QUIET_LOOKS: u32 = 2;

/// Waits until no kernel worker has been seen busy with network namespaces twice in a row.
pub fn wait() {
    let end = Instant::now() + LIMIT;
    let mut quiet = 0;
    while quiet < QUIET_LOOKS && Instant::now() < end {
        thread::sleep(PAUSE);
        quiet = if busy() { 0 } else { quiet + 1 };
    }
}

/// Whether a kernel worker is busy with it now; no, where kernel threads cannot be seen.
fn busy() -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        fs::read_to_string(process.path().join("comm")).is_ok_and(|name| is_busy_worker(&name))
    })
}

/// Whether this is the name of a kernel worker that runs the network teardown.
fn is_busy_worker(name: &str) -> bool {
    name.starts_with("kworker/") && name.trim_end().ends_with("+netns")
}

#[cfg(test)]
mod tests {
    use super::is_busy_worker;

    #[test]
    fn names() {
        assert!(is_busy_worker("kworker/u8:2+netns\n"));
        assert!(!is_busy_worker("kworker/u8:2-netns\n"));
        assert!(!is_busy_worker("kworker/R-netns\n"));
    }
}
