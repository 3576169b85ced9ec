//! What a container is: pure data.
//!
//! Setters never fail; every problem is found when the plan is made. Invariant: a builder holds no descriptor and
//! touches nothing, so that it can be cloned, compared, stored and sent elsewhere.

use ampoule_cgroups::Bytes;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ampoule_ns::{
    Capabilities, Capability, CpuSet, IdMapping, IoPriority, Namespace, NamespaceSet, Personality,
    ResourceLimit, Scheduler, Setting, TimeOffsets, User,
};
use ampoule_overlay::{File, Link, Mount, Node, Propagation, Root};
use serde::{Deserialize, Serialize};

use crate::attributes::ExecCpuAffinity;
use crate::command::Command;
use crate::container::{Container, OnDrop};
use crate::error::Error;
use crate::group::OwnGroup;
use crate::origin::{Defaults, NewPrivileges, Origin, WithHost};
use crate::pid1::Pid1;
use crate::report::Control;
use crate::selinux::Labels;
use crate::syscalls::Seccomp;

/// A description of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    pub(crate) origin: Origin,
    pub(crate) root: Root,
    pub(crate) namespaces: NamespaceSet,
    pub(crate) id_mapping: IdMapping,
    pub(crate) user: Option<User>,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) new_privileges: NewPrivileges,
    #[serde(default)]
    pub(crate) seccomp: Seccomp,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) files: Vec<File>,
    pub(crate) links: Vec<Link>,
    pub(crate) masked: Option<Vec<PathBuf>>,
    pub(crate) read_only_paths: Option<Vec<PathBuf>>,
    pub(crate) propagation: Propagation,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) sysctls: Vec<(String, String)>,
    pub(crate) time_offsets: TimeOffsets,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) env_inherit: Vec<OsString>,
    pub(crate) rlimits: Vec<ResourceLimit>,
    pub(crate) umask: u32,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    pub(crate) cpu_affinity: Option<CpuSet>,
    pub(crate) personality: Option<Personality>,
    pub(crate) pid1: Pid1,
    pub(crate) on_drop: OnDrop,
    pub(crate) with_host: WithHost,
    pub(crate) stop_signal: i32,
    pub(crate) best_effort: Vec<Control>,
    #[serde(default)]
    pub(crate) limits: ampoule_cgroups::Limits,
    #[serde(default)]
    pub(crate) cgroup_parent: Option<String>,
    #[cfg(feature = "image")]
    #[serde(default)]
    pub(crate) image: Option<crate::from_image::FromImage>,
    #[serde(default)]
    pub(crate) apparmor_profile: Option<String>,
    #[cfg(feature = "landlock")]
    #[serde(default)]
    pub(crate) landlock: Option<crate::landlock::Landlock>,
    #[serde(default)]
    pub(crate) own_group: OwnGroup,
    #[serde(default)]
    pub(crate) selinux: Labels,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) cgroup_placement: ampoule_cgroups::Placement,
    #[serde(default)]
    pub(crate) networking: crate::network::Networking,
    pub(crate) cgroup_path: Option<String>,
    #[serde(default)]
    pub(crate) defaults: Defaults,
    #[serde(default)]
    pub(crate) nodes: Vec<Node>,
    #[serde(default)]
    pub(crate) directories: Vec<PathBuf>,
    /// Maps of single mounts, by their numbers.
    #[serde(default)]
    pub(crate) mount_maps: Vec<ampoule_ns::IdMap>,
    #[serde(default)]
    pub(crate) memory_policy: Option<ampoule_ns::MemoryPolicy>,
    #[serde(default)]
    pub(crate) exec_cpu_affinity: ExecCpuAffinity,
}

impl Container {
    /// A read-only view of this machine's programs and libraries; works anywhere without a download.
    #[must_use]
    pub fn host_view() -> Builder {
        Builder::new(Origin::HostView, Root::ReadOnly)
    }

    /// The root file system in a directory; what the payload writes to it is thrown away at the end.
    #[must_use]
    pub fn from_rootfs(directory: impl Into<PathBuf>) -> Builder {
        let size = Builder::EPHEMERAL_SIZE.get();
        Builder::new(Origin::Directory(directory.into()), Root::Ephemeral { size })
    }

    /// No namespace, no mount, no group, the host's root: only what is asked for.
    #[must_use]
    pub fn bare() -> Builder {
        let mut builder = Builder::new(Origin::Bare, Root::InPlace);
        builder.namespaces = NamespaceSet::all(Setting::Host);
        builder.own_group = OwnGroup::WithLimits;
        builder.masked = Some(Vec::new());
        builder.read_only_paths = Some(Vec::new());
        builder
    }
}

impl Builder {
    /// How much a payload can write to an [`Root::Ephemeral`] root unless another size is chosen.
    pub const EPHEMERAL_SIZE: Bytes = Bytes::gib(1);

    pub(crate) fn from_layers(layers: Vec<PathBuf>) -> Self {
        let size = Self::EPHEMERAL_SIZE.get();
        Self::new(Origin::Layers(layers), Root::Ephemeral { size })
    }

    pub(crate) fn new(origin: Origin, root: Root) -> Self {
        Self {
            origin,
            root,
            namespaces: NamespaceSet::default(),
            id_mapping: IdMapping::Auto,
            user: None,
            capabilities: None,
            new_privileges: NewPrivileges::default(),
            seccomp: Seccomp::default(),
            mounts: Vec::new(),
            files: Vec::new(),
            links: Vec::new(),
            masked: None,
            read_only_paths: None,
            propagation: Propagation::default(),
            hostname: None,
            domainname: None,
            sysctls: Vec::new(),
            time_offsets: TimeOffsets::default(),
            env: Vec::new(),
            env_inherit: Vec::new(),
            rlimits: Vec::new(),
            umask: 0o022,
            oom_score_adj: None,
            scheduler: None,
            io_priority: None,
            cpu_affinity: None,
            personality: None,
            pid1: Pid1::default(),
            on_drop: OnDrop::default(),
            with_host: WithHost::default(),
            stop_signal: 15,
            best_effort: Vec::new(),
            limits: ampoule_cgroups::Limits::default(),
            cgroup_parent: None,
            #[cfg(feature = "image")]
            image: None,
            apparmor_profile: None,
            #[cfg(feature = "landlock")]
            landlock: None,
            own_group: OwnGroup::default(),
            selinux: Labels::default(),
            id: None,
            cgroup_placement: ampoule_cgroups::Placement::default(),
            networking: crate::network::Networking::default(),
            cgroup_path: None,
            defaults: Defaults::default(),
            nodes: Vec::new(),
            directories: Vec::new(),
            mount_maps: Vec::new(),
            memory_policy: None,
            exec_cpu_affinity: ExecCpuAffinity::default(),
        }
    }

    /// The command to run in it.
    #[must_use]
    pub fn command(self, program: impl Into<OsString>) -> Command {
        Command::new(self, program.into())
    }

    /// Starts it without payload: process 1 is init, further processes come by `exec`.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn idle(self) -> Result<Container, Error> {
        Command::idle(self).spawn()
    }

    /// What becomes of writes to the root file system.
    #[must_use]
    pub fn root(mut self, root: Root) -> Self {
        self.root = root;
        self
    }

    /// What is done about one kind of namespace (namespaces(7)).
    #[must_use]
    pub fn namespace(mut self, kind: Namespace, setting: Setting) -> Self {
        self.namespaces = self.namespaces.with(kind, setting);
        self
    }

    /// Uses the host's namespace of this kind.
    #[must_use]
    pub fn share(self, kind: Namespace) -> Self {
        self.namespace(kind, Setting::Host)
    }

    /// Which ids of the host the container's ids are (user_namespaces(7)).
    #[must_use]
    pub fn id_mapping(mut self, mapping: IdMapping) -> Self {
        self.id_mapping = mapping;
        self
    }

    /// Who the payload runs as, by id or by name in the container's root.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// The payload's capabilities (capabilities(7)).
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = Some(capabilities);
        self
    }

    /// Adds one capability to the default or chosen set.
    #[must_use]
    pub fn cap_add(mut self, capability: Capability) -> Self {
        self.capabilities = Some(self.capabilities.unwrap_or_default().add(capability));
        self
    }

    /// Takes one capability from the default or chosen set.
    #[must_use]
    pub fn cap_drop(mut self, capability: Capability) -> Self {
        self.capabilities = Some(self.capabilities.unwrap_or_default().drop(capability));
        self
    }

    /// Whether set-user-id files and file capabilities count.
    #[must_use]
    pub fn new_privileges(mut self, setting: NewPrivileges) -> Self {
        self.new_privileges = setting;
        self
    }

    /// Adds a mount.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Shows a file or directory of the host at the same path, read-only.
    #[must_use]
    pub fn bind(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        self.bind_to(path, path)
    }

    /// Shows a file or directory of the host at the same path, writable.
    #[must_use]
    pub fn bind_rw(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        self.bind_rw_to(path, path)
    }

    /// Shows a file or directory of the host at another path, read-only.
    #[must_use]
    pub fn bind_to(self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.mount(Mount::bind(source, target))
    }

    /// Shows a file or directory of the host at another path, writable.
    #[must_use]
    pub fn bind_rw_to(self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.mount(Mount::bind_rw(source, target))
    }

    /// Mounts an empty, writable file system in memory, of at most this size.
    #[must_use]
    pub fn tmpfs(self, target: impl Into<PathBuf>, size: Bytes) -> Self {
        self.mount(Mount::tmpfs(target, size.get()))
    }

    /// Lets a file with these bytes appear in the root (mode 0644).
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, bytes, 0o644)
    }

    /// Lets a file with these bytes and this mode appear in the root.
    #[must_use]
    pub fn file_with_mode(
        mut self,
        path: impl Into<PathBuf>,
        bytes: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Self {
        self.files.push(File::new(path, bytes, mode));
        self
    }

    /// Lets a symbolic link appear in the root.
    #[must_use]
    pub fn link(mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        self.links.push(Link::new(path, target));
        self
    }

    /// Files and directories to cover, in place of the default list.
    #[must_use]
    pub fn masked_paths(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.masked = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Paths to make read-only, in place of the default list.
    #[must_use]
    pub fn read_only_paths(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.read_only_paths = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Whether mounts made on the host later show up in the container's mounts (mount_namespaces(7)).
    #[must_use]
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = propagation;
        self
    }

    /// The host name in a new UTS namespace, at most 64 bytes.
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }

    /// The NIS domain name in a new UTS namespace, at most 64 bytes.
    #[must_use]
    pub fn domainname(mut self, name: impl Into<String>) -> Self {
        self.domainname = Some(name.into());
        self
    }

    /// A kernel parameter of one of the new namespaces, such as `net.ipv4.ip_forward` (sysctl(8)).
    #[must_use]
    pub fn sysctl(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.sysctls.push((name.into(), value.into()));
        self
    }

    /// Offsets of the clocks in a new time namespace (time_namespaces(7), Linux 5.6); makes that namespace new.
    #[must_use]
    pub fn time_offsets(mut self, offsets: TimeOffsets) -> Self {
        self.time_offsets = offsets;
        self.namespace(Namespace::Time, Setting::New)
    }

    /// Sets a variable of the payload's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Takes these variables over from the host when the plan is made; by default none are.
    #[must_use]
    pub fn env_inherit(mut self, names: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.env_inherit.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets a resource limit of the payload (setrlimit(2)).
    #[must_use]
    pub fn rlimit(mut self, limit: ResourceLimit) -> Self {
        self.rlimits.push(limit);
        self
    }

    /// The payload's file mode creation mask, 0022 by default (umask(2)).
    #[must_use]
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = mask;
        self
    }

    /// How readily the kernel ends the payload when memory runs out, -1000 to 1000 (proc(5)).
    #[must_use]
    pub fn oom_score_adj(mut self, score: i32) -> Self {
        self.oom_score_adj = Some(score);
        self
    }

    /// Scheduling policy and nice value (sched(7)).
    #[must_use]
    pub fn scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = Some(scheduler);
        self
    }

    /// I/O scheduling class and priority (ioprio_set(2)).
    #[must_use]
    pub fn io_priority(mut self, priority: IoPriority) -> Self {
        self.io_priority = Some(priority);
        self
    }

    /// The processors that the payload may run on (sched_setaffinity(2)).
    #[must_use]
    pub fn cpu_affinity(mut self, cpus: CpuSet) -> Self {
        self.cpu_affinity = Some(cpus);
        self
    }

    /// The execution domain (personality(2)).
    #[must_use]
    pub fn personality(mut self, personality: Personality) -> Self {
        self.personality = Some(personality);
        self
    }

    /// Who is process 1.
    #[must_use]
    pub fn pid1(mut self, pid1: Pid1) -> Self {
        self.pid1 = pid1;
        self
    }

    /// What happens when the handle is dropped.
    #[must_use]
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.on_drop = on_drop;
        self
    }

    /// Whether the container ends with the host's process.
    #[must_use]
    pub fn with_host(mut self, setting: WithHost) -> Self {
        self.with_host = setting;
        self
    }

    /// The signal that [`Container::stop`] sends first, `SIGTERM` by default.
    #[must_use]
    pub fn stop_signal(mut self, signal: i32) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Goes on without this control where it cannot be had; the report then says so and why.
    #[must_use]
    pub fn best_effort(mut self, control: Control) -> Self {
        self.best_effort.push(control);
        self
    }
}
