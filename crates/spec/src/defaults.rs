//! Configurations to start from: what `runc spec` and `crun spec` print.
//!
//! Kernel objects: none. Invariant: they are valid as they stand, and depend on no machine. In one thing they differ
//! from what the runtimes print on a machine with cgroup v1: there is a cgroup namespace, as on one with v2.

use crate::document::Document;
use crate::oci::{
    Capability, Linux, LinuxCapabilities, LinuxDeviceCgroup, LinuxNamespace, LinuxNamespaceType,
    LinuxResources, Process, Root, Spec, get_default_mounts, get_rootless_mounts,
};
use crate::version::Version;

/// Ids of the caller, to be 0 in the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Its user id, as geteuid(2) tells.
    pub uid: u32,
    /// Its group id, as getegid(2) tells.
    pub gid: u32,
}

use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};

/// What root starts from: `sh` in a terminal, read-only root in `rootfs`, three capabilities, no devices.
#[must_use]
pub fn rootful() -> Document {
    let mut spec = spec();
    let mut linux = Linux::default();
    linux.set_namespaces(Some(new(&[Pid, Network, Ipc, Uts, Mount, Cgroup])));
    let mut nothing = LinuxDeviceCgroup::default();
    nothing.set_access(Some("rwm".to_owned()));
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(vec![nothing]));
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux)).set_mounts(Some(get_default_mounts()));
    Document::new(spec)
}

/// What an ordinary user starts from: the same with a user namespace in which it is root, the host's network, and the
/// host's `/sys`.
#[must_use]
pub fn rootless(caller: Caller) -> Document {
    let mut spec = spec();
    let mut linux = Linux::rootless(caller.uid, caller.gid);
    linux.set_namespaces(Some(new(&[Pid, Ipc, Uts, Mount, Cgroup, User])));
    let mut mounts = get_rootless_mounts();
    for options in mounts.iter_mut().filter_map(|mount| mount.options_mut().as_mut()) {
        // `rbind` stands first, as runc writes it.
        options.sort_by_key(|option| option != "rbind");
    }
    spec.set_linux(Some(linux)).set_mounts(Some(mounts));
    Document::new(spec)
}

fn spec() -> Spec {
    let mut capabilities = LinuxCapabilities::default();
    let three = [Capability::AuditWrite, Capability::Kill, Capability::NetBindService];
    let three = Some(three.into_iter().collect());
    // An inheritable set passes capabilities to programs of whoever is executed (CVE-2022-24769); without it no
    // ambient one can be.
    capabilities.set_inheritable(None).set_ambient(None);
    capabilities.set_bounding(three.clone()).set_effective(three.clone()).set_permitted(three);
    let mut process = Process::default();
    process.set_terminal(Some(true)).set_capabilities(Some(capabilities));
    let mut spec = Spec::default();
    spec.set_version(Version::NEWEST.to_string());
    spec.set_root(Some(Root::default())).set_process(Some(process));
    spec.set_hostname(Some("ampoule".to_owned())).set_annotations(None);
    spec
}

fn new(namespaces: &[LinuxNamespaceType]) -> Vec<LinuxNamespace> {
    let new = |kind: &LinuxNamespaceType| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(*kind);
        namespace
    };
    namespaces.iter().map(new).collect()
}
