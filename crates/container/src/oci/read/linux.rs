//! `linux`, but for what has a file of its own.

use ampoule_cgroups::Placement;
use ampoule_ns::{ExecutionDomain, MemoryPolicy, MemoryPolicyFlags, Personality, PersonalityFlags};
use ampoule_overlay::Propagation;
use ampoule_seccomp::Profile;
use ampoule_spec::oci::{
    Linux, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSeccomp, MemoryPolicyFlagType,
};
use ampoule_spec::{CgroupsPath, JsonPath, mount_options};

use super::reading::Reading;
use super::{devices, namespaces, net_devices, resources};
use crate::builder::Builder;
use crate::oci::listener::SeccompListener;
use crate::syscalls::Seccomp;

pub(super) fn linux(linux: &Linux, builder: &mut Builder, at: &JsonPath, reading: &mut Reading) {
    namespaces::namespaces(linux, builder, at, reading);
    net_devices::net_devices(linux, builder, &at.key("netDevices"), reading);
    let mut sysctls: Vec<_> = linux.sysctl().clone().into_iter().flatten().collect();
    sysctls.sort();
    builder.sysctls = sysctls;
    let paths = |paths: &Option<Vec<String>>| paths.iter().flatten().map(Into::into).collect();
    builder.masked = Some(paths(linux.masked_paths()));
    builder.read_only_paths = Some(paths(linux.readonly_paths()));
    let nodes = linux.devices().iter().flatten().enumerate();
    let at_devices = at.key("devices");
    builder.nodes = nodes
        .filter_map(|(index, device)| devices::node(device, &at_devices.index(index), reading))
        .collect();
    if let Some(resources) = linux.resources() {
        builder.limits = resources::limits(resources, &at.key("resources"), reading);
    }
    if let Some(path) = linux.cgroups_path() {
        cgroups_path(&path.to_string_lossy(), builder, &at.key("cgroupsPath"), reading);
    }
    if let Some(label) = linux.mount_label().as_deref().filter(|label| !label.is_empty()) {
        let context = reading.keep(&at.key("mountLabel"), label.parse());
        builder.selinux.mounts = context.map(Box::new);
    }
    let named = linux.rootfs_propagation().as_deref().and_then(mount_options::Propagation::named);
    builder.propagation = named.map_or(Propagation::Private, |(named, _)| propagation(named));
    if let Some(seccomp) = linux.seccomp() {
        builder.seccomp = filter(seccomp, &at.key("seccomp"), reading);
    }
    let policy = linux.memory_policy().as_ref();
    builder.memory_policy =
        policy.and_then(|policy| memory_policy(policy, &at.key("memoryPolicy"), reading));
    let domain = linux.personality().as_ref().map(|chosen| match chosen.domain() {
        LinuxPersonalityDomain::PerLinux => ExecutionDomain::Linux,
        LinuxPersonalityDomain::PerLinux32 => ExecutionDomain::Linux32,
    });
    builder.personality = domain.map(|it| Personality::new(it, PersonalityFlags::empty()));
}

pub(super) fn propagation(named: mount_options::Propagation) -> Propagation {
    match named {
        mount_options::Propagation::Shared => Propagation::Shared,
        mount_options::Propagation::Slave => Propagation::Slave,
        mount_options::Propagation::Unbindable => Propagation::Unbindable,
        _ => Propagation::Private,
    }
}

fn cgroups_path(path: &str, builder: &mut Builder, at: &JsonPath, reading: &mut Reading) {
    match path.parse() {
        Ok(CgroupsPath::Absolute(path)) => builder.cgroup_path = Some(format!("/{path}")),
        Ok(CgroupsPath::Relative(path)) => builder.cgroup_path = Some(path),
        Ok(CgroupsPath::Systemd(unit)) => {
            let scope = reading.keep(at, crate::oci::systemd::scope(&unit));
            builder.cgroup_placement = scope.map_or_else(Placement::default, Placement::Systemd);
        }
        Ok(_) => reading.refuse(at, "is of a form that is not honoured"),
        // Told by the validation.
        Err(_) => {}
    }
}

/// Where the listener goes.
pub(super) fn listener(linux: &Linux) -> Option<SeccompListener> {
    let seccomp = linux.seccomp().as_ref()?;
    let path = seccomp.listener_path().clone().filter(|path| !path.as_os_str().is_empty())?;
    Some(SeccompListener { path, metadata: seccomp.listener_metadata().clone() })
}

fn memory_policy(
    policy: &LinuxMemoryPolicy,
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<MemoryPolicy> {
    let mode = reading.named(&at.key("mode"), policy.mode())?;
    let nodes = policy.nodes().as_deref().filter(|nodes| !nodes.is_empty());
    let nodes = nodes.and_then(|nodes| reading.keep(&at.key("nodes"), nodes.parse()));
    let flags = policy.flags().iter().flatten().map(|flag| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => MemoryPolicyFlags::NUMA_BALANCING,
        MemoryPolicyFlagType::MpolFRelativeNodes => MemoryPolicyFlags::RELATIVE_NODES,
        MemoryPolicyFlagType::MpolFStaticNodes => MemoryPolicyFlags::STATIC_NODES,
    });
    Some(MemoryPolicy { mode, flags: flags.collect(), nodes })
}

fn filter(seccomp: &LinuxSeccomp, at: &JsonPath, reading: &mut Reading) -> Seccomp {
    let json = reading.keep(at, serde_json::to_vec(seccomp));
    let profile = json.and_then(|json| reading.keep(at, Profile::from_json(&json)));
    profile.map_or(Seccomp::Unconfined, Seccomp::from)
}
