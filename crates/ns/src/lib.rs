//! The eight Linux namespaces, id maps, users, capabilities and the other attributes of a process,
//! as typed and validated data; plus listing and pinning of namespaces.
//!
//! | I want … | Here |
//! |---|---|
//! | to say which namespaces are new, the host's, or joined | [`NamespaceSet`] |
//! | to map ids | [`IdMap`], [`caller_map`](sub_id::caller_map), [`Reservation`](auto_range::Reservation) |
//! | to resolve `user:group` inside a root | [`User`], [`LayeredRoot`](layered_root::LayeredRoot) |
//! | to choose capabilities | [`Capabilities`], [`CapabilitySet`] |
//! | limits | [`ResourceLimit`] |
//! | scheduling | [`Scheduler`], [`IoPriority`], [`CpuSet`] |
//! | an execution domain | [`Personality`] |
//! | sysctls, a host name, clock offsets | [`Sysctl`], [`Hostname`], [`TimeOffsets`] |
//! | to know the namespaces of a process, or all | [`Namespaces::of`](list::Namespaces::of), [`scan`](list::scan) |
//! | to know what a network namespace received and sent | [`Interfaces::of`] |
//! | to keep a namespace without a process | [`pin`](pin::pin), [`pin_netns`](pin::pin_netns) |
//!
//! Everything but [`pin`] only reads; [`auto_range`] also binds a socket for as long as its
//! reservation lives. No process is started, no signal handled, no descriptor inherited.
//!
//! ```
//! use ampoule_ns::id_map::{IdKind, IdMap};
//! use ampoule_ns::list::Namespaces;
//! use ampoule_ns::namespace::{Namespace, NamespaceSet, Setting};
//! use ampoule_ns::user::{PasswdContent, User};
//!
//! # fn main() -> ampoule_ns::Result<()> {
//! let set = NamespaceSet::default().with(Namespace::Net, Setting::Host);
//! assert_eq!(set.clone_flags() & Namespace::Net.clone_flag(), 0);
//!
//! let map = IdMap::range(0, 100_000, 65_536);
//! map.validate()?;
//! assert_eq!(map.to_host(IdKind::Uid, 33), Some(100_033));
//!
//! let root = PasswdContent { passwd: b"www:x:33:33::/var/www:/bin/sh", group: b"" };
//! assert_eq!("www".parse::<User>()?.resolve(&root)?.uid, 33);
//!
//! let own = Namespaces::of(std::process::id())?;
//! println!("net:[{}]", own.get(Namespace::Net).map_or(0, |id| id.inode));
//! # Ok(())
//! # }
//! ```

pub mod auto_range;
mod bounded_file;
pub mod capabilities;
pub mod capability;
pub mod cpu_set;
mod decimal;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod hostname;
pub mod id_map;
pub mod interface;
pub mod io_priority;
pub mod layered_root;
pub mod list;
pub mod memory_policy;
pub mod namespace;
pub mod passwd;
pub mod personality;
pub mod pin;
pub mod prepared;
pub mod process;
pub mod rlimit;
pub mod scheduler;
pub mod sub_id;
pub mod sysctl;
pub mod time_offset;
pub mod user;
pub mod user_namespace;

pub use capabilities::Capabilities;
pub use capability::{Capability, CapabilitySet};
pub use cpu_set::CpuSet;
pub use error::{Error, ErrorKind, Result};
pub use hostname::Hostname;
pub use id_map::{IdKind, IdMap, IdMapping, IdRange};
pub use interface::{Interface, Interfaces, Traffic};
pub use io_priority::{IoClass, IoPriority};
pub use list::Namespaces;
pub use memory_policy::{MemoryPolicy, MemoryPolicyFlags, MemoryPolicyMode};
pub use namespace::{Namespace, NamespaceSet, Setting, Target};
pub use personality::{ExecutionDomain, Personality, PersonalityFlags};
pub use rlimit::{Resource, ResourceLimit, Rlimit};
pub use scheduler::{Scheduler, SchedulerFlags, SchedulerPolicy};
pub use sysctl::Sysctl;
pub use time_offset::{TimeOffset, TimeOffsets};
pub use user::{IdOrName, ResolvedUser, User};
