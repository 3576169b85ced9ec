//! `slice:prefix:name`: a scope of systemd as the container's place.
//!
//! Kernel objects: none; see [`Scope`]. Invariant: the scope has the name that engines look for; the container's group is
//! [`GROUP`] in it, where systemd changes nothing.

use ampoule_cgroups::{Placement, Scope, ScopeName, Slice};
use ampoule_spec::Unit;

use crate::builder::Builder;

/// The container's group in its scope: the name that engines leave out where they look for the scope.
pub(crate) const GROUP: &str = "container";

/// The scope of a unit; one that is a slice itself is refused.
pub(super) fn scope(unit: &Unit) -> ampoule_cgroups::Result<Scope> {
    let slice = Some(&unit.slice).filter(|slice| !slice.is_empty());
    let scope = slice.map(|slice| Slice::new(slice.as_str())).transpose()?;
    let scope = scope.map_or_else(Scope::default, Scope::in_slice);
    Ok(scope.named(ScopeName::new(unit.unit_name())?))
}

/// The path that is read back as the builder's scope, if it has a name.
pub(super) fn path(builder: &Builder) -> Option<String> {
    let Placement::Systemd(Scope { slice, name: Some(name), .. }) = &builder.cgroup_placement
    else {
        return None;
    };
    let slice = slice.as_ref().map_or("", Slice::as_str);
    // A name with a colon cannot be said.
    let stem = name.as_str().strip_suffix(".scope").filter(|stem| !stem.contains(':'))?;
    Some(format!("{slice}::{stem}"))
}

/// The name of the group, if the builder's scope has a name and so is for one container.
pub(super) fn group(builder: &Builder) -> Option<String> {
    let is_named =
        matches!(&builder.cgroup_placement, Placement::Systemd(scope) if scope.name.is_some());
    is_named.then(|| GROUP.to_owned())
}
