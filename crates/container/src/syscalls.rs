//! Which system calls the payload may make: what is chosen, and the steps that load it.
//!
//! Kernel objects: one filter of the payload's process (seccomp(2)). Invariant: what a plan holds lets its program be
//! executed; a filter that does not is an error of the plan.

use std::borrow::Cow;

use ampoule_init::steps::launch::send_fd;
use ampoule_init::{Draft, Step};
use ampoule_ns::{Namespace, NamespaceSet, Setting};
use ampoule_seccomp::prepared::{load, load_with_listener};
use ampoule_seccomp::{Cache, Compiled, Filter, Granted, Host, Profile};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Stage};
use crate::host::{self, Privilege};
use crate::identity::Identity;
use crate::levels::LeftOut;
use crate::origin::NewPrivileges;
use crate::report::Control;

/// The number of the listener among what init sends.
pub(crate) const LISTENER: u32 = 3;

/// What init calls behind the load, besides what the exec needs, when it gives up its last capability only then.
const CALLS_OF_CAPABILITIES: [&str; 1] = ["capset"];

/// Which system calls the payload, and all that it starts, may make (seccomp(2)).
///
/// Init, which stays as process 1, is not filtered: it makes some twenty fixed calls, among them those that serve
/// [`Container::read`](crate::Container::read) and its neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Seccomp {
    /// What programs usually need, with what the payload's capabilities are for: [`Filter::default_for`] its bounding
    /// set.
    #[default]
    Default,
    /// All.
    Unconfined,
    /// What this filter permits. One that notifies has its listener in
    /// [`Container::listener`](crate::Container::listener).
    Filter(Box<Filter>),
    /// What a profile of OCI, Docker or Podman permits on this machine and kernel, with the payload's bounding set.
    Profile(Box<Profile>),
}

impl Builder {
    /// Which system calls the payload may make: the default profile, a filter, a profile of OCI, or all.
    #[must_use]
    pub fn seccomp(mut self, seccomp: impl Into<Seccomp>) -> Self {
        self.seccomp = seccomp.into();
        self
    }
}

impl From<Filter> for Seccomp {
    fn from(filter: Filter) -> Self {
        Self::Filter(Box::new(filter))
    }
}

impl From<Profile> for Seccomp {
    fn from(profile: Profile) -> Self {
        Self::Profile(Box::new(profile))
    }
}

/// A filter that is in force.
#[derive(Debug)]
pub(crate) struct Confined {
    what: &'static str,
    compiled: Compiled,
    /// Parts of a profile that say nothing about this machine.
    ignored: usize,
    steps: Vec<Step>,
}

impl Confined {
    /// The load and, for a filter that notifies, the hand-over of its listener.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        self.steps.iter().cloned()
    }

    /// What is in force, for the report.
    pub(crate) fn describe(&self) -> String {
        let instructions = self.compiled.program().instructions().len();
        let mut said = format!("{}, {instructions} instructions", self.what);
        if self.ignored > 0 {
            said.push_str(&format!(", {} of its parts are not for this machine", self.ignored));
        }
        if self.compiled.notifies() {
            said.push_str(", which asks the host");
        }
        said
    }
}

/// The filter that was asked for; none where it may be left out and cannot be had.
pub(crate) fn prepare(
    builder: &Builder,
    namespaces: &NamespaceSet,
    identity: &Identity,
    (privilege, left_out): (Privilege, &mut Vec<LeftOut>),
    draft: &mut Draft,
) -> Result<Option<Confined>, Error> {
    let granted = Granted::from_bits(identity.capabilities.bounding.bits());
    let Some(chosen) = chosen(&builder.seccomp, granted)? else { return Ok(None) };
    if let Some((error, reason)) = missing(builder, namespaces, privilege) {
        if !builder.best_effort.contains(&Control::Seccomp) {
            return Err(Error::new(error, Stage::Plan)
                .about(format!("seccomp: {reason}"))
                .with_hint("forbid new privileges, choose Seccomp::Unconfined, or ask for it with best_effort"));
        }
        left_out.push((Control::Seccomp, reason.to_owned()));
        return Ok(None);
    }
    let invalid = |error| Error::from_seccomp(Stage::Plan, error);
    let compiled = Cache::shared().compile(&chosen.filter).map_err(invalid)?;
    if builder.new_privileges == NewPrivileges::Allowed {
        chosen.filter.validate_for_calls(CALLS_OF_CAPABILITIES).map_err(invalid)?;
    }
    let steps = if compiled.notifies() {
        let listener = draft.slots.take();
        vec![load_with_listener(&compiled, listener).map_err(invalid)?, send_fd(LISTENER, listener)]
    } else {
        vec![load(&compiled).map_err(invalid)?]
    };
    Ok(Some(Confined { what: chosen.what, compiled, ignored: chosen.ignored, steps }))
}

struct Chosen<'a> {
    filter: Cow<'a, Filter>,
    what: &'static str,
    ignored: usize,
}

fn chosen(seccomp: &Seccomp, granted: Granted) -> Result<Option<Chosen<'_>>, Error> {
    Ok(Some(match seccomp {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::Default => Chosen {
            filter: Cow::Owned(Filter::default_for(granted)),
            what: "the default profile",
            ignored: 0,
        },
        Seccomp::Filter(filter) => {
            Chosen { filter: Cow::Borrowed(&**filter), what: "a filter", ignored: 0 }
        }
        Seccomp::Profile(profile) => {
            let resolved = profile
                .resolve(&Host::this().granted(granted))
                .map_err(|error| Error::from_seccomp(Stage::Plan, error))?;
            let ignored = resolved.ignored.len();
            Chosen { filter: Cow::Owned(resolved.filter), what: "a profile", ignored }
        }
    }))
}

/// Why no filter can be loaded here, if that is known beforehand.
fn missing(
    builder: &Builder,
    namespaces: &NamespaceSet,
    privilege: Privilege,
) -> Option<(ErrorKind, &'static str)> {
    let own_user = *namespaces.get(Namespace::User) != Setting::Host;
    if !host::has_seccomp() {
        Some((ErrorKind::Unsupported, "the kernel has no filters of system calls"))
    } else if builder.new_privileges == NewPrivileges::Allowed
        && privilege == Privilege::None
        && !own_user
    {
        Some((ErrorKind::PermissionDenied, "without no_new_privs a filter needs CAP_SYS_ADMIN"))
    } else {
        None
    }
}
