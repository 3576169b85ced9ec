//! What happens to a group: out of memory, limits met, empty, frozen.
//!
//! Kernel objects: `memory.events`, `memory.events.local`, `pids.events` and `cgroup.events` of v2;
//! an eventfd at `memory.oom_control`, `memory.failcnt`, `pids.events`, `freezer.state` and
//! `cgroup.procs` of v1. Invariant: events are differences of counters, so that none is lost between
//! two reads.
//!
//! | file | is about |
//! |---|---|
//! | `snapshot.rs` | [`Snapshot`], [`Event`]: pure data, what happened between two snapshots |
//! | `cause.rs` | [`oom_cause`]: whose limit it was |
//! | `limit_of.rs` | [`LimitOf`]: the same by path, looked up by [`Group::limit_of`](crate::Group::limit_of) |
//! | `watched.rs` | one open file |
//! | `stream.rs` | [`EventStream`] |

mod cause;
mod limit_of;
mod snapshot;
mod stream;
mod watched;

pub use cause::{Counters, OomCause, oom_cause};
pub use limit_of::{Above, LimitOf};
pub use snapshot::{Event, Snapshot};
pub use stream::EventStream;
