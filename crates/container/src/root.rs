//! From a builder to the steps of its root file system.
//!
//! Invariant: what is mounted is the builder's mounts after the defaults of its origin, in this order.

use std::os::fd::OwnedFd;
use std::path::Path;

use ampoule_init::Draft;
use ampoule_ns::prepared::id_maps::Writer;
use ampoule_ns::{IdMap, Namespace, NamespaceSet, Setting, user_namespace};
use ampoule_overlay::{
    Access, Base, Console, FileSystem, IdMapped, Mount, MountKind, MountLabel,
    Namespace as Ownership, Nodes, Prepared, Root, Situation, TtyGroup, UserNamespace, host_view,
    prepare as prepare_steps,
};

use crate::builder::Builder;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Stage};
use crate::host::{self, Privilege};
use crate::identity::Identity;
use crate::layers::LayersPlan;
use crate::origin::{Defaults, Origin};

/// The group that terminals belong to.
const TTY_GROUP: u32 = 5;

/// Makes the steps; `None` if the host's root is used as it is.
pub(crate) fn prepare(
    command: &Command,
    namespaces: &NamespaceSet,
    (privilege, mount_label): (Privilege, Option<MountLabel>),
    identity: &Identity,
    draft: &mut Draft,
) -> Result<Option<Prepared>, Error> {
    let builder = &command.builder;
    let mut fs = file_system(builder);
    if builder.origin != Origin::Bare && command.window_size().is_some() {
        fs.console = Console::Target;
    }
    if builder.origin == Origin::Bare && fs == FileSystem::new(Base::Keep, Root::InPlace) {
        return Ok(None);
    }
    let situation = situation(namespaces, privilege, identity, &fs, draft)?;
    let other_userns_fds = crate::mount_maps::namespaces(builder, privilege, draft)?;
    let situation = Situation { mount_label, other_userns_fds, ..situation };
    prepare_steps(&fs, &situation, draft).map(Some).map_err(Error::from_overlay)
}

/// The root's layers, if it has some.
pub(crate) fn layers(builder: &Builder) -> Option<LayersPlan> {
    match builder.origin {
        Origin::HostView | Origin::Bare => None,
        _ => LayersPlan::new(builder, &file_system(builder)),
    }
}

impl Builder {
    /// The working directory that the image asks for.
    pub(crate) fn image_working_dir(&self) -> Option<&Path> {
        #[cfg(feature = "image")]
        return self.image.as_ref()?.working_dir.as_deref();
        #[cfg(not(feature = "image"))]
        None
    }
}

/// The whole file system as data.
fn file_system(builder: &Builder) -> FileSystem {
    let base = match &builder.origin {
        Origin::HostView => Base::Empty,
        Origin::Directory(directory) => Base::Directory(directory.clone()),
        Origin::Layers(layers) => Base::Layers(layers.clone()),
        Origin::Bare => Base::Keep,
    };
    let mut fs = FileSystem::new(base, builder.root.clone());
    match builder.origin {
        Origin::HostView => {
            let view = host_view(Path::new("/"));
            fs.mounts = view.mounts;
            fs.links = view.links;
            fs.files = view.files;
            fs.mounts.extend([Mount::proc(), Mount::dev()]);
        }
        Origin::Directory(_) | Origin::Layers(_) if builder.defaults == Defaults::Usual => {
            fs.mounts.extend([Mount::proc(), Mount::sysfs(), Mount::dev()])
        }
        Origin::Directory(_) | Origin::Layers(_) | Origin::Bare => {}
    }
    fs.mounts.extend(builder.mounts.iter().cloned());
    if builder.root != Root::ReadOnly {
        fs.directories.extend(builder.image_working_dir().map(Path::to_path_buf));
    }
    fs.files.extend(crate::network::name_files(builder));
    fs.open_file = crate::network::later_file(builder);
    fs.directories.extend(builder.directories.iter().cloned());
    fs.files.extend(builder.files.iter().cloned());
    fs.links.extend(builder.links.iter().cloned());
    builder.add_nodes(&mut fs);
    fs.masked = builder.masked.clone().unwrap_or_else(FileSystem::default_masked);
    fs.read_only = builder.read_only_paths.clone().unwrap_or_else(FileSystem::default_read_only);
    fs.propagation = builder.propagation;
    fs
}

/// What the steps need to know about the process that does them.
fn situation(
    namespaces: &NamespaceSet,
    privilege: Privilege,
    identity: &Identity,
    fs: &FileSystem,
    draft: &mut Draft,
) -> Result<Situation, Error> {
    let user = namespaces.get(Namespace::User);
    let ownership = |kind| match namespaces.get(kind) {
        Setting::New => Ownership::New,
        // Another container's, such as the first one of a pod.
        Setting::Join(target) if *user == Setting::Host && host::owns(target, kind) => {
            Ownership::New
        }
        _ => Ownership::Shared,
    };
    let mut situation = match privilege {
        Privilege::Full => Situation::privileged(),
        Privilege::None => Situation::unprivileged(),
    };
    situation.user_namespace =
        if *user == Setting::Host { UserNamespace::Host } else { UserNamespace::New };
    situation.pid_namespace = ownership(Namespace::Pid);
    situation.net_namespace = ownership(Namespace::Net);
    situation.ipc_namespace = ownership(Namespace::Ipc);
    situation.cgroup_namespace = ownership(Namespace::Cgroup);
    situation.own_groups = Some(crate::group_paths::FIRST);
    situation.tty_group =
        if identity.has_group(TTY_GROUP) { TtyGroup::Mapped } else { TtyGroup::Unmapped };
    // Where nodes cannot be made, those of the host are bound.
    situation.nodes = if host::makes_nodes() { Nodes::Made } else { Nodes::Bound };
    situation.root_ids = identity.root_ids();
    if situation.access == Access::Detached && maps_owners(fs) {
        situation.userns_fd = mapping_namespace(identity)?.map(|fd| draft.inherit(fd));
    }
    Ok(situation)
}

/// Whether something in the file system has its owners mapped.
fn maps_owners(fs: &FileSystem) -> bool {
    let mapped = |mount: &Mount| {
        matches!(
            mount.kind,
            MountKind::Bind { idmapped: IdMapped::Container, .. } | MountKind::Overlay { .. }
        )
    };
    !fs.base.layers().is_empty() || fs.mounts.iter().any(mapped)
}

/// A user namespace with the container's maps, for id-mapped mounts.
fn mapping_namespace(identity: &Identity) -> Result<Option<OwnedFd>, Error> {
    let Some((map, writer)) = &identity.maps else { return Ok(None) };
    user_namespace_of(map, *writer).map(Some)
}

/// A user namespace with these maps, and nothing in it.
pub(crate) fn user_namespace_of(map: &IdMap, writer: Writer) -> Result<OwnedFd, Error> {
    user_namespace::create(map, writer).map_err(|error| {
        let kind = if error.kind() == ampoule_ns::ErrorKind::Denied {
            ErrorKind::UserNamespacesDenied
        } else {
            ErrorKind::IdMap
        };
        Error::from_ns(Stage::Plan, error).with_kind(kind)
    })
}
