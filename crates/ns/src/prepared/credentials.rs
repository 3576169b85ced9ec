//! User, groups and capabilities as steps.
//!
//! Kernel objects: the credentials of one process (credentials(7), capabilities(7)). Invariant: the order is the only
//! one that works: bounding set while `CAP_SETPCAP` is there, groups before ids, ids before the capability
//! sets, ambient capabilities after the inheritable ones.

use ampoule_init::Step;
use ampoule_init::steps::process as p;

use crate::capabilities::Capabilities;
use crate::capability::{Capability, CapabilitySet};
use crate::user::ResolvedUser;

/// Whether supplementary groups can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// They can.
    Settable,
    /// They cannot: `setgroups` is denied in this user namespace, the caller's stay.
    Fixed,
}

/// Becomes id 0 of a user namespace that was just entered, so that what is made belongs to it.
#[must_use]
pub fn become_root(groups: Groups) -> Vec<Step> {
    let mut steps = Vec::new();
    if groups == Groups::Settable {
        steps.push(p::setgroups(&[]));
    }
    steps.extend([p::setgid(0), p::setuid(0)]);
    steps
}

/// Becomes the payload's user with its capabilities; `known` is what the kernel knows.
#[must_use]
pub fn become_user(
    user: &ResolvedUser,
    capabilities: &Capabilities,
    known: CapabilitySet,
    groups: Groups,
) -> Vec<Step> {
    let mut steps = become_ids(user, capabilities.bounding, known, groups);
    steps.extend(limit_capabilities(capabilities, known));
    steps
}

/// The first half of [`become_user`]: bounding set, groups and ids. The permitted capabilities stay.
#[must_use]
pub fn become_ids(
    user: &ResolvedUser,
    bounding: CapabilitySet,
    known: CapabilitySet,
    groups: Groups,
) -> Vec<Step> {
    let mut steps = Vec::from_iter(drop_bounding(known.difference(bounding)));
    steps.push(p::clear_ambient());
    if groups == Groups::Settable {
        steps.push(p::setgroups(&user.groups));
    }
    steps.extend([p::setgid(user.gid), p::keep_capabilities(), p::setuid(user.uid)]);
    steps
}

/// The second half of [`become_user`]: the capability sets. It can be done again with fewer capabilities.
#[must_use]
pub fn limit_capabilities(capabilities: &Capabilities, known: CapabilitySet) -> Vec<Step> {
    let bits = |set: CapabilitySet| set.intersection(known).bits();
    let permitted = bits(capabilities.permitted);
    let shown = format!(
        "permitted {{{}}} inheritable {{{}}}",
        capabilities.permitted, capabilities.inheritable
    );
    let mut steps = vec![p::capset(permitted, permitted, bits(capabilities.inheritable), &shown)];
    steps.extend(capabilities.ambient.iter().map(|one| p::raise_ambient(number(one), one.name())));
    steps
}

/// One line for all capabilities that leave the bounding set.
fn drop_bounding(dropped: CapabilitySet) -> Option<Step> {
    let steps = dropped.iter().map(|one| p::drop_bounding(number(one), one.name()));
    Some(steps.reduce(Step::then)?.named("prctl", format!("PR_CAPBSET_DROP, {dropped}")))
}

fn number(capability: Capability) -> u32 {
    u32::from(capability.number())
}
