//! What a plan knows about the process that will mount: its privileges and its namespaces.
//!
//! Kernel objects: none; pure data. Invariant: a file system of a namespace is made fresh only where the kernel
//! allows it; everything else is a bind mount that the plan reports.

use ampoule_init::Fd;

use crate::kernel::Kernel;
use crate::mount::IdMapped;

/// How sources of the host get into the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The launcher, with `CAP_SYS_ADMIN` in the host's user namespace, makes detached copies.
    Detached,
    /// The first process opens them by path in its own mount namespace and compares them with what the plan saw.
    InNamespace,
}

/// The container's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserNamespace {
    /// Not the host's.
    New,
    /// The host's.
    Host,
}

/// A namespace that a file system belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Namespace {
    /// Made for the container, in its user namespace.
    New,
    /// The host's, or another container's.
    Shared,
}

/// Whether group 5 (`tty` by convention) exists in the container's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtyGroup {
    /// It does: terminals belong to it.
    Mapped,
    /// It does not: terminals belong to their opener's group.
    Unmapped,
}

/// Where device nodes come from. The kernel lets them be made, and opened where they were made, in its first user namespace
/// only (mknod(2), user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nodes {
    /// The launcher stands in that namespace and has `CAP_MKNOD`: they are made.
    Made,
    /// The launcher may be privileged, but over its own user namespace only: those of the host are bound.
    Bound,
}

/// The SELinux context of file systems that are made (`context=`, mount(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountLabel {
    /// That of each launch, by its position among the launch's parameters: on all file systems in memory, terminals and
    /// overlays.
    Parameter(u16),
    /// This one: on every file system that takes one. procfs, sysfs and control groups have labels of the policy; of
    /// message queues the directory has it.
    Exact(String),
}

/// What the plan knows about the process that will mount.
///
/// The first process must have user and group ids that are mapped in its user namespace (and be their user 0, or
/// hold the capabilities) before it does the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// How sources get in.
    pub access: Access,
    /// The user namespace.
    pub user_namespace: UserNamespace,
    /// A descriptor of a user namespace with the container's maps, which the launcher inherits; with it, layers and
    /// roots have their owners mapped. Only with [`Access::Detached`] and a new user namespace, or with
    /// [`Access::InNamespace`] and the host's.
    pub userns_fd: Option<Fd>,
    /// Descriptors of further user namespaces, which the launcher inherits, by the numbers of
    /// [`IdMapped::Other`]. Only with [`Access::Detached`].
    pub other_userns_fds: Vec<Fd>,
    /// Host ids of the container's user and group 0, if they are mapped: with [`Access::Detached`], the owner of what
    /// the launcher makes for a new user namespace.
    pub root_ids: Option<(u32, u32)>,
    /// Where device nodes come from; where the launcher has no privilege, they are bound.
    pub nodes: Nodes,
    /// For procfs.
    pub pid_namespace: Namespace,
    /// For sysfs.
    pub net_namespace: Namespace,
    /// For message queues.
    pub ipc_namespace: Namespace,
    /// For control groups.
    pub cgroup_namespace: Namespace,
    /// First position among the launch's parameters of the directories of the container's own groups, in the order of
    /// [`Prepared::hierarchies`](crate::Prepared::hierarchies): what is shown of hierarchies of the first version where the
    /// namespace is shared.
    pub own_groups: Option<u16>,
    /// For terminals.
    pub tty_group: TtyGroup,
    /// The label of file systems that are made, if they get one.
    pub mount_label: Option<MountLabel>,
    /// What the kernel can do.
    pub kernel: Kernel,
}

impl Situation {
    /// A privileged host that stays in its user namespace; the others are new.
    #[must_use]
    pub fn privileged() -> Self {
        Self {
            access: Access::Detached,
            user_namespace: UserNamespace::Host,
            userns_fd: None,
            other_userns_fds: Vec::new(),
            root_ids: None,
            nodes: Nodes::Made,
            pid_namespace: Namespace::New,
            net_namespace: Namespace::New,
            ipc_namespace: Namespace::New,
            cgroup_namespace: Namespace::New,
            own_groups: None,
            tty_group: TtyGroup::Mapped,
            mount_label: None,
            kernel: Kernel::running(),
        }
    }

    /// An ordinary user with a new user namespace that maps one id; the others are new.
    #[must_use]
    pub fn unprivileged() -> Self {
        Self {
            access: Access::InNamespace,
            user_namespace: UserNamespace::New,
            tty_group: TtyGroup::Unmapped,
            ..Self::privileged()
        }
    }

    /// A privileged process in a mount namespace of its own, which maps owners by this user namespace.
    pub(crate) fn privileged_inside(userns_fd: Fd) -> Self {
        let access = Access::InNamespace;
        Self { access, userns_fd: Some(userns_fd), ..Self::privileged() }
    }

    /// Whether the first process is privileged over the whole machine.
    pub(crate) fn is_privileged(&self) -> bool {
        self.access == Access::Detached
            && self.user_namespace == UserNamespace::Host
            && self.nodes == Nodes::Made
    }

    /// Whether a file system of this namespace can be made.
    pub(crate) fn owns(&self, namespace: Namespace) -> bool {
        namespace == Namespace::New || self.is_privileged()
    }

    /// Who owns device nodes that the launcher makes, because the first process cannot (mknod(2)).
    pub(crate) fn node_owner(&self) -> Option<(u32, u32)> {
        let launcher_only =
            self.access == Access::Detached && self.user_namespace == UserNamespace::New;
        self.root_ids.filter(|_| launcher_only && self.nodes == Nodes::Made)
    }

    /// The user namespace that maps these owners, where that is possible.
    pub(crate) fn mapping(&self, owners: IdMapped) -> Option<Fd> {
        let detached = self.access == Access::Detached;
        match owners {
            IdMapped::No => None,
            IdMapped::Container => self.id_map(),
            IdMapped::Other { number, .. } => {
                self.other_userns_fds.get(usize::from(number)).copied().filter(|_| detached)
            }
        }
    }

    /// The user namespace for id-mapped mounts, where they are possible.
    pub(crate) fn id_map(&self) -> Option<Fd> {
        let possible = match self.access {
            Access::Detached => self.user_namespace == UserNamespace::New,
            Access::InNamespace => self.user_namespace == UserNamespace::Host,
        };
        self.userns_fd.filter(|_| possible)
    }
}
