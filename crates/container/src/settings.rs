//! A builder's settings, validated and resolved: what the order of steps is made from.
//!
//! Invariant: every problem of the settings is found here, all together, before anything is started.

use std::os::fd::OwnedFd;

use ampoule_init::{Draft, Fd};
use ampoule_ns::prepared::namespaces::Caller;
use ampoule_ns::{
    CapabilitySet, Hostname, Namespace, NamespaceSet, ResourceLimit, Scheduler, Setting, Sysctl,
    TimeOffsets,
};
use rustix::fs::{CWD, Mode, OFlags, fstat, fstatfs, openat};

use crate::attributes::Attributes;
use crate::command::Command;
use crate::container::OnDrop;
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::group::{Grouping, OwnGroup};
use crate::host::{self, Privilege};
use crate::identity::Identity;
use crate::layers::LayersPlan;
use crate::levels::{self, LeftOut};
use crate::origin::{NewPrivileges, WithHost};
use crate::pid1::Pid1;
use crate::plan::{ProcFd, RootSteps};
use crate::pty::WindowSize;
use crate::relabel::Relabelling;
use crate::selinux::Labelling;
use crate::syscalls::Confined;

/// Type of procfs (statfs(2)).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// Inode of procfs's root directory.
const PROC_ROOT_INODE: u64 = 1;

/// Everything that the order of steps needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) privilege: Privilege,
    pub(crate) namespaces: NamespaceSet,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) time_offsets: TimeOffsets,
    pub(crate) identity: Identity,
    pub(crate) root: Option<RootSteps>,
    pub(crate) layers: Option<LayersPlan>,
    #[cfg(feature = "image")]
    #[expect(dead_code, reason = "their locks hold the layers")]
    pub(crate) image_layers: Vec<ampoule_image::Layer>,
    pub(crate) apparmor: Option<crate::apparmor::Profile>,
    #[cfg(feature = "landlock")]
    pub(crate) landlock: Option<crate::landlock::Prepared>,
    pub(crate) proc: ProcFd,
    pub(crate) known: CapabilitySet,
    pub(crate) new_privileges: NewPrivileges,
    pub(crate) seccomp: Option<Confined>,
    pub(crate) hostname: Option<Hostname>,
    pub(crate) domainname: Option<Hostname>,
    pub(crate) sysctls: Vec<Sysctl>,
    pub(crate) rlimits: Vec<ResourceLimit>,
    pub(crate) umask: u32,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) attributes: Attributes,
    pub(crate) tty: Option<WindowSize>,
    pub(crate) pid1: Pid1,
    pub(crate) on_drop: OnDrop,
    pub(crate) with_host: WithHost,
    pub(crate) stop_signal: i32,
    pub(crate) group: Grouping,
    pub(crate) own_group: OwnGroup,
    pub(crate) selinux: Labelling,
    pub(crate) network: crate::network::Planned,
    pub(crate) relabelling: Relabelling,
    pub(crate) id: Option<String>,
}

impl Settings {
    /// Whether a ruleset of Landlock is in force, and so handed to what joins.
    pub(crate) fn has_ruleset(&self) -> bool {
        #[cfg(feature = "landlock")]
        return self.landlock.is_some();
        #[cfg(not(feature = "landlock"))]
        false
    }

    /// Validates and resolves a command's settings; opens what the steps need.
    pub(crate) fn gather(command: &Command, draft: &mut Draft) -> Result<Self, Error> {
        let builder = &command.builder;
        if ampoule_init::sys::process_state::is_secure() {
            return Err(Error::new(ErrorKind::SecureHost, Stage::Plan));
        }
        let privilege = host::privilege_for(&builder.namespaces, &builder.id_mapping);
        let (namespaces, mut left_out) = levels::namespaces(builder, privilege)?;
        let checked = crate::validate::check(command, &namespaces, privilege)?;
        #[cfg(feature = "image")]
        let image_layers =
            builder.image.as_ref().map_or(Ok(Vec::new()), crate::from_image::FromImage::hold)?;
        let group = crate::group::prepare(builder, &mut left_out)?;
        let identity = Identity::resolve(builder, &namespaces, privilege)?;
        levels::identity(builder, &identity)?;
        let leave = (privilege, &mut left_out);
        let seccomp = crate::syscalls::prepare(builder, &namespaces, &identity, leave, draft)?;
        let proc = draft.inherit(open_proc()?);
        let selinux = crate::selinux::prepare(builder)?;
        let label = crate::mount_label::planned(builder, &selinux, &mut left_out)?;
        let mounts = (privilege, label);
        let root = crate::root::prepare(command, &namespaces, mounts, &identity, draft)?;
        let apparmor = crate::apparmor::prepare(builder, &mut left_out)?;
        #[cfg(feature = "landlock")]
        let landlock = crate::landlock::prepare(builder, root.as_ref(), draft, &mut left_out)?;
        Ok(Self {
            privilege,
            pid1: effective_pid1(&namespaces, builder.pid1),
            namespaces,
            left_out,
            time_offsets: builder.time_offsets,
            identity,
            root,
            layers: crate::root::layers(builder),
            #[cfg(feature = "image")]
            image_layers,
            apparmor,
            #[cfg(feature = "landlock")]
            landlock,
            proc,
            known: known_capabilities()?,
            new_privileges: builder.new_privileges,
            seccomp,
            hostname: checked.hostname,
            domainname: checked.domainname,
            sysctls: checked.sysctls,
            rlimits: builder.rlimits.clone(),
            umask: builder.umask,
            oom_score_adj: builder.oom_score_adj,
            scheduler: builder.scheduler,
            attributes: Attributes::of(builder),
            tty: command.window_size(),
            on_drop: builder.on_drop,
            with_host: builder.with_host,
            stop_signal: builder.stop_signal,
            group,
            own_group: builder.own_group,
            relabelling: crate::relabel::prepare(builder, &selinux)?,
            selinux,
            network: checked.network,
            id: builder.id.clone(),
        })
    }

    /// In which order namespaces can be joined.
    pub(crate) fn caller(&self) -> Caller {
        match self.privilege {
            Privilege::Full => Caller::Privileged,
            Privilege::None => Caller::Unprivileged,
        }
    }

    /// Whether the first process stands in another user namespace than the host.
    pub(crate) fn enters_user_namespace(&self) -> bool {
        *self.namespaces.get(Namespace::User) != Setting::Host
    }

    /// Whether the ipc namespace is made by the container's root and not with the others: who makes it owns the directory
    /// of its message queues.
    pub(crate) fn makes_ipc_as_root(&self) -> bool {
        let new = *self.namespaces.get(Namespace::Ipc) == Setting::New;
        let root = self.enters_user_namespace() && self.identity.has_root();
        new && root && !self.identity.root_is_caller()
    }

    /// The procfs through which sysctls are written: the container's new one, or the host's.
    pub(crate) fn container_proc(&self) -> Fd {
        self.root.as_ref().and_then(|root| root.proc).map_or(self.proc, Fd::Saved)
    }

    /// Whether init ends the container when the host's process ends.
    pub(crate) fn watches_host(&self) -> bool {
        self.with_host == WithHost::Dies
            && self.on_drop == OnDrop::Kill
            && self.pid1 == Pid1::Reaper
    }
}

/// The capabilities that this kernel has.
fn known_capabilities() -> Result<CapabilitySet, Error> {
    CapabilitySet::supported().map_err(|error| Error::from_ns(Stage::Plan, error))
}

/// A process that joins a pid namespace is not its first, so that it cannot be its reaper.
pub(crate) fn effective_pid1(namespaces: &NamespaceSet, asked: Pid1) -> Pid1 {
    match namespaces.get(Namespace::Pid) {
        Setting::Join(_) => Pid1::Payload,
        _ => asked,
    }
}

/// The host's procfs, checked to be the root of one.
pub(crate) fn open_proc() -> Result<OwnedFd, Error> {
    let call = |errno| Error::call(Stage::Plan, "open /proc", errno);
    let proc =
        openat(CWD, "/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(call)?;
    let kind = fstatfs(&proc).map_err(call)?.f_type;
    let inode = fstat(&proc).map_err(call)?.st_ino;
    if u64::try_from(kind) == Ok(PROC_SUPER_MAGIC) && inode == PROC_ROOT_INODE {
        return Ok(proc);
    }
    let problem = Problem::new("/proc", "what is mounted there is not procfs");
    Err(Error::invalid(vec![problem]).with_kind(ErrorKind::FileSystem))
}
