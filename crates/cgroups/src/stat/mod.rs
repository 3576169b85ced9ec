//! Statistics of a group: what it uses, what it may use, what happened to it.
//!
//! Kernel objects: the read-only files of a group's directories, v1 or v2. Invariant: parsing and
//! reading are apart; every parser is a pure function that refuses nothing. A key that is not there is
//! `None`, a number that is none is left out, a key that is not known is kept.
//!
//! | file | is about |
//! |---|---|
//! | `memory.rs`, `memory_stat.rs` | [`Memory`], [`MemoryStat`], [`MemoryEvents`] |
//! | `cpu.rs` | [`Cpu`] |
//! | `pids.rs` | [`Pids`] |
//! | `io.rs` | [`Io`] |
//! | `resources.rs` | [`Hugetlb`], [`Rdma`], [`ScalarResource`] |
//! | `tree.rs` | [`State`], [`Descendants`], [`Cpuset`] |
//! | `usage.rs` | [`Usage`], between two samples |
//! | `read.rs` | [`read()`]: one sample of all |
//! | `totals.rs` | [`Totals`], in few reads |
//! | `files.rs`, `keyed.rs` | reading files; the shapes of text |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub mod cpu;
mod files;
pub mod io;
pub(crate) mod keyed;
pub mod memory;
pub mod memory_stat;
pub mod pids;
mod read;
pub mod resources;
pub(crate) mod totals;
pub mod tree;
pub mod usage;

pub use cpu::Cpu;
pub use files::Dir;
pub(crate) use files::Files;
pub use io::{DeviceNumber, Io, IoDevice};
pub use memory::{Memory, MemoryEvents, Swap};
pub use memory_stat::MemoryStat;
pub use pids::Pids;
pub use read::read;
pub(crate) use read::read_with;
pub use resources::{Hugetlb, Rdma, ScalarResource};
pub use totals::Totals;
pub use tree::{Cpuset, Descendants, State};
pub use usage::Usage;

/// Everything that the kernel counts for a group.
///
/// A controller that is not on, or that was not asked for, leaves its part at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Memory and swap.
    pub memory: Memory,
    /// Processor time.
    pub cpu: Cpu,
    /// Processes and threads.
    pub pids: Pids,
    /// Block devices.
    pub io: Io,
    /// Huge pages, by size (`2MB`).
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// RDMA, by device.
    pub rdma: BTreeMap<String, Rdma>,
    /// The misc controller, by resource.
    pub misc: BTreeMap<String, ScalarResource>,
    /// Processors and memory nodes.
    pub cpuset: Cpuset,
    /// Populated, frozen.
    pub state: State,
    /// Groups below.
    pub descendants: Descendants,
}
