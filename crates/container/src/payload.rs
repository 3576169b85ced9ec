//! What every process of the container goes through before its program: its payload, and those that join it later.
//!
//! Kernel objects: the attributes and credentials of one process. Invariant: whatever confines a payload stands here, so
//! that a process that joins is confined in the same way; the order of the groups stands in [`crate::plan`] and
//! [`crate::exec_plan`].

pub(crate) mod privilege;

use ampoule_init::Step;
use ampoule_init::steps::{launch as l, process as p};
use ampoule_ns::prepared::{attributes, credentials};
use ampoule_ns::{Capabilities, Capability, CapabilitySet, ResolvedUser};

use crate::origin::NewPrivileges;
use crate::plan::CURRENT_DIR;
use crate::settings::Settings;
use crate::syscalls::Confined;

/// Defaults instead of the host's signal dispositions, and the payload's mask.
pub(crate) fn state(umask: Step) -> [Step; 2] {
    [l::reset_signals(), umask]
}

/// Limits of resources.
pub(crate) fn limits(settings: &Settings) -> impl Iterator<Item = Step> {
    settings.rlimits.iter().map(attributes::rlimit)
}

/// Scheduling policy and nice value.
pub(crate) fn scheduler(settings: &Settings) -> Option<Step> {
    settings.scheduler.as_ref().map(attributes::scheduler)
}

/// What else a child inherits; in part it takes capabilities.
pub(crate) fn attributes(settings: &Settings) -> impl Iterator<Item = Step> {
    settings.attributes.of_payload()
}

/// User, groups and capabilities; with them, the one that the filter takes.
pub(crate) fn credentials(
    settings: &Settings,
    new: NewPrivileges,
    user: &ResolvedUser,
    capabilities: &Capabilities,
) -> Vec<Step> {
    let (groups, known) = (settings.identity.groups, settings.known);
    // The bounding set, which ends what an exec could bring, while CAP_SETPCAP is there.
    let mut steps = credentials::become_ids(user, capabilities.bounding, known, groups);
    let kept = if filter_takes_privilege(settings, new, capabilities) {
        keeping(capabilities, Capability::SysAdmin)
    } else {
        *capabilities
    };
    steps.extend(credentials::limit_capabilities(&kept, known));
    steps
}

/// No privilege can be gained from here on.
pub(crate) fn no_new_privs(new: NewPrivileges) -> Option<Step> {
    (new == NewPrivileges::Forbidden).then(p::no_new_privs)
}

/// Whether a capability stays until the filter is loaded.
///
/// With no_new_privs everybody may load a filter, so that it comes last: whatever it refuses, nothing but the exec is
/// left to be done. Without, the load takes `CAP_SYS_ADMIN`, which a payload seldom keeps: that one capability stays
/// until the filter is loaded and goes behind it, which the filter must permit (checked with the plan).
pub(crate) fn filter_takes_privilege(
    settings: &Settings,
    new: NewPrivileges,
    capabilities: &Capabilities,
) -> bool {
    let with_privilege = new == NewPrivileges::Allowed && settings.seccomp.is_some();
    with_privilege && !capabilities.permitted.contains(Capability::SysAdmin)
}

/// As a payload's capabilities, and this one, too; none of them outlives an exec.
fn keeping(capabilities: &Capabilities, one: Capability) -> Capabilities {
    let mut kept = *capabilities;
    kept.permitted = kept.permitted.with(one);
    kept.ambient = CapabilitySet::default();
    kept
}

/// The filter, after everything that it could refuse.
pub(crate) fn filter(
    settings: &Settings,
    new: NewPrivileges,
    capabilities: &Capabilities,
) -> Vec<Step> {
    let mut steps: Vec<Step> = settings.seccomp.iter().flat_map(Confined::steps).collect();
    if filter_takes_privilege(settings, new, capabilities) {
        steps.extend(credentials::limit_capabilities(capabilities, settings.known));
    }
    steps
}

/// The last steps before the filter and the program.
pub(crate) fn last() -> [Step; 2] {
    // Nothing of init's is open when a path of the container is looked up (CVE-2024-21626).
    [l::close_others(), l::change_directory(CURRENT_DIR)]
}
