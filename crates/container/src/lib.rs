//! Start isolated Linux processes in-process: no daemon, no helper to install, no bundle to write.
//!
//! ```text
//!  data                    compiled                 per launch            running
//!  Builder ──command()──▶ Command ──plan()──▶ Plan ──launch()──▶ Launch ──spawn()──▶ Container
//! ```
//!
//! A [`Builder`] says what a container is, and is plain data; a [`Command`] what runs in it, with the names of
//! [`std::process::Command`]; a [`Plan`] is both, checked, opened and put in order, and can be launched thousands of
//! times from many threads; a [`Launch`] is what differs each time; a [`Container`] is what runs.
//!
//! # Day one
//!
//! One shot, such as a judge or an agent's tool call:
//!
//! ```no_run
//! # fn main() -> Result<(), ampoule::Error> {
//! use std::time::Duration;
//! use ampoule::{Bytes, Container};
//!
//! let out = Container::host_view()
//!     .file("/src/main.py", "print(input())") // bytes that appear in the root
//!     .command("python3").arg("/src/main.py").current_dir("/src")
//!     .stdin_bytes("hello").timeout(Duration::from_secs(2)).output_max(Bytes::mib(1))
//!     .output()?;
//! println!("{}: {}", out.status, String::from_utf8_lossy(&out.stdout)); // exited, signaled, timed out …
//! # Ok(()) }
//! ```
//!
//! One plan, thousands of launches, such as a test runner:
//!
//! ```no_run
//! # fn main() -> Result<(), ampoule::Error> {
//! use ampoule::{Bytes, Container};
//!
//! let plan = Container::host_view().bind("/src").tmpfs("/scratch", Bytes::mib(64)).command("true").plan()?;
//! std::thread::scope(|threads| {
//!     for name in ["a", "b", "c"] {
//!         let plan = &plan;
//!         threads.spawn(move || plan.launch().program("/src/test").args(["--exact", name]).output());
//!     }
//! });
//! # Ok(()) }
//! ```
//!
//! A sandbox without payload, looked into through its root's descriptor:
//!
//! ```no_run
//! # fn main() -> Result<(), ampoule::Error> {
//! use ampoule::{Bytes, Container, Namespace};
//!
//! let sandbox = Container::from_rootfs("/srv/root").idle()?; // PID 1 is init
//! sandbox.write("/etc/motd", "hello\n")?;
//! let bytes = sandbox.read("/etc/motd", Bytes::kib(8))?; // RESOLVE_IN_ROOT: never the host's file
//! let network = sandbox.namespace(Namespace::Net)?; // for the caller's own networking
//! # drop((bytes, network)); Ok(()) }
//! ```
//!
//! An agent's sandbox, many commands:
//!
//! ```no_run
//! # fn main() -> Result<(), ampoule::Error> {
//! use ampoule::{Bytes, Container};
//!
//! let sandbox = Container::from_rootfs("/srv/root").idle()?;
//! sandbox.exec("pip").args(["install", "x"]).status()?; // confined as a payload would be
//! let out = sandbox.exec("sh").args(["-c", "ls /src"]).current_dir("/").env("A", "b").output()?;
//! let bytes = sandbox.read("/src/out.txt", Bytes::mib(8))?;
//! # drop((out, bytes)); Ok(()) }
//! ```
//!
//! With tokio (feature `tokio`); a dropped future leaves no process:
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn example(command: ampoule::Command) -> Result<(), ampoule::Error> {
//! use std::time::Duration;
//! use ampoule::Stdio;
//!
//! let mut container = command.stdout(Stdio::piped()).spawn_async().await?; // stdout: AsyncRead
//! tokio::select! {
//!     status = container.wait() => println!("{}", status?),
//!     () = tokio::time::sleep(Duration::from_secs(5)) => {}
//! }
//! container.stop(Duration::from_secs(1)).await?;
//! # Ok(()) }
//! ```
//!
//! Limits for an ordinary user (feature `systemd`): where no group is delegated that can be shared, a scope of systemd is
//! asked for; [`Builder::cgroup_placement`] asks for one in any case, and in a slice:
//!
//! ```no_run
//! use ampoule::{Bytes, Container, Placement, Scope};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scope = Scope::in_slice("background.slice".parse()?);
//! let builder = Container::host_view().cgroup_placement(Placement::Systemd(scope));
//! let plan = builder.memory_max(Bytes::mib(128)).command("make").plan()?;
//! println!("{}", plan.report()); // Limits in force: a group of its own in systemd's scope /sys/fs/cgroup/…
//! # Ok(()) }
//! ```
//!
//! Errors are data:
//!
//! ```
//! use ampoule::{Container, ErrorKind};
//!
//! let error = Container::host_view().hostname("x".repeat(65)).command("tr\0ue").plan().unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::InvalidSettings);
//! error.problems().iter().for_each(|problem| println!("{problem}"));
//! let _converted: std::io::Error = error.into();
//! ```
//!
//! # Defaults
//!
//! | | [`Container::host_view`] | [`Container::from_rootfs`], [`Container::from_layers`] | [`Container::bare`] |
//! |---|---|---|---|
//! | namespaces | all new but time | all new but time | the host's |
//! | network | new, only `lo`, which is up | the same | the host's |
//! | root | `/usr`, `/bin`, `/lib*`, an allow-list of `/etc`; read-only | the directory or the layers; writes go to memory, 1 GiB at most, and are lost | the host's |
//! | never there | `/etc/shadow`, host keys, `/run`, `/var`, `/home`, `/root` | anything of the host | – |
//! | `/proc`, `/dev` | new, masked | new, masked; `/sys` read-only | the host's |
//! | `/tmp` | memory, 64 MiB | as in the root | the host's |
//! | payload's user, as root | an id that no account has, in a range of its own | 0, in a range of its own | the caller |
//! | payload's user, otherwise | the caller | 0, mapped to the caller | the caller |
//! | capabilities | none | 11 for user 0 (the set that Podman gives), none for others | the same |
//! | no_new_privs | on | on | on |
//! | system calls | the default profile, for these capabilities ([`Seccomp`]) | the same | the same |
//! | SELinux, where it is on | as the caller: programs of the host cannot be entered | the policy's type for containers, categories of its own; volumes by [`Builder::relabel`] | as the caller |
//! | host name | `ampoule` | `ampoule` | the host's |
//! | environment | `PATH`, `HOME`, `LANG` | the same | the same |
//! | umask, directory | 0022, `/` | the same | the same |
//! | streams | as `std::process`: inherited, piped by `output()` | the same | the same |
//! | process 1 | init: reaps, keeps the time limit, ends with the host | the same | (not process 1) the same |
//! | limits of memory, CPU time, processes | none | the same | the same |
//! | control group | its own, in the caller's, where that may be ([`OwnGroup`]) | the same | the caller's; its own with limits |
//! | output kept by `output()` | 64 MiB of each stream | the same | the same |
//! | dropping the handle | kills and reaps everything | the same | the same |
//!
//! `bind` is read-only, `bind_rw` is not; both are without set-user-id files and devices.
//!
//! # What is enforced
//!
//! A control that cannot be had is an error before anything starts, unless [`Builder::best_effort`] named it;
//! [`Plan::report`] and [`Container::report`] list what is in force, what is not, and why. [`Host::probe`] says what
//! this machine can do.
//!
//! # The host's process
//!
//! Nothing that this crate does is visible in the calling process: working directory, umask, environment, signal
//! handlers and mask, dumpable flag, limits, threads, mounts, descriptors and children are as before, also when a
//! launch fails. Children are started without copying the host's memory, however large it is. While a [`Plan`] lives
//! it keeps its descriptors open; a program in secure mode (set-user-id) is refused. Where systemd places the groups,
//! a thread speaks to the bus while [`Command::plan`] runs, and a child that does nothing keeps the scope as long as the
//! plan or one of its containers lives. The calling process is never moved to another group.
//!
//! Linux 5.14 and later by design; tested on 6.18.

mod apparmor;
mod attributes;
mod builder;
mod children;
mod command;
mod container;
mod create_file;
mod created;
mod environment;
mod error;
mod events;
mod exec;
mod exec_attributes;
mod exec_plan;
mod exec_start;
mod exit;
#[cfg(feature = "image")]
mod from_image;
mod group;
mod group_paths;
mod grouped;
mod host;
mod id;
mod identity;
mod in_force;
mod inside;
mod joined_user;
mod joining;
#[cfg(feature = "landlock")]
mod landlock;
mod launch;
mod launch_error;
mod launch_start;
mod layers;
mod levels;
mod mount_label;
mod mount_maps;
#[cfg(feature = "image")]
mod mount_points;
#[cfg(feature = "net")]
mod network;
#[cfg(not(feature = "net"))]
#[path = "network_off.rs"]
mod network;
mod network_at_end;
mod nodes;
#[cfg(feature = "oci")]
pub mod oci;
mod origin;
mod output;
#[cfg(feature = "image")]
mod owners;
mod payload;
mod pid1;
mod placement;
mod plan;
#[cfg(feature = "net")]
mod pod;
mod pool;
mod process;
mod processes;
mod pty;
mod recording;
mod relabel;
mod report;
mod resources;
mod root;
mod selinux;
mod settings;
mod state;
mod stats;
mod stdio;
#[cfg(feature = "image")]
mod step_mounts;
mod syscalls;
mod terminal;
mod timings;
#[cfg(feature = "tokio")]
mod tokio_container;
#[cfg(feature = "tokio")]
mod tokio_listener;
mod validate;
#[cfg(feature = "image")]
mod workshop;

#[cfg(feature = "image")]
pub use ampoule_image as image;
#[cfg(feature = "net")]
pub use ampoule_net as net;
#[cfg(feature = "net")]
pub use network::{CniNetwork, Network, PinnedNetwork};
#[cfg(feature = "image")]
pub use owners::Owners;
#[cfg(feature = "image")]
pub use workshop::ContainerWorkshop;

pub use ampoule_cgroups::events::Event;
pub use ampoule_cgroups::limits::IoDevice;
pub use ampoule_cgroups::{
    Bytes, Cpus, DeviceAccess, DeviceAction, DeviceKind, DeviceRule, Group, Limits, Max, Micros,
    NumberList, Placement, Scope, ScopeName, Slice, Weight,
};
pub use ampoule_cgroups::{Prospect, Site};
pub use ampoule_ns::{
    Capabilities, Capability, CapabilitySet, CpuSet, ExecutionDomain, IdMap, IdMapping, IdOrName,
    IdRange, Interface, Interfaces, IoClass, IoPriority, MemoryPolicy, MemoryPolicyFlags,
    MemoryPolicyMode, Namespace, Personality, PersonalityFlags, Resource, ResourceLimit, Rlimit,
    Scheduler, SchedulerFlags, SchedulerPolicy, Setting, Target, TimeOffset, TimeOffsets, Traffic,
    User,
};
pub use ampoule_overlay::{
    Change, ChangeKind, CopyUp, Depth, HidePid, IdMapped, Mount, MountFlags, MountKind, Node,
    NodeKind, PidSubset, Propagation, Root,
};
pub use ampoule_seccomp as seccomp;
pub use ampoule_selinux::Context as SelinuxContext;
pub use attributes::ExecCpuAffinity;
pub use builder::Builder;
pub use command::Command;
pub use container::{Container, OnDrop};
pub use created::RunState;
pub use error::{Error, ErrorKind, Problem, Stage};
pub use events::Events;
pub use exec::Exec;
pub use exit::{ExitStatus, Outcome, Usage};
pub use group::OwnGroup;
pub use host::{CgroupMode, Host, Privilege};
#[cfg(feature = "landlock")]
pub use landlock::{Landlock, LandlockScope};
pub use launch::Launch;
pub use layers::RootLayers;
pub use origin::{Defaults, NewPrivileges, Origin, WithHost};
pub use output::Output;
pub use pid1::Pid1;
pub use plan::Plan;
#[cfg(feature = "net")]
pub use pod::{Pod, PodBuilder};
pub use pool::Pool;
pub use process::Process;
pub use pty::{Pty, WindowSize};
pub use relabel::Relabel;
pub use report::{Control, Entry, Level, Report, State};
pub use resources::{LimitOf, Resources};
pub use selinux::Selinux;
pub use state::{Details, Force, Kept, Listed, StateDirectory};
pub use stats::Stats;
pub use stdio::Stdio;
pub use syscalls::Seccomp;
pub use timings::Timings;
#[cfg(feature = "tokio")]
pub use tokio_container::{AsyncContainer, AsyncEvents};
#[cfg(feature = "tokio")]
pub use tokio_listener::AsyncListener;
