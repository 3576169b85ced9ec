//! Whether a process that joins can keep the capability that its filter takes, until the filter is loaded.
//!
//! Kernel objects: none; pure data. Invariant: nothing in the container can trace what holds more than the container.

use ampoule_ns::{Capabilities, Capability};

use crate::origin::NewPrivileges;
use crate::payload::filter_takes_privilege;
use crate::settings::Settings;

/// Why such a process cannot be had; `None` if it can.
///
/// It is undumpable from before it can be seen, so that only `CAP_SYS_PTRACE` reaches it (ptrace(2)), and in a user
/// namespace of the container's own not even that: the process comes from outside of it. Without one, nobody in the
/// container may have that capability.
pub(crate) fn exposed(
    settings: &Settings,
    new: NewPrivileges,
    joiner: &Capabilities,
) -> Option<&'static str> {
    let late = new == NewPrivileges::Allowed && settings.seccomp.is_some();
    if !late || settings.enters_user_namespace() {
        return None;
    }
    let traces = |of: &Capabilities| of.bounding.contains(Capability::SysPtrace);
    match traces(&settings.identity.capabilities) {
        true if filter_takes_privilege(settings, new, joiner) => Some(
            "exec with a filter, without no_new_privs and without a user namespace, into a container that may have CAP_SYS_PTRACE",
        ),
        false if traces(joiner) => Some(
            "exec with CAP_SYS_PTRACE, which the payload may not have: it would reach what joins without no_new_privs",
        ),
        _ => None,
    }
}
