//! `linux.namespaces`, and what belongs to one of them.

use std::collections::HashMap;
use std::path::Path;

use ampoule_ns::{IdMap, IdMapping, IdRange, Namespace, NamespaceSet, Setting, Target, TimeOffset};
use ampoule_spec::JsonPath;
use ampoule_spec::oci::{Linux, LinuxIdMapping, LinuxNamespaceType, LinuxTimeOffset};

use super::reading::Reading;
use crate::builder::Builder;

/// The namespaces: those that are not named are the host's.
pub(super) fn namespaces(
    linux: &Linux,
    builder: &mut Builder,
    at: &JsonPath,
    reading: &mut Reading,
) {
    let mut set = NamespaceSet::all(Setting::Host);
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let kind = kind(namespace.typ());
        let path = namespace.path().as_deref().filter(|path| *path != Path::new(""));
        if kind == Namespace::Mount && path.is_some() {
            let at = at.key("namespaces").index(index).key("path");
            reading.refuse(&at, "a root of its own needs a new mount namespace");
        }
        let setting = path.map_or(Setting::New, |path| Setting::Join(Target::Path(path.into())));
        set = set.with(kind, setting);
    }
    if *set.get(Namespace::Mount) == Setting::Host {
        let reason = "has no mount namespace, which a root of its own needs";
        reading.refuse(&at.key("namespaces"), reason);
    }
    builder.namespaces = set;
    builder.id_mapping = id_mapping(linux);
    if let Some(offsets) = linux.time_offsets() {
        builder.time_offsets.monotonic = offset(offsets, "monotonic");
        builder.time_offsets.boottime = offset(offsets, "boottime");
    }
}

pub(in crate::oci) fn kind(of: LinuxNamespaceType) -> Namespace {
    match of {
        LinuxNamespaceType::Mount => Namespace::Mount,
        LinuxNamespaceType::Cgroup => Namespace::Cgroup,
        LinuxNamespaceType::Uts => Namespace::Uts,
        LinuxNamespaceType::Ipc => Namespace::Ipc,
        LinuxNamespaceType::User => Namespace::User,
        LinuxNamespaceType::Pid => Namespace::Pid,
        LinuxNamespaceType::Network => Namespace::Net,
        LinuxNamespaceType::Time => Namespace::Time,
    }
}

/// A new user namespace without maps is the runtime's to map.
fn id_mapping(linux: &Linux) -> IdMapping {
    let (uid, gid) = (ranges(linux.uid_mappings()), ranges(linux.gid_mappings()));
    if uid.is_empty() && gid.is_empty() {
        return IdMapping::Auto;
    }
    IdMapping::Explicit(IdMap { uid, gid })
}

pub(super) fn ranges(mappings: &Option<Vec<LinuxIdMapping>>) -> Vec<IdRange> {
    let range = |mapping: &LinuxIdMapping| {
        IdRange::new(mapping.container_id(), mapping.host_id(), mapping.size())
    };
    mappings.iter().flatten().map(range).collect()
}

fn offset(offsets: &HashMap<String, LinuxTimeOffset>, clock: &str) -> TimeOffset {
    let of = |offset: &LinuxTimeOffset| TimeOffset {
        seconds: offset.secs().unwrap_or(0),
        nanos: offset.nanosecs().unwrap_or(0),
    };
    offsets.get(clock).map_or(TimeOffset::default(), of)
}
