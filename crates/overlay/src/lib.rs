//! Root file systems for isolated processes: overlay, bind, tmpfs, proc, sysfs, `/dev`, masked paths, pivot_root(2).
//!
//! A [`FileSystem`] is plain data. [`prepare`] checks it against the host, opens what it names, and turns it into
//! [`ampoule_init::Step`]s; it mounts nothing. The steps run in the launcher and in the container's first process, so
//! that nothing is ever mounted in the host's mount namespace.
//!
//! | type | is about |
//! |---|---|
//! | [`FileSystem`], [`Base`], [`Root`] | what the root is made from, and what becomes of what is written to it |
//! | [`Mount`], [`MountKind`], [`MountFlags`], [`Propagation`] | one mount |
//! | [`File`], [`Link`], [`Node`] | bytes, links and device nodes that appear in the root |
//! | [`host_view`] | the host's programs and libraries, without its data |
//! | [`Situation`], [`Kernel`] | privileges and namespaces of the process that will mount; what its kernel can do |
//! | [`Prepared`] | the steps, in groups |
//! | [`Overlay`], [`MountedOverlay`] | layers as one tree by themselves, reached by a descriptor |
//! | [`UpperLayer`], [`Change`] | what was written, and how it is discarded |
//! | [`Error`], [`Problem`] | everything that is wrong, found together |
//!
//! ```
//! use ampoule_init::Draft;
//! use ampoule_overlay::{Base, FileSystem, File, Mount, Root, Situation, host_view, prepare};
//!
//! let view = host_view("/".as_ref());
//! let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
//! fs.mounts = view.mounts;
//! fs.mounts.extend([Mount::proc(), Mount::dev()]);
//! fs.links = view.links;
//! fs.files = view.files;
//! fs.files.push(File::new("/src/main.py", "print(6 * 7)\n", 0o644));
//! fs.masked = FileSystem::default_masked();
//! fs.read_only = FileSystem::default_read_only();
//!
//! let mut draft = Draft::default();
//! let prepared = prepare(&fs, &Situation::privileged(), &mut draft)?;
//! for step in prepared.build.iter().chain(&prepared.enter) {
//!     println!("{step}");
//! }
//! # Ok::<(), ampoule_overlay::Error>(())
//! ```
//!
//! # What each root means
//!
//! | | `ReadOnly` | `Ephemeral` | `Persistent` | `InPlace` |
//! |---|---|---|---|---|
//! | `Empty` | tmpfs, read-only at the end | tmpfs of that size | – | – |
//! | `Layers` | read-only overlay; where a target is missing in it, with an upper layer in memory | overlay, upper layer in memory | overlay, upper layer in that directory | – (one layer: bind mount) |
//! | `Directory` | read-only bind mount; where a target is missing in it, a read-only overlay | overlay, upper layer in memory | overlay, upper layer in that directory | bind mount |
//! | `Keep` | – | – | – | the caller's mounts, in a mount namespace of their own |
//!
//! # An overlay by itself
//!
//! ```no_run
//! use ampoule_overlay::Overlay;
//!
//! let overlay = Overlay::new(["/layers/app", "/layers/base"]).upper("/data/upper");
//! let mounted = overlay.mount()?; // mounted.merged(): the tree's root, for openat2(2)
//! for change in overlay.changes()? {
//!     println!("{:?} {}", change.kind, change.path.display());
//! }
//! drop(mounted); // nothing is left of the mount
//! overlay.discard()?;
//! # Ok::<(), ampoule_overlay::Error>(())
//! ```
//!
//! # Two ways in
//!
//! A privileged host hands the launcher descriptors, which it copies as detached mounts ([`Access::Detached`]). An
//! ordinary user cannot, and the kernel does not attach mounts of the host in a foreign namespace: there the first
//! process opens each source by its path and compares device and inode with what the plan saw
//! ([`Access::InNamespace`]).
//!
//! # What a container with `CAP_SYS_ADMIN` in its user namespace can undo
//!
//! Mounts that these steps made are not *locked* for a process in the same user namespace: such a payload can unmount
//! masks and clear read-only flags. A second user and mount namespace locks them (mount_namespaces(7)).

mod assembly;
mod changes;
mod discard;
mod enclave;
mod error;
mod file;
mod file_system;
mod flags;
mod host_view;
mod identity;
mod kernel;
mod layers;
mod merged;
mod mount;
mod mounted;
mod mountinfo;
mod node;
mod overlay;
mod prepared;
mod propagation;
mod root;
mod situation;
mod target;
mod upper;
mod view;
mod volatile;
mod walk;

pub use changes::{Change, ChangeKind};
pub use error::{Error, ErrorKind, Problem};
pub use file::{File, Link};
pub use file_system::{Console, FileSystem};
pub use flags::MountFlags;
pub use host_view::{HostView, host_view};
pub use kernel::Kernel;
pub use merged::Notes;
pub use mount::{CopyUp, Depth, HidePid, IdMapped, Mount, MountKind, PidSubset};
pub use mounted::MountedOverlay;
pub use node::{Node, NodeKind};
pub use overlay::Overlay;
pub use prepared::{Prepared, Substitution, prepare};
pub use propagation::Propagation;
pub use root::{Base, Root};
pub use situation::{Access, MountLabel, Namespace, Nodes, Situation, TtyGroup, UserNamespace};
pub use upper::UpperLayer;
