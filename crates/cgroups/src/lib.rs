//! Control groups: limits, live statistics, pressure, events, freezing and killing, on cgroup v2, on v1 and on hybrid
//! machines. See cgroups(7).
//!
//! | I want … | Here |
//! |---|---|
//! | to say what a group may use | [`Limits`], with [`Bytes`], [`Cpus`], [`Weight`], [`Max`] |
//! | to know what this machine has | [`Hierarchies::detect`] |
//! | a place where I may make groups | [`Place::find`], [`Place::open`], [`Place::within`] |
//! | to know where I may make some | [`Prospect::of`] |
//! | systemd to make the place | [`Place::choose`] with a [`Placement`], feature `systemd` |
//! | a group with limits | [`Group::create`], [`Group::create_in`] a place |
//! | a group that is there | [`Group::find`], [`Group::open`] |
//! | a running process in it | [`Group::add`] |
//! | what it uses | [`Group::stat`], [`Group::stat_of`] |
//! | how much in a second | [`stat::Usage`], between two samples |
//! | to be told what happens | [`Group::events`] |
//! | how long it waits | [`Group::pressure`], [`Group::watch_pressure`] |
//! | to restrict device nodes | [`limits::Limits::devices`], [`devices`] |
//! | to change, freeze, kill, remove it | [`Group::update`], [`Group::freeze`], [`Group::kill`], [`Group::remove`], [`Group::end`] |
//! | a process born in it | [`Group::membership`] |
//! | to clear what an ended program left | [`reconcile()`], [`sweep`] |
//!
//! A limit is in force, or there is an error that names it and its file.
//!
//! ```no_run
//! use ampoule_cgroups::{Bytes, Group, Limits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let child = std::process::Command::new("true").spawn()?;
//! let limits = Limits::default().memory_max(Bytes::mib(128)).cpus("0.5".parse()?).pids_max(64);
//! let group = Group::create("job", &limits)?;
//! group.add(child.id())?;
//! println!("{:?}", group.stat()?.memory.current);
//! group.kill()?;
//! group.remove()?;
//! # Ok(())
//! # }
//! ```

mod choice;
mod controller;
mod delegation;
pub mod devices;
mod end;
mod error;
pub mod events;
mod former;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod hierarchy;
mod ignored;
pub mod limits;
mod membership;
mod named;
mod observe;
mod owner;
mod path;
mod place;
mod placement;
pub mod pressure;
mod prospect;
mod reason;
pub mod stat;
#[cfg_attr(not(feature = "systemd"), path = "no_systemd.rs")]
mod systemd;
mod table;
mod unit;
mod update;
mod uses;
mod walk;
mod way;

pub use controller::{Controller, Controllers};
pub use end::{Depth, FreezeState};
pub use error::{Error, ErrorKind, Problem, Result};
pub use group::{Group, Shape};
pub use hierarchy::{Hierarchies, Hierarchy, Mode};
pub use limits::Limits;
pub use limits::devices::{DeviceAccess, DeviceAction, DeviceKind, DeviceRule};
pub use membership::{Membership, join};
pub use owner::{Life, Reconciled, owned_name, reconcile, sweep};
pub use path::GroupPath;
pub use place::Place;
pub use placement::{Placement, Scope, ScopeName, Slice};
pub use prospect::{Prospect, Site};
pub use stat::Stats;
pub use table::Version;
pub use unit::{Bytes, Cpus, Max, Micros, NumberList, Percent, Shares, Weight};
