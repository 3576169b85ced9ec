//! Finds every problem of the settings that can be told without opening anything.
//!
//! Invariant: nothing stops at the first problem.

use std::fmt::Display;

use ampoule_ns::{Hostname, Namespace, NamespaceSet, Setting, Sysctl};

use crate::builder::Builder;
use crate::command::Command;
use crate::container::OnDrop;
use crate::error::{Error, ErrorKind, Problem};
use crate::host::Privilege;
use crate::origin::{Defaults, Origin};

/// Highest number of a descriptor that a payload may be given.
const HIGHEST_FD: u16 = 1000;

/// The name in a new UTS namespace unless another is chosen: the host's own is nobody's business.
pub(crate) const DEFAULT_HOSTNAME: &str = "ampoule";

/// Parsed settings.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) hostname: Option<Hostname>,
    pub(crate) domainname: Option<Hostname>,
    pub(crate) sysctls: Vec<Sysctl>,
    pub(crate) network: crate::network::Planned,
}

/// Problems so far.
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, setting: &'static str, reason: impl Into<String>) {
        self.0.push(Problem::new(setting, reason));
    }

    /// Keeps a value, or notes why there is none.
    fn keep<T>(&mut self, setting: &'static str, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|error| self.add(setting, error.to_string())).ok()
    }
}

/// Checks everything.
pub(crate) fn check(
    command: &Command,
    sets: &NamespaceSet,
    privilege: Privilege,
) -> Result<Checked, Error> {
    let builder = &command.builder;
    check_privilege(sets, privilege)?;
    let mut problems = Problems(Vec::new());
    let mut checked = Checked::default();
    let own_names =
        *sets.get(Namespace::Uts) == Setting::New && builder.defaults == Defaults::Usual;
    if let Some(name) = builder.hostname.as_deref().or(own_names.then_some(DEFAULT_HOSTNAME)) {
        checked.hostname = problems.keep("hostname", Hostname::new(name));
    }
    if let Some(name) = &builder.domainname {
        checked.domainname = problems.keep("domainname", Hostname::new(name.as_str()));
    }
    let parsed = sysctls(&builder.sysctls);
    checked.sysctls =
        parsed.into_iter().filter_map(|sysctl| problems.keep("sysctl", sysctl)).collect();
    values(builder, &mut problems);
    #[cfg(feature = "image")]
    problems.0.extend(builder.image.iter().flat_map(crate::from_image::FromImage::problems));
    problems.0.extend(builder.apparmor_problem());
    problems.0.extend(builder.relabel_problems());
    #[cfg(feature = "landlock")]
    problems.0.extend(builder.landlock_problems());
    namespaces(builder, sets, &checked, &mut problems);
    checked.network = crate::network::plan(builder, sets, &mut problems.0);
    launch(command, &mut problems);
    #[cfg(feature = "image")]
    if let Some(unnamed) = command.unnamed {
        problems.add("default_command", unnamed.to_string());
        return Err(Error::invalid(problems.0).with_hint(unnamed.hint()));
    }
    if problems.0.is_empty() { Ok(checked) } else { Err(Error::invalid(problems.0)) }
}

/// Without privilege everything rests on a user namespace.
fn check_privilege(sets: &NamespaceSet, privilege: Privilege) -> Result<(), Error> {
    let any_new = sets.clone_flags() & !Namespace::User.clone_flag() != 0;
    if privilege == Privilege::None && *sets.get(Namespace::User) == Setting::Host && any_new {
        let reason = "without privilege the other new namespaces need a new user namespace";
        return Err(Error::invalid(vec![Problem::new("namespace", reason)])
            .with_kind(ErrorKind::PermissionDenied));
    }
    Ok(())
}

fn values(builder: &Builder, problems: &mut Problems) {
    problems.0.extend(builder.id.as_deref().and_then(crate::id::problem));
    for limit in &builder.rlimits {
        problems.keep("rlimit", limit.limit.validate());
    }
    if let Some(scheduler) = &builder.scheduler {
        problems.keep("scheduler", scheduler.validate());
    }
    if let Some(priority) = &builder.io_priority {
        problems.keep("io_priority", priority.validate());
    }
    if let Some(personality) = &builder.personality {
        problems.keep("personality", personality.validate());
    }
    if let Some(policy) = &builder.memory_policy {
        problems.keep("memory_policy", policy.validate());
    }
    problems.keep("time_offsets", builder.time_offsets.validate());
    if builder.umask > 0o777 {
        problems.add("umask", format!("{:#o} has bits beyond 0777", builder.umask));
    }
    if builder.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
        problems.add("oom_score_adj", "it goes from -1000 to 1000");
    }
    if !(1..=64).contains(&builder.stop_signal) {
        problems.add("stop_signal", format!("there is no signal {}", builder.stop_signal));
    }
    if let Some(problem) = builder.placement_problem() {
        problems.add("cgroup_placement", problem);
    }
}

/// Settings that need a namespace of the container's own.
fn namespaces(builder: &Builder, sets: &NamespaceSet, checked: &Checked, problems: &mut Problems) {
    let own = |kind| *sets.get(kind) != Setting::Host;
    if (builder.hostname.is_some() || builder.domainname.is_some()) && !own(Namespace::Uts) {
        problems.add("hostname", "it would change the host's: the UTS namespace is the host's");
    }
    for sysctl in checked.sysctls.iter().filter(|sysctl| !own(sysctl.name.namespace())) {
        problems.add(
            "sysctl",
            format!(
                "{} would change the host's {} namespace",
                sysctl.name,
                sysctl.name.namespace()
            ),
        );
    }
    let mounts =
        !(builder.mounts.is_empty() && builder.files.is_empty() && builder.links.is_empty());
    let needs_mount = mounts || builder.origin != Origin::Bare;
    if needs_mount && *sets.get(Namespace::Mount) != Setting::New {
        problems.add("namespace", "a root or mounts of its own need a new mount namespace");
    }
    if !builder.time_offsets.is_zero() && *sets.get(Namespace::Time) != Setting::New {
        problems.add("time_offsets", "they need a new time namespace");
    }
}

/// What belongs to the launch but can be checked now.
fn launch(command: &Command, problems: &mut Problems) {
    let mut numbers: Vec<u16> = command.fd_numbers().collect();
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        problems.add("fd", "one number is given twice");
    }
    if numbers.first().is_some_and(|first| *first < 3) {
        problems.add("fd", "0, 1 and 2 are stdin, stdout and stderr");
    }
    if numbers.last().is_some_and(|last| *last > HIGHEST_FD) {
        problems.add("fd", format!("numbers go up to {HIGHEST_FD}"));
    }
    if command.builder.on_drop == OnDrop::Detach && command.has_pipes() {
        problems.add("on_drop", "a detached container cannot keep pipes to this process");
    }
}

/// Parses the sysctls, which are plain text in a builder.
fn sysctls(pairs: &[(String, String)]) -> Vec<Result<Sysctl, ampoule_ns::Error>> {
    pairs
        .iter()
        .map(|(name, value)| {
            let sysctl = Sysctl { name: name.parse()?, value: value.clone() };
            sysctl.validate().map(|()| sysctl)
        })
        .collect()
}
