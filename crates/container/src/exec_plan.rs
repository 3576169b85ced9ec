//! The order of steps of a process that joins a running container.
//!
//! Kernel objects: one sealed program for each kind of process, shared by all containers of a plan. Invariant: before the
//! clone into the container's pid namespace, where its processes could see and trace what comes, the launcher has the
//! group, the limits, the user and the capabilities of the new process, no other descriptor than its streams and init's
//! own sockets, and is undumpable.

use std::sync::{Arc, Mutex, PoisonError};

use ampoule_init::steps::landlock::restrict_self;
use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{Fd, Program};
use ampoule_ns::prepared::{attributes, credentials, namespaces};
use ampoule_ns::{
    Capabilities, Namespace, NamespaceSet, ResolvedUser, ResourceLimit, Rlimit, Scheduler,
    SchedulerFlags, SchedulerPolicy, Setting, Target,
};

use crate::apparmor::Profile;
use crate::error::{Error, ErrorKind, Stage};
use crate::exec_attributes::Own;
use crate::group::GroupPlan;
use crate::joining;
use crate::payload::{self, privilege};
use crate::plan::{Ordered, Prepared};
use crate::pty::WindowSize;
use crate::selinux;
use crate::settings::{Settings, open_proc};
use crate::terminal;

/// How many programs are kept.
const KEPT: usize = 8;

/// What one program differs in from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joiner {
    pub(crate) user: ResolvedUser,
    pub(crate) capabilities: Capabilities,
    pub(crate) tty: Option<WindowSize>,
    pub(crate) own: Own,
    pub(crate) apparmor: Option<Profile>,
}

/// A program that joins, and the stages that its steps belong to.
#[derive(Debug)]
pub(crate) struct ExecPlan {
    pub(crate) program: Program,
    stages: Vec<(Stage, usize)>,
}

impl ExecPlan {
    /// The stage that a step belongs to.
    pub(crate) fn stage_of(&self, step: usize) -> Option<Stage> {
        self.stages.iter().find(|(_, end)| step < *end).map(|(stage, _)| *stage)
    }
}

/// The programs of a plan's containers.
#[derive(Debug, Default)]
pub(crate) struct ExecPlans(Mutex<Vec<(Joiner, Arc<ExecPlan>)>>);

impl ExecPlans {
    /// The program of such a process, made the first time.
    pub(crate) fn get(&self, plan: &Prepared, joiner: Joiner) -> Result<Arc<ExecPlan>, Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plan)) = known.iter().find(|(one, _)| *one == joiner) {
            return Ok(Arc::clone(plan));
        }
        let mut ordered = Ordered::default();
        order(&plan.settings, &joiner, &mut ordered)?;
        let program = Program::seal(ordered.draft)?;
        let made = Arc::new(ExecPlan { program, stages: ordered.stages });
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push((joiner, Arc::clone(&made)));
        Ok(made)
    }
}

/// Puts everything in order; descriptors of the launch are those of [`joining::Joining::fds`].
fn order(settings: &Settings, joiner: &Joiner, to: &mut Ordered) -> Result<(), Error> {
    let apart = !settings.enters_user_namespace();
    let own = &joiner.own;
    let new = own.new_privileges(settings);
    // Before any program of the container has run, there is nobody to reach a process.
    let exposed = privilege::exposed(settings, new, &joiner.capabilities);
    if let Some(reason) = exposed.filter(|_| !own.purpose.is_hook()) {
        return Err(Error::new(ErrorKind::Unsupported, Stage::Launch).about(reason));
    }
    let ruleset = enter(settings, joiner, to)?;
    // Nothing but the streams and init's sockets is left for the container to look at; the ruleset for a moment.
    to.launcher(match ruleset {
        Some(ruleset) => l::close_images_but(ruleset).to_vec(),
        None => vec![l::close_images()],
    });
    let peer = joiner.tty.map(|size| {
        // While the ids can still change the terminal's owner.
        let (open, peer) = terminal::open(size, joiner.user.uid, &mut to.draft);
        to.launcher(open);
        peer
    });
    // Limits and scheduling while the capabilities for them are there.
    to.launcher(own.rlimits(settings).iter().filter_map(raised));
    let scheduler = own.scheduler(settings);
    let inherited = scheduler.as_ref().is_none_or(inherits);
    let scheduler = scheduler.as_ref().map(attributes::scheduler);
    to.launcher(scheduler.clone().filter(|_| inherited));
    to.launcher(settings.attributes.of_exec(own.in_place()));
    to.launcher(payload::credentials(settings, new, &joiner.user, &joiner.capabilities));
    to.launcher(payload::no_new_privs(new));
    // After the last file is opened, and before its descriptor, through which rules are added, could be taken.
    to.launcher(ruleset.iter().flat_map(|_| [restrict_self(Fd::Images), l::close_kept()]));
    // Last: a change of ids can make it dumpable again (proc_sys_fs(5), suid_dumpable).
    to.launcher([p::undumpable()]);
    end(to, Stage::Process);
    // What traces a process that shares the launcher's memory would have the launcher, which stands in the host's pid
    // namespace. Nobody in another user namespace can.
    let clone = if apart { l::clone_first } else { l::clone_first_sharing };
    to.launcher([clone(0, "", None), l::release()]);
    end(to, Stage::Namespaces);
    to.first([l::wait_for_release(), p::setsid()]);
    to.first(peer.map(terminal::take).unwrap_or_default());
    to.first(payload::state(own.umask(settings)));
    // Here, because they could be too low for the launcher.
    to.first(own.limits(settings));
    to.first(scheduler.filter(|_| !inherited));
    to.first(payload::last());
    if !own.purpose.is_of_host() {
        to.first(payload::filter(settings, new, &joiner.capabilities));
    }
    end(to, Stage::Process);
    to.first([l::exec()]);
    to.stages.push((Stage::Exec, usize::MAX));
    Ok(())
}

/// The launcher joins: groups, namespaces, root; gives the ruleset.
fn enter(settings: &Settings, joiner: &Joiner, to: &mut Ordered) -> Result<Option<Fd>, Error> {
    let proc = to.draft.inherit(open_proc()?);
    let own = &joiner.own;
    let score = own.oom_score_adj(settings);
    to.launcher(score.map(|score| attributes::oom_score_adj(score, proc)));
    // The kernel keeps them over a clone, to the exec: no procfs is open where the container could see it.
    to.launcher(joiner.apparmor.iter().map(|profile| profile.step(proc)));
    let labelled = own.selinux_label.is_some() || settings.selinux.is_planned();
    if labelled && !own.purpose.is_of_host() {
        to.launcher([selinux::key_step(proc), selinux::exec_step(proc)]);
    }
    to.launcher(settings.attributes.before_exec(own.in_place()));
    let set = joining::kinds(settings).fold(NamespaceSet::all(Setting::Host), |set, kind| {
        set.with(kind, Setting::Join(Target::AtLaunch))
    });
    let joined = namespaces::prepare(&set, settings.caller(), &mut to.draft, 0)
        .map_err(|error| Error::from_ns(Stage::Plan, error))?;
    let root = joined.at_launch.len();
    let launch_fd = |place: usize| Fd::Launch(u16::try_from(place).unwrap_or(u16::MAX));
    let ruleset = settings.has_ruleset().then(|| launch_fd(root + 1));
    let behind = root + 1 + ruleset.iter().count();
    let group = settings.group.plan();
    // While it has the host's rights to do so. The v2 group last: nothing of the launcher's is done outside of it.
    to.launcher(group.map(|group| group.joins(behind)).unwrap_or_default());
    to.launcher(group.and_then(|group: &GroupPlan| group.target(behind)).map(l::relay));
    to.launcher(joined.joins);
    if settings.enters_user_namespace() && settings.identity.has_root() {
        to.launcher(credentials::become_root(settings.identity.groups));
    }
    end(to, Stage::Namespaces);
    if *settings.namespaces.get(Namespace::Mount) != Setting::Host {
        // Where the root is a directory of a file system, not the mount namespace's own root.
        to.launcher([p::fchdir(launch_fd(root)), p::chroot_here()]);
        end(to, Stage::Root);
    }
    Ok(ruleset)
}

/// Ends a stage.
fn end(to: &mut Ordered, stage: Stage) {
    to.stages.push((stage, to.draft.steps().count()));
}

/// Whether a clone has the scheduler of its maker, and can be made under it.
fn inherits(scheduler: &Scheduler) -> bool {
    let deadline = matches!(scheduler.policy, SchedulerPolicy::Deadline { .. });
    !deadline && !scheduler.flags.contains(SchedulerFlags::RESET_ON_FORK)
}

/// A limit that is raised above the host's own: only the launcher has the capability.
fn raised(limit: &ResourceLimit) -> Option<ampoule_init::Step> {
    let own = limit.resource.own();
    let hard = limit.limit.hard;
    let high = ResourceLimit { limit: Rlimit::new(hard, hard), ..*limit };
    (own.hard < hard).then(|| attributes::rlimit(&high))
}

#[cfg(test)]
mod tests;
