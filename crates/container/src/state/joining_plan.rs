//! As much of a plan as a process needs to join a container that was reopened.
//!
//! Kernel objects: the host's procfs, an empty program. Invariant: what confines a process that joins comes from the same
//! functions as for a plan; nothing of the root is opened, because it may be gone.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use ampoule_cgroups::Group;
use ampoule_init::Draft;
use ampoule_ns::CapabilitySet;

use crate::attributes::Attributes;
use crate::error::{Error, Stage};
use crate::group::{GroupPlan, Grouping};
use crate::host;
use crate::identity::Identity;
use crate::network::Planned;
use crate::plan::Prepared;
use crate::relabel::Relabelling;
use crate::settings::{Settings, open_proc};
use crate::state::record::Confinement;

/// Makes it.
pub(crate) fn make(said: &Confinement, group: Option<&Group>) -> Result<Arc<Prepared>, Error> {
    let mut draft = Draft::default();
    let settings = settings(said, group, &mut draft)?;
    let current_dir = CString::new(said.current_dir.as_bytes()).unwrap_or_default();
    Prepared::for_joining(settings, draft, said.environment(), current_dir)
}

fn settings(
    said: &Confinement,
    group: Option<&Group>,
    draft: &mut Draft,
) -> Result<Settings, Error> {
    let builder = &said.builder;
    let privilege = host::privilege_for(&builder.namespaces, &builder.id_mapping);
    let namespaces = builder.namespaces.clone();
    let mut left_out = Vec::new();
    let mut identity = Identity::resolve(builder, &namespaces, privilege)?;
    identity.user.home.clone_from(&said.user.home);
    let leave = (privilege, &mut left_out);
    let seccomp = crate::syscalls::prepare(builder, &namespaces, &identity, leave, draft)?;
    let selinux = crate::selinux::of_label(said.label.as_ref())?;
    let known = CapabilitySet::supported().map_err(|error| Error::from_ns(Stage::Plan, error))?;
    Ok(Settings {
        privilege,
        pid1: crate::settings::effective_pid1(&namespaces, builder.pid1),
        namespaces,
        time_offsets: builder.time_offsets,
        identity,
        root: None,
        layers: None,
        #[cfg(feature = "image")]
        image_layers: Vec::new(),
        apparmor: crate::apparmor::prepare(builder, &mut left_out)?,
        #[cfg(feature = "landlock")]
        landlock: crate::landlock::prepare_for(whose(said), builder, draft, &mut left_out)?,
        left_out,
        proc: draft.inherit(open_proc()?),
        known,
        new_privileges: builder.new_privileges,
        seccomp,
        hostname: None,
        domainname: None,
        sysctls: Vec::new(),
        rlimits: builder.rlimits.clone(),
        umask: builder.umask,
        oom_score_adj: builder.oom_score_adj,
        scheduler: builder.scheduler,
        attributes: Attributes::of(builder),
        network: Planned::default(),
        tty: None,
        on_drop: builder.on_drop,
        with_host: builder.with_host,
        stop_signal: builder.stop_signal,
        group: match group {
            Some(group) => Grouping::Planned(Box::new(GroupPlan::of(group)?)),
            None => Grouping::Off,
        },
        own_group: builder.own_group,
        // What joins mounts nothing.
        relabelling: Relabelling::default(),
        selinux,
        id: builder.id.clone(),
    })
}

/// The files that Landlock rules name are the host's only where the root is.
#[cfg(feature = "landlock")]
fn whose(said: &Confinement) -> crate::landlock::Whose {
    match said.own_root {
        true => crate::landlock::Whose::Container,
        false => crate::landlock::Whose::Host,
    }
}
