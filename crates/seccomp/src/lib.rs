//! Seccomp filters: which system calls a program may make.
//!
//! | I want … | Here |
//! |---|---|
//! | to write a filter | [`Filter`], [`Rule`], [`arg`] |
//! | a filter that suits most programs | [`Filter::default_profile`], [`Filter::default_for`], [`default`] |
//! | one that is narrower | [`Filter::compute`], [`Filter::network_client`], [`Filter::build`] |
//! | to read a filter | [`Filter::explain`] |
//! | to learn which calls a program makes | [`Recording`] |
//! | a filter as Rust code | [`Filter::to_rust`] |
//! | to know what is wrong with it | [`Filter::validate`], [`Problem`] |
//! | to ask it about one call | [`Filter::decide`] |
//! | to confine this program | [`Compiled::apply_to_this_thread`], [`Compiled::apply_to_this_process`] |
//! | a step of a container | [`prepared`] |
//! | a program for the kernel | [`Filter::compile`], [`Compiled`], [`Cache`] |
//! | to read and write profiles of OCI, Docker, Podman | [`Profile`], [`Host`], [`Filter::to_oci_json`] |
//! | to decide calls from outside | [`Compiled::apply_with_listener`], [`notify::Listener`] |
//! | names and numbers of system calls | [`syscall`] |
//!
//! A filter is plain data; it is compiled without any C library into one program for all entries of a machine (x86-64
//! has three), in which the numbers of the calls are searched, neighbours with the same answer being one.
//!
//! ```
//! use ampoule_seccomp::{Action, Filter, Rule, arg};
//!
//! # fn main() -> ampoule_seccomp::Result<()> {
//! let filter = Filter::new(Action::NOT_PERMITTED)
//!     .allow(["read", "write", "exit_group"])
//!     .rule(Rule::new(Action::Allow, ["socket"]).when(arg(0).int_eq(1)));
//! let compiled = filter.compile()?;
//! assert!(compiled.program().instructions().len() < 20);
//! # Ok(())
//! # }
//! ```

mod action;
mod apply;
mod arch;
pub mod bpf;
mod cache;
mod compile;
mod compiled;
mod condition;
pub mod default;
mod error;
mod explain;
mod filter;
#[doc(hidden)]
pub mod fuzz;
mod host;
#[cfg(feature = "libseccomp")]
mod libseccomp;
pub mod notify;
pub mod prepared;
mod problem;
mod profile;
mod record;
mod rust_code;
pub mod syscall;
mod validate;

pub use action::Action;
pub use arch::Arch;
pub use cache::Cache;
pub use compiled::Compiled;
pub use condition::{Arg, Condition, Operator, arg};
pub use error::{Error, ErrorKind, Result};
pub use explain::Explanation;
pub use filter::{Filter, Flags, Rule};
pub use host::{Granted, Host, Kernel, NoKernel};
pub use problem::{Inexpressible, Problem};
pub use profile::{Ignored, Profile, Resolved};
pub use record::Recording;
pub use rust_code::RustCode;
pub use validate::CALLS_OF_EXEC;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
