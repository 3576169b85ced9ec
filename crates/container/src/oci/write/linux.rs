//! `linux`, but for resources.

use ampoule_ns::{IdMapping, IdRange, Namespace, Setting, Target, TimeOffset};
use ampoule_overlay::{Node, NodeKind};
use serde_json::{Map, Value, json};

use super::{insert, mounts, resources};
use crate::builder::Builder;
use crate::oci::config::Config;
use crate::syscalls::Seccomp;

pub(super) fn linux(config: &Config) -> Value {
    let builder = &config.builder;
    let mut said = Map::new();
    insert(&mut said, "namespaces", Some(namespaces(builder)));
    if let IdMapping::Explicit(map) = &builder.id_mapping {
        insert(&mut said, "uidMappings", ranges(&map.uid));
        insert(&mut said, "gidMappings", ranges(&map.gid));
    }
    if !builder.time_offsets.is_zero() {
        let offset = |it: TimeOffset| json!({"secs": it.seconds, "nanosecs": it.nanos});
        let offsets = &builder.time_offsets;
        let both = json!({
            "monotonic": offset(offsets.monotonic),
            "boottime": offset(offsets.boottime),
        });
        insert(&mut said, "timeOffsets", Some(both));
    }
    let sysctls: Map<_, _> =
        builder.sysctls.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    insert(&mut said, "sysctl", (!sysctls.is_empty()).then_some(Value::Object(sysctls)));
    insert(&mut said, "maskedPaths", builder.masked.as_ref().map(|paths| json!(paths)));
    let paths = builder.read_only_paths.as_ref();
    insert(&mut said, "readonlyPaths", paths.map(|paths| json!(paths)));
    let nodes: Vec<_> = builder.nodes.iter().map(node).collect();
    insert(&mut said, "devices", (!nodes.is_empty()).then(|| json!(nodes)));
    #[cfg(feature = "net")]
    insert(&mut said, "netDevices", super::net_devices::net_devices(builder));
    let path = builder.cgroup_path.clone().or_else(|| crate::oci::systemd::path(builder));
    insert(&mut said, "cgroupsPath", path.map(|path| json!(path)));
    insert(&mut said, "resources", resources::resources(&builder.limits));
    let label = builder.selinux.mounts.as_ref();
    insert(&mut said, "mountLabel", label.map(|label| json!(label.to_string())));
    let propagation = mounts::propagation(builder.propagation);
    insert(&mut said, "rootfsPropagation", Some(json!(propagation)));
    if let Seccomp::Profile(profile) = &builder.seccomp {
        insert(&mut said, "seccomp", serde_json::to_value(profile).ok());
    }
    let personality = builder.personality.filter(|it| it.flags.is_empty());
    insert(&mut said, "personality", personality.map(|it| json!({"domain": it.domain})));
    insert(&mut said, "memoryPolicy", memory_policy(builder));
    Value::Object(said)
}

fn namespaces(builder: &Builder) -> Value {
    let one = |(kind, setting): (Namespace, &Setting)| {
        let name = match kind {
            Namespace::Cgroup => "cgroup",
            Namespace::Ipc => "ipc",
            Namespace::Mount => "mount",
            Namespace::Net => "network",
            Namespace::Pid => "pid",
            Namespace::Time => "time",
            Namespace::User => "user",
            Namespace::Uts => "uts",
        };
        match setting {
            Setting::Host => None,
            Setting::Join(Target::Path(path)) => Some(json!({"type": name, "path": path})),
            _ => Some(json!({"type": name})),
        }
    };
    builder.namespaces.iter().filter_map(one).collect()
}

pub(super) fn ranges(ranges: &[IdRange]) -> Option<Value> {
    let one =
        |it: &IdRange| json!({"containerID": it.inside, "hostID": it.outside, "size": it.count});
    (!ranges.is_empty()).then(|| ranges.iter().map(one).collect())
}

fn node(node: &Node) -> Value {
    let (kind, (major, minor)) = match node.kind {
        NodeKind::Char { major, minor } => ("c", (major, minor)),
        NodeKind::Block { major, minor } => ("b", (major, minor)),
        NodeKind::Fifo => ("p", (0, 0)),
    };
    json!({
        "path": node.path,
        "type": kind,
        "major": major,
        "minor": minor,
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    })
}

fn memory_policy(builder: &Builder) -> Option<Value> {
    use ampoule_ns::MemoryPolicyFlags as Flags;
    let policy = builder.memory_policy.as_ref()?;
    let named = [
        (Flags::NUMA_BALANCING, "MPOL_F_NUMA_BALANCING"),
        (Flags::RELATIVE_NODES, "MPOL_F_RELATIVE_NODES"),
        (Flags::STATIC_NODES, "MPOL_F_STATIC_NODES"),
    ];
    let flags = named.iter().filter(|(flag, _)| policy.flags.contains(*flag));
    let flags: Vec<_> = flags.map(|(_, name)| *name).collect();
    let mut said = Map::new();
    insert(&mut said, "mode", Some(json!(policy.mode)));
    insert(&mut said, "nodes", policy.nodes.as_ref().map(|nodes| json!(nodes.to_string())));
    insert(&mut said, "flags", (!flags.is_empty()).then(|| json!(flags)));
    Some(Value::Object(said))
}
