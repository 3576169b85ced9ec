//! `linux.namespaces`, and what belongs to one of them: id maps, clock offsets, kernel parameters.

use super::report::Report;
use super::{id_maps, text};
use crate::oci::{Linux, LinuxNamespace, LinuxNamespaceType};
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

pub(super) fn check(report: &mut Report, at: &JsonPath, linux: &Linux) {
    let at_list = at.key("namespaces");
    let list = linux.namespaces().as_deref().unwrap_or_default();
    for (index, namespace) in list.iter().enumerate() {
        let at = at_list.index(index);
        if let Some(first) = list[..index].iter().position(|other| other.typ() == namespace.typ()) {
            report.add(at.key("type"), Flaw::Duplicate { first: at_list.index(first).key("type") });
        }
        if let Some(path) = joined(namespace) {
            text::absolute(report, at.key("path"), path);
        }
    }
    id_maps(report, at, linux, list);
    time_offsets(report, &at.key("timeOffsets"), linux);
    sysctls(report, &at.key("sysctl"), linux);
}

/// An empty path is none: Go writes it for a namespace that is new.
fn joined(namespace: &LinuxNamespace) -> Option<&std::path::Path> {
    namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

fn id_maps(report: &mut Report, at: &JsonPath, linux: &Linux, list: &[LinuxNamespace]) {
    let user = list.iter().position(|namespace| namespace.typ() == LinuxNamespaceType::User);
    let path = user.and_then(|index| joined(&list[index]).map(|_| index));
    let maps = [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())];
    for (key, map) in maps {
        let at_map = at.key(key);
        let map = map.as_deref().unwrap_or_default();
        id_maps::check(report, &at_map, map);
        // A new one without maps is the runtime's to map: `crun spec --rootless` writes it so.
        match (map.is_empty(), user, path) {
            (false, None, _) => report.add(at_map, Flaw::NeedsNamespace("user")),
            (false, _, Some(index)) => {
                let with = at.key("namespaces").index(index).key("path");
                report.add(at_map, Flaw::Contradicts { with });
            }
            _ => {}
        }
    }
}

fn time_offsets(report: &mut Report, at: &JsonPath, linux: &Linux) {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|offsets| !offsets.is_empty()) else {
        return;
    };
    report.need(at.clone(), "time");
    let joins = |namespace: &LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Time && joined(namespace).is_some()
    };
    if let Some(index) = linux.namespaces().iter().flatten().position(joins) {
        let with = JsonPath::root().key("linux").key("namespaces").index(index).key("path");
        report.add(at.clone(), Flaw::Contradicts { with });
    }
    let mut clocks: Vec<_> = offsets.iter().collect();
    clocks.sort_by_key(|(clock, _)| *clock);
    for (clock, offset) in clocks {
        let at = at.key(clock);
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            let found = Excerpt::of(clock);
            report.add(at.clone(), Flaw::NotA { found, expected: Expected::Clock });
        }
        if let Some(nanosecs) = offset.nanosecs() {
            report.within(at.key("nanosecs"), nanosecs, (0, 999_999_999));
        }
    }
}

/// Kernel parameters of the ipc namespace that are not below `fs.mqueue` (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Only what belongs to a namespace is the container's to change, and only in one that is not the host's.
fn sysctls(report: &mut Report, at: &JsonPath, linux: &Linux) {
    let mut sysctls: Vec<_> = linux.sysctl().iter().flatten().collect();
    sysctls.sort();
    for (name, value) in sysctls {
        let at = at.key(name);
        match namespace_of(name) {
            Some(namespace) => report.need(at.clone(), namespace),
            None => {
                let found = Excerpt::of(name);
                report.add(at.clone(), Flaw::NotA { found, expected: Expected::Sysctl });
            }
        }
        // One write(2) of one line; more would be other lines to some files.
        if value.contains('\n') {
            report.add(at, Flaw::Character('\n'));
        }
    }
}

/// The namespace that a kernel parameter belongs to. Both `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are its names
/// (sysctl.d(5)): the first separator says which one separates.
fn namespace_of(name: &str) -> Option<&'static str> {
    let slashes = name.find(['.', '/']).is_some_and(|at| name.as_bytes().get(at) == Some(&b'/'));
    let separator = if slashes { '/' } else { '.' };
    let parts: Vec<&str> = name.split(separator).collect();
    let is_odd = |part: &&str| part.is_empty() || *part == "." || *part == "..";
    let holds_path = !slashes && parts.iter().any(|part| part.split('/').any(|it| it == ".."));
    if parts.iter().any(is_odd) || holds_path {
        return None;
    }
    let dotted = parts.join(".");
    match *parts.first()? {
        "net" if parts.len() > 1 => Some("network"),
        "fs" if parts.get(1) == Some(&"mqueue") && parts.len() == 3 => Some("ipc"),
        "kernel" if IPC.contains(&dotted.as_str()) => Some("ipc"),
        "kernel" if dotted == "kernel.domainname" || dotted == "kernel.hostname" => Some("uts"),
        "user" if parts.len() == 2 => Some("user"),
        _ => None,
    }
}
