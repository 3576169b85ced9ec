//! `mounts`.

use std::path::Path;

use ampoule_ns::IdMap;
use ampoule_overlay::{
    CopyUp, Depth, HidePid, IdMapped, Mount, MountFlags, MountKind, PidSubset, Propagation,
};
use serde_json::{Map, Value, json};

use super::insert;
use super::linux::ranges;

/// Flags with the names that set and clear them.
const FLAGS: [(MountFlags, &str, &str); 6] = [
    (MountFlags::RDONLY, "ro", "rw"),
    (MountFlags::NOSUID, "nosuid", "suid"),
    (MountFlags::NODEV, "nodev", "dev"),
    (MountFlags::NOEXEC, "noexec", "exec"),
    (MountFlags::NODIRATIME, "nodiratime", "diratime"),
    (MountFlags::NOSYMFOLLOW, "nosymfollow", "symfollow"),
];

pub(super) fn mount(mount: &Mount, maps: &[IdMap]) -> Value {
    let (kind, source, mut options) = of_kind(&mount.kind);
    let recursive = match mount.kind {
        // Read as flags of all its mounts.
        MountKind::Cgroup => "",
        _ => "r",
    };
    options.extend(names(mount.flags, mount.clear, ""));
    options.extend(names(mount.recursive, mount.recursive_clear, recursive));
    options.extend(mount.propagation.map(|it| format!("r{}", propagation(it))));
    options.extend(mount.data.iter().cloned());
    let mut said = Map::new();
    insert(&mut said, "destination", Some(json!(mount.target)));
    insert(&mut said, "type", Some(json!(kind)));
    insert(&mut said, "source", Some(json!(source.unwrap_or(Path::new(kind)))));
    insert(&mut said, "options", Some(json!(options)));
    let map = match mount.kind {
        MountKind::Bind { idmapped: IdMapped::Other { number, .. }, .. } => {
            maps.get(usize::from(number))
        }
        _ => None,
    };
    insert(&mut said, "uidMappings", map.and_then(|map| ranges(&map.uid)));
    insert(&mut said, "gidMappings", map.and_then(|map| ranges(&map.gid)));
    Value::Object(said)
}

pub(super) fn propagation(named: Propagation) -> &'static str {
    match named {
        Propagation::Shared => "shared",
        Propagation::Slave => "slave",
        Propagation::Unbindable => "unbindable",
        _ => "private",
    }
}

fn names(set: MountFlags, clear: MountFlags, before: &str) -> Vec<String> {
    let atime = MountFlags::NOATIME | MountFlags::STRICTATIME;
    let mut names = Vec::new();
    for (flag, on, off) in FLAGS {
        names.extend(clear.contains(flag).then_some(off));
        names.extend(set.contains(flag).then_some(on));
    }
    match clear & atime {
        cleared if cleared == atime => names.push("relatime"),
        cleared if cleared == MountFlags::NOATIME => names.push("atime"),
        cleared if cleared == MountFlags::STRICTATIME => names.push("nostrictatime"),
        _ => {}
    }
    names.extend(set.contains(MountFlags::NOATIME).then_some("noatime"));
    names.extend(set.contains(MountFlags::STRICTATIME).then_some("strictatime"));
    names.iter().map(|name| format!("{before}{name}")).collect()
}

/// Type, source and the options of the kind.
fn of_kind(kind: &MountKind) -> (&str, Option<&Path>, Vec<String>) {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    match kind {
        MountKind::Bind { source, depth, idmapped } => {
            let one = *depth == Depth::One;
            let mut options = vec![if one { "bind" } else { "rbind" }];
            options.extend(match idmapped {
                IdMapped::No => None,
                IdMapped::Other { depth: Depth::One, .. } => Some("idmap"),
                _ => Some(if one { "idmap" } else { "ridmap" }),
            });
            ("bind", Some(source), options.into_iter().map(str::to_owned).collect())
        }
        MountKind::Tmpfs { size, mode, copy_up } => {
            let mut options = vec![format!("mode={mode:o}")];
            options.extend((*size != 0).then(|| format!("size={size}")));
            options.extend((*copy_up == CopyUp::Yes).then(|| "tmpcopyup".to_owned()));
            ("tmpfs", None, options)
        }
        MountKind::Proc { hide_pid, subset } => {
            let hide_pid = hide_pid.map(|how| match how {
                HidePid::NoAccess => "hidepid=noaccess",
                HidePid::Invisible => "hidepid=invisible",
                _ => "hidepid=ptraceable",
            });
            let subset = subset.map(|_: PidSubset| "subset=pid");
            ("proc", None, hide_pid.into_iter().chain(subset).map(str::to_owned).collect())
        }
        MountKind::Sysfs => ("sysfs", None, Vec::new()),
        MountKind::Mqueue => ("mqueue", None, Vec::new()),
        MountKind::Devpts { gid } => {
            let mut options: Vec<_> =
                ["newinstance", "ptmxmode=0666", "mode=0620"].map(str::to_owned).into();
            options.extend(gid.map(|gid| format!("gid={gid}")));
            ("devpts", None, options)
        }
        MountKind::Overlay { lower, upper, work } => {
            let lower: Vec<_> = lower.iter().map(|path| shown(path)).collect();
            let mut options = vec![format!("lowerdir={}", lower.join(":"))];
            options.extend(upper.iter().map(|path| format!("upperdir={}", shown(path))));
            options.extend(work.iter().map(|path| format!("workdir={}", shown(path))));
            ("overlay", None, options)
        }
        MountKind::FileSystem { name, source } => (name, source.as_deref(), Vec::new()),
        // The only others are those of groups.
        _ => ("cgroup", None, Vec::new()),
    }
}
