//! Starts isolated Linux processes from inside any host program.
//!
//! A *program* is a list of [`Step`]s, sealed into a memfd. [`start`] runs it in two stages: the host clones a
//! *launcher* as `posix_spawn(3)` would, and the launcher, in a tiny address space of its own, clones the
//! container's first process in its new namespaces as a child of the host. The host's memory, descriptors,
//! signals and credentials are never touched.
//!
//! Most users want the `ampoule` crate; this one is for those who build their own mechanisms.
//!
//! | module | is about |
//! |---|---|
//! | [`steps`] | the vocabulary |
//! | [`Draft`], [`Program`] | steps in order, encoded and sealed |
//! | [`Launch`], [`start`] | one launch |
//! | [`Held`] | one that waits before its program |
//! | [`process`] | pidfds: wait, signal, reap |
//! | [`reaper`] | what the first process reports and takes |
//! | [`wire`] | the byte layouts shared with the embedded program |
//!
//! The embedded program is built for x86-64 and aarch64; the second is compiled but has not been run.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("ampoule-init runs on Linux on x86-64 and aarch64 only");

mod attempt;
pub mod control;
mod embedded;
mod error;
mod gate;
mod held;
mod image;
mod launch;
pub mod process;
mod program;
pub mod reaper;
mod step;
pub mod steps;
pub mod sys;
pub mod wire;

pub use error::{Error, ErrorKind};
pub use gate::{Gate, Refused};
pub use held::{Held, Tail, Went};
#[doc(hidden)]
pub use launch::Fault;
pub use launch::{
    Begin, First, Launch, Parameter, PidNamespace, Started, Timings, start, start_gated,
};
pub use program::{Draft, Program};
pub use step::{Arg, Fd, Slot, Slots, Step};

/// Moves a descriptor above the standard streams.
///
/// # Errors
/// [`ErrorKind::Host`] when no number is left (`EMFILE`).
pub fn above_stdio(fd: std::os::fd::OwnedFd) -> Result<std::os::fd::OwnedFd, Error> {
    process::above_stdio(fd).map_err(|error| Error::host("fcntl(F_DUPFD)", error))
}

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
