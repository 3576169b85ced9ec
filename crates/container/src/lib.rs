//! Start isolated Linux processes in-process: no daemon, no helper to install, no bundle to write.
//!
//! ```no_run
//! use std::time::Duration;
//! use ampoule::{Bytes, Container};
//!
//! # fn main() -> Result<(), ampoule::Error> {
//! // a judge or an agent's tool call: one shot
//! let out = Container::host_view()
//!     .file("/src/main.py", "print(input())")
//!     .command("python3").arg("/src/main.py").current_dir("/src")
//!     .stdin_bytes("hello").timeout(Duration::from_secs(2)).output_max(Bytes::mib(1))
//!     .output()?;
//! assert!(out.status.success());
//! # Ok(()) }
//! ```

mod builder;
mod bytes;
mod command;
mod container;
mod environment;
mod error;
mod exit;
mod host;
mod identity;
mod in_force;
mod inside;
mod launch;
mod launch_error;
mod output;
mod pid1;
mod plan;
mod pty;
mod report;
mod root;
mod settings;
mod stdio;
mod terminal;
mod timings;
#[cfg(feature = "tokio")]
mod tokio_container;
mod validate;

pub use ampoule_ns::{
    Capabilities, Capability, CapabilitySet, CpuSet, ExecutionDomain, IdMap, IdMapping, IdOrName,
    IdRange, IoClass, IoPriority, Namespace, Personality, PersonalityFlags, Resource,
    ResourceLimit, Rlimit, Scheduler, SchedulerFlags, SchedulerPolicy, Setting, Target, TimeOffset,
    TimeOffsets, User,
};
pub use ampoule_overlay::{
    CopyUp, Depth, HidePid, IdMapped, Mount, MountFlags, MountKind, PidSubset, Propagation, Root,
};
pub use builder::{Builder, NewPrivileges, Origin, WithHost};
pub use bytes::Bytes;
pub use command::Command;
pub use container::{Container, OnDrop};
pub use error::{Error, ErrorKind, Problem, Stage};
pub use exit::{ExitStatus, Outcome, Usage};
pub use host::{CgroupMode, Host, Privilege};
pub use launch::Launch;
pub use output::Output;
pub use pid1::Pid1;
pub use plan::Plan;
pub use pty::{Pty, WindowSize};
pub use report::{Control, Entry, Level, Report, State};
pub use stdio::Stdio;
pub use timings::Timings;
#[cfg(feature = "tokio")]
pub use tokio_container::AsyncContainer;
