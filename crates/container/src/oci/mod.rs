//! Runtime configurations (`config.json`) of the Open Container Initiative: read as a [`Builder`] with what runs in it,
//! and written.
//!
//! ```no_run
//! use ampoule::oci::Config;
//! use ampoule::oci::spec::Bundle;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bundle = Bundle::load("/srv/bundle")?;
//! let status = Config::from_bundle(&bundle)?.into_command().status()?;
//! println!("{status}");
//! # Ok(()) }
//! ```
//!
//! Every property of the Linux configuration is honoured, or refused by its place in the document
//! ([`Problem::setting`](crate::Problem::setting)), all together; none is ignored. The types and the reading of JSON are
//! those of the crate `ampoule-spec`, which is [`spec`] here.
//!
//! # What is other than a builder's default
//!
//! | | |
//! |---|---|
//! | root | changed in place, or read-only as `root.readonly` says; where a target is missing in a read-only one, it lies under an overlay in memory |
//! | mounts, masked and read-only paths, namespaces, capabilities, system calls, names | those of the document; what it does not say is not there, or the host's |
//! | `/dev` | the nodes and links that the specification asks for, and `linux.devices` ([`Defaults::Runtime`](crate::Defaults::Runtime)) |
//! | process 1 | the payload ([`Pid1::Payload`](crate::Pid1::Payload)) |
//! | control group | exactly `linux.cgroupsPath`, or `container` in the scope that systemd makes for `slice:prefix:name` (feature `systemd`, cgroup v2); without it, where a builder's is |
//!
//! What a document does not decide is the caller's: streams, [`Builder::on_drop`], [`Builder::id`]. Two things that it
//! says take the state of the container, which the caller has: [`Config::hooks`] and [`Config::listener`].

mod config;
mod console;
mod exec;
mod features;
mod hooks;
mod hooks_inside;
mod inherited;
mod lifecycle;
mod listener;
mod of_command;
mod read;
pub(crate) mod systemd;
mod write;

pub use ampoule_spec as spec;
pub use config::Config;
pub use console::send_pidfd;
pub use exec::{limits, process};
pub use features::features;
pub use hooks::{Hook, Hooks};
pub use hooks_inside::HookRoot;
pub use inherited::Inherited;
pub(crate) use lifecycle::Later;
pub use lifecycle::write_pid_file;
pub use listener::SeccompListener;
pub use write::Written;

#[cfg(doc)]
use crate::Builder;
