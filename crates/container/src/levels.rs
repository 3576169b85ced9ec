//! Required or best effort: what the kernel lacks is an error, or is left out and reported.
//!
//! Invariant: nothing is left out that was not named by [`crate::Builder::best_effort`].

use ampoule_ns::prepared::credentials::Groups;
use ampoule_ns::{Namespace, NamespaceSet, Setting};

use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Stage};
use crate::host::{self, Privilege};
use crate::identity::{Bounding, Identity};
use crate::origin::NewPrivileges;
use crate::report::Control;

/// A control that was asked for and is left out, with the reason.
pub(crate) type LeftOut = (Control, String);

/// The namespaces that can be made here.
pub(crate) fn namespaces(
    builder: &Builder,
    privilege: Privilege,
) -> Result<(NamespaceSet, Vec<LeftOut>), Error> {
    let mut set = builder.namespaces.clone();
    let mut left_out = Vec::new();
    for kind in Namespace::ALL {
        let Some((error, reason)) = missing(&set, kind, privilege) else { continue };
        let control = Control::Namespace(kind);
        if !builder.best_effort.contains(&control) {
            return Err(Error::new(error, Stage::Plan)
                .about(format!("{kind} namespace: {reason}"))
                .with_hint("let the administrator change this, or ask for it with best_effort"));
        }
        set = set.with(kind, Setting::Host);
        left_out.push((control, reason));
    }
    Ok((set, left_out))
}

/// Why a new namespace of this kind cannot be had, if that is known beforehand.
fn missing(
    set: &NamespaceSet,
    kind: Namespace,
    privilege: Privilege,
) -> Option<(ErrorKind, String)> {
    if *set.get(kind) != Setting::New {
        return None;
    }
    if !host::has_namespace(kind) {
        return Some((ErrorKind::Unsupported, "the kernel has none".to_owned()));
    }
    let denied =
        (kind == Namespace::User).then(|| host::user_namespaces_denied(privilege)).flatten()?;
    Some((ErrorKind::UserNamespacesDenied, denied.to_owned()))
}

/// What was asked for of the payload's identity must be settable.
pub(crate) fn identity(builder: &Builder, identity: &Identity) -> Result<(), Error> {
    groups(builder, identity)?;
    bounding(builder, identity)
}

/// Supplementary groups that were asked for must be settable.
fn groups(builder: &Builder, identity: &Identity) -> Result<(), Error> {
    let wanted = builder.user.is_some() && !identity.user.groups.is_empty();
    let tolerated = builder.best_effort.contains(&Control::SupplementaryGroups);
    if wanted && identity.groups == Groups::Fixed && !tolerated {
        return Err(Error::new(ErrorKind::User, Stage::Plan)
            .about(format!("supplementary groups {:?} cannot be set with a map of one's own id", identity.user.groups))
            .with_hint("map ranges of /etc/subgid (IdMapping::SubIds), or best_effort(Control::SupplementaryGroups)"));
    }
    Ok(())
}

/// Where privileges can be gained, the bounding set must be as it was asked for; elsewhere it says nothing.
fn bounding(builder: &Builder, identity: &Identity) -> Result<(), Error> {
    let counts = builder.new_privileges == NewPrivileges::Allowed;
    let tolerated = builder.best_effort.contains(&Control::Capabilities);
    if counts && identity.bounding == Bounding::Fixed && !tolerated {
        return Err(Error::new(ErrorKind::PermissionDenied, Stage::Plan)
            .about("capabilities: without CAP_SETPCAP none can be taken from the bounding set")
            .with_hint("forbid new_privileges, use a new user namespace, or best_effort(Control::Capabilities)"));
    }
    Ok(())
}
