//! `linux`, but for what has a file of its own.

use super::report::Report;
use super::{cpus, devices, namespaces, network, resources, seccomp, text};
use crate::cgroups_path::CgroupsPath;
use crate::mount_options::Propagation;
use crate::oci::{
    Linux, LinuxIntelRdt, LinuxMemoryPolicy, MemoryPolicyFlagType as Flag,
    MemoryPolicyModeType as Mode,
};
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

pub(super) fn check(report: &mut Report, at: &JsonPath, linux: &Linux) {
    namespaces::check(report, at, linux);
    network::devices(report, &at.key("netDevices"), linux);
    devices::nodes(report, &at.key("devices"), linux.devices().as_deref().unwrap_or_default());
    if let Some(path) = linux.cgroups_path() {
        cgroups_path(report, at.key("cgroupsPath"), &path.to_string_lossy());
    }
    if let Some(resources) = linux.resources() {
        resources::check(report, &at.key("resources"), resources);
    }
    if let Some(seccomp) = linux.seccomp() {
        seccomp::check(report, &at.key("seccomp"), seccomp);
    }
    let propagation = linux.rootfs_propagation().as_deref().filter(|name| !name.is_empty());
    if let Some(name) = propagation.filter(|name| Propagation::named(name).is_none()) {
        let found = Excerpt::of(name);
        let flaw = Flaw::NotA { found, expected: Expected::Propagation };
        report.add(at.key("rootfsPropagation"), flaw);
    }
    covered(report, &at.key("maskedPaths"), linux.masked_paths().as_deref());
    covered(report, &at.key("readonlyPaths"), linux.readonly_paths().as_deref());
    if let Some(label) = linux.mount_label() {
        // A label is one line of an extended attribute.
        text::at_most(report, &at.key("mountLabel"), label, text::PATH_MAX);
    }
    if let Some(rdt) = linux.intel_rdt() {
        intel_rdt(report, &at.key("intelRdt"), rdt);
    }
    let flags = linux.personality().as_ref().and_then(|it| it.flags().as_deref());
    for (index, flag) in flags.unwrap_or_default().iter().enumerate() {
        let found = Excerpt::of(flag);
        let flaw = Flaw::NotA { found, expected: Expected::PersonalityFlag };
        report.add(at.key("personality").key("flags").index(index), flaw);
    }
    if let Some(policy) = linux.memory_policy() {
        memory_policy(report, &at.key("memoryPolicy"), policy);
    }
}

fn cgroups_path(report: &mut Report, at: JsonPath, path: &str) {
    if path.is_empty() {
        report.add(at, Flaw::Empty);
    } else if path.parse::<CgroupsPath>().is_err() {
        let found = Excerpt::of(path);
        report.add(at, Flaw::NotA { found, expected: Expected::CgroupsPath });
    }
}

fn covered(report: &mut Report, at: &JsonPath, paths: Option<&[String]>) {
    let paths = paths.unwrap_or_default();
    for (index, path) in paths.iter().enumerate() {
        text::absolute(report, at.index(index), path);
    }
    if !paths.is_empty() {
        report.need(at.clone(), "mount");
    }
}

/// The class of service is a directory of resctrl.
fn intel_rdt(report: &mut Report, at: &JsonPath, rdt: &LinuxIntelRdt) {
    let Some(class) = rdt.clos_id() else { return };
    if class.is_empty() || class == "." || class == ".." || class.contains(['/', '\n']) {
        let found = Excerpt::of(class);
        report.add(at.key("closID"), Flaw::NotA { found, expected: Expected::ClosId });
    }
}

/// What set_mempolicy(2) refuses.
fn memory_policy(report: &mut Report, at: &JsonPath, policy: &LinuxMemoryPolicy) {
    let mode = policy.mode();
    let nodes = policy.nodes().as_deref().filter(|nodes| !nodes.is_empty());
    cpus::list(report, at.key("nodes"), nodes);
    let has_no_nodes = matches!(mode, Mode::MpolDefault | Mode::MpolLocal);
    if nodes.is_some() && has_no_nodes {
        report.add(at.key("nodes"), Flaw::Contradicts { with: at.key("mode") });
    } else if nodes.is_none() && !has_no_nodes && mode != Mode::MpolPreferred {
        report.add(at.key("nodes"), Flaw::Missing);
    }
    let flags = policy.flags().as_deref().unwrap_or_default();
    for (index, flag) in flags.iter().enumerate() {
        let at_flag = at.key("flags").index(index);
        let balances = matches!(mode, Mode::MpolBind | Mode::MpolPreferredMany);
        let is_refused = match flag {
            Flag::MpolFNumaBalancing => !balances,
            Flag::MpolFRelativeNodes | Flag::MpolFStaticNodes => nodes.is_none(),
        };
        if is_refused {
            report.add(at_flag.clone(), Flaw::Contradicts { with: at.key("mode") });
        }
        let rival = flags[..index].iter().position(|other| {
            matches!(
                (other, flag),
                (Flag::MpolFRelativeNodes, Flag::MpolFStaticNodes)
                    | (Flag::MpolFStaticNodes, Flag::MpolFRelativeNodes)
            )
        });
        if let Some(rival) = rival {
            report.add(at_flag, Flaw::Contradicts { with: at.key("flags").index(rival) });
        }
    }
}
