//! The five limits of every group that is measured, and the files that they are on this machine.
//!
//! Touches no kernel object but to look which files there are. Invariant: all contenders are asked for the same.

use super::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::failure::Failure;

/// Memory, in bytes.
pub const MEMORY_MAX: u64 = 128 << 20;
/// Memory and swap together, in bytes.
pub const MEMORY_AND_SWAP_MAX: u64 = 256 << 20;
/// Processor time per period, in microseconds.
pub const CPU_QUOTA: u64 = 50_000;
/// The period of it, in microseconds.
pub const CPU_PERIOD: u64 = 100_000;
/// Processes and threads.
pub const PIDS_MAX: u64 = 64;
/// The part of the processor when it is short, on v2.
pub const CPU_WEIGHT: u64 = 50;
/// The same on v1: the shares that are nearest to the weight.
pub const CPU_SHARES: u64 = 421;

/// One limit as a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The controller, by its name in the generation.
    pub controller: &'static str,
    /// The file in the group.
    pub file: &'static str,
    /// What is written.
    pub text: String,
}

/// The limits on this machine.
///
/// # Errors
/// [`Failure::Unknown`] for a controller that is in no hierarchy.
pub fn writes(hierarchies: &Hierarchies) -> Result<Vec<Write>, Failure> {
    let mut writes = Vec::new();
    for controller in ["memory", "cpu", "pids"] {
        let missing = || Failure::Unknown { what: "controller", name: controller.into() };
        let hierarchy = hierarchies.of(controller).ok_or_else(missing)?;
        for (file, text) in files(controller, hierarchy) {
            writes.push(Write { controller, file, text });
        }
    }
    Ok(writes)
}

/// The files of a controller, in an order that the kernel takes.
fn files(controller: &str, hierarchy: &Hierarchy) -> Vec<(&'static str, String)> {
    let has = |file: &str| hierarchy.mount.join(file).exists();
    let swap_max = (MEMORY_AND_SWAP_MAX - MEMORY_MAX).to_string();
    match (controller, hierarchy.version) {
        ("memory", Version::V1) if has("memory.memsw.limit_in_bytes") => vec![
            ("memory.limit_in_bytes", MEMORY_MAX.to_string()),
            ("memory.memsw.limit_in_bytes", MEMORY_AND_SWAP_MAX.to_string()),
        ],
        ("memory", Version::V1) => vec![("memory.limit_in_bytes", MEMORY_MAX.to_string())],
        ("memory", Version::V2) => {
            vec![("memory.max", MEMORY_MAX.to_string()), ("memory.swap.max", swap_max)]
        }
        ("cpu", Version::V1) => vec![
            ("cpu.cfs_period_us", CPU_PERIOD.to_string()),
            ("cpu.cfs_quota_us", CPU_QUOTA.to_string()),
            ("cpu.shares", CPU_SHARES.to_string()),
        ],
        ("cpu", Version::V2) => vec![
            ("cpu.max", format!("{CPU_QUOTA} {CPU_PERIOD}")),
            ("cpu.weight", CPU_WEIGHT.to_string()),
        ],
        _ => vec![("pids.max", PIDS_MAX.to_string())],
    }
}
