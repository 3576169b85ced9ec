//! What a builder has without being asked, as if it was asked for: a document has no defaults.

use std::path::PathBuf;

use ampoule_ns::{Capabilities, IdMapping, Namespace, NamespaceSet, Setting, Target, User};
use ampoule_overlay::{CopyUp, FileSystem, Mount, MountFlags, MountKind};
use ampoule_seccomp::{Action, Filter, Granted, Profile};

use crate::builder::Builder;
use crate::origin::{Defaults, Origin};
use crate::syscalls::Seccomp;
use crate::validate::DEFAULT_HOSTNAME;

/// How much fits into `/dev` and into `/dev/shm`, in bytes.
const MEMORY: u64 = 64 << 20;

/// Gives the settings that cannot be said as they are, and stand as something stricter.
pub(super) fn explicit(builder: &mut Builder) -> Option<&'static str> {
    if builder.defaults == Defaults::Usual && builder.origin != Origin::Bare {
        builder.defaults = Defaults::Runtime;
        let usual = [Mount::proc(), Mount::sysfs(), Mount::dev()];
        builder.mounts.splice(0..0, usual);
        if *builder.namespaces.get(Namespace::Uts) == Setting::New {
            builder.hostname.get_or_insert_with(|| DEFAULT_HOSTNAME.to_owned());
        }
    }
    let mounts = std::mem::take(&mut builder.mounts);
    builder.mounts = mounts.into_iter().flat_map(mounts_of).collect();
    builder.masked.get_or_insert_with(FileSystem::default_masked);
    builder.read_only_paths.get_or_insert_with(FileSystem::default_read_only);
    builder.namespaces = namespaces(&builder.namespaces);
    if *builder.namespaces.get(Namespace::User) != Setting::New {
        builder.id_mapping = IdMapping::Auto;
    }
    // They are in the environment of the process.
    builder.env.clear();
    if matches!(builder.origin, Origin::Directory(_) | Origin::Layers(_)) {
        builder.user.get_or_insert_with(|| User::ids(0, 0));
    }
    let capabilities = builder.capabilities.get_or_insert_with(Capabilities::default);
    let granted = Granted::from_bits(capabilities.bounding.bits());
    let filter = match &builder.seccomp {
        Seccomp::Default => Some(Filter::default_for(granted)),
        Seccomp::Filter(filter) => Some((**filter).clone()),
        _ => None,
    };
    builder.sysctls.sort();
    let mut filter = filter?;
    let exact = profile(&filter);
    // Other entries into the kernel, and newer calls, have one answer in a document.
    let lost = exact.is_none().then_some("seccomp");
    (filter.foreign, filter.newer) = (Action::KillProcess, None);
    let profile = exact.or_else(|| profile(&filter));
    builder.seccomp = profile.map_or(std::mem::take(&mut builder.seccomp), Seccomp::from);
    lost
}

fn profile(filter: &Filter) -> Option<Profile> {
    Profile::from_json(filter.to_oci_json().ok()?.as_bytes()).ok()
}

/// Those of a process, by its files.
fn namespaces(set: &NamespaceSet) -> NamespaceSet {
    set.iter().fold(set.clone(), |set, (kind, setting)| match setting {
        Setting::Join(Target::Pid(pid)) => {
            let path = PathBuf::from(format!("/proc/{pid}/ns/{}", kind.proc_name()));
            set.with(kind, Setting::Join(Target::Path(path)))
        }
        _ => set,
    })
}

/// One mount for each file system, with what a document has one form for.
fn mounts_of(mut mount: Mount) -> Vec<Mount> {
    let bound = matches!(mount.kind, MountKind::Bind { .. });
    if !bound {
        let flags = mount.flags | mount.recursive;
        (mount.flags, mount.recursive) = match mount.kind {
            MountKind::Cgroup => (MountFlags::empty(), flags),
            _ => (flags, MountFlags::empty()),
        };
    }
    if let MountKind::Overlay { upper: Some(upper), work: work @ None, .. } = &mut mount.kind {
        let mut name = upper.file_name().unwrap_or_default().to_owned();
        name.push(".work");
        *work = Some(upper.with_file_name(name));
    }
    if mount.kind != MountKind::Dev {
        return vec![mount];
    }
    let at = mount.target.clone();
    let terminals = MountFlags::NOSUID | MountFlags::NOEXEC;
    let memory = |size, mode| MountKind::Tmpfs { size, mode, copy_up: CopyUp::No };
    mount.kind = memory(MEMORY, 0o755);
    vec![
        mount,
        Mount::new(at.join("pts"), MountKind::Devpts { gid: Some(5) }, terminals),
        Mount::new(at.join("shm"), memory(MEMORY, 0o1777), MountFlags::DATA),
        Mount::new(at.join("mqueue"), MountKind::Mqueue, MountFlags::DATA),
    ]
}
