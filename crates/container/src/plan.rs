//! A plan: everything validated, opened and in order; launched any number of times, from any thread.
//!
//! Invariant: after this, a launch depends on nothing but the kernel. The order of the steps stands in
//! [`order`] and nowhere else, each group with its reason.

use std::ffi::{CString, OsString};
use std::fmt;
use std::sync::Arc;

use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{Draft, Fd, First, Program, Step, Tail};
use ampoule_ns::prepared::{attributes, credentials, id_maps, namespaces};
use ampoule_ns::{Namespace, Setting};
use ampoule_overlay as overlay;

use crate::command::{Command, EnvClear, Order};
use crate::container::OnDrop;
use crate::environment::Environment;
use crate::error::{Error, Problem, Stage};
use crate::exec_plan::ExecPlans;
use crate::host::SuidDumpable;
use crate::launch::Launch;
use crate::network_at_end;
use crate::payload;
use crate::pid1::Pid1;
use crate::report::Report;
use crate::settings::Settings;
use crate::terminal;

/// Position of the working directory among a launch's parameters.
pub(crate) const CURRENT_DIR: u16 = 0;

/// A validated container, ready to be launched many times; cheap to clone and to share between threads.
#[derive(Clone, Debug)]
pub struct Plan(Arc<Prepared>);

/// What a plan holds.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) program: Program,
    pub(crate) settings: Settings,
    /// Kinds of namespaces whose descriptor comes with the launch.
    pub(crate) at_launch: Vec<Namespace>,
    pub(crate) environment: Environment,
    pub(crate) argv: Vec<OsString>,
    pub(crate) current_dir: CString,
    /// How processes join its containers.
    pub(crate) execs: ExecPlans,
    stages: Vec<(Stage, usize)>,
    report: Report,
    origin: PlanOrigin,
}

/// Where a plan comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlanOrigin {
    Command,
    /// The file of a container that runs: only processes that join can be made of it.
    File,
}

impl Plan {
    /// Checks, opens and orders.
    pub(crate) fn new(command: &Command) -> Result<Self, Error> {
        let mut draft = Draft::default();
        let settings = Settings::gather(command, &mut draft)?;
        let mut problems = Vec::new();
        let environment = environment(command, &settings);
        let argv: Vec<OsString> = command.program.iter().chain(&command.args).cloned().collect();
        let chosen = command.current_dir.as_deref().or(command.builder.image_working_dir());
        let current_dir = chosen.unwrap_or("/".as_ref()).to_owned();
        let current_dir = crate::environment::path("current_dir", &current_dir, &mut problems)
            .unwrap_or_default();
        check(&argv, &environment, &mut problems);
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let report = settings.report(command);
        let mut ordered = Ordered { draft, ..Ordered::default() };
        let at_launch = order(&settings, &mut ordered)?;
        let program = Program::seal(ordered.draft)?;
        let stages = ordered.stages;
        let prepared = Prepared {
            program,
            settings,
            at_launch,
            environment,
            argv,
            current_dir,
            execs: ExecPlans::default(),
            stages,
            report,
            origin: PlanOrigin::Command,
        };
        Ok(Self(Arc::new(prepared)))
    }

    /// A launch of this plan, streams inherited unless it says otherwise.
    #[must_use]
    pub fn launch(&self) -> Launch {
        Launch::new(self, Order::default())
    }

    /// What will be in force, what will not, and why.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// How many operations a launch makes; for tests that let each one fail.
    #[doc(hidden)]
    #[must_use]
    pub fn operations(&self) -> usize {
        self.0.program.operations()
    }

    pub(crate) fn prepared(&self) -> &Arc<Prepared> {
        &self.0
    }
}

/// One line for each step, in order.
impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.program.fmt(out)
    }
}

impl Prepared {
    /// As much of a plan as a process needs to join.
    pub(crate) fn for_joining(
        settings: Settings,
        draft: Draft,
        environment: Environment,
        current_dir: CString,
    ) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            program: Program::seal(draft)?,
            settings,
            at_launch: Vec::new(),
            environment,
            argv: vec![OsString::new()],
            current_dir,
            execs: ExecPlans::default(),
            stages: Vec::new(),
            report: Report::default(),
            origin: PlanOrigin::File,
        }))
    }

    /// Whether it comes from the file of a container.
    pub(crate) fn is_reopened(&self) -> bool {
        self.origin == PlanOrigin::File
    }

    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    pub(crate) fn pid1(&self) -> Pid1 {
        self.settings.pid1
    }

    pub(crate) fn stop_signal(&self) -> i32 {
        self.settings.stop_signal
    }

    pub(crate) fn on_drop(&self) -> OnDrop {
        self.settings.on_drop
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.argv.is_empty()
    }

    pub(crate) fn first(&self) -> First {
        if self.is_idle() { First::Idle } else { First::Payload }
    }

    /// What is left to be done at the start of a created container.
    pub(crate) fn tail(&self) -> Tail {
        Tail::of(&self.program)
    }

    /// The stage that a step belongs to.
    pub(crate) fn stage_of(&self, step: usize) -> Option<Stage> {
        self.stages.iter().find(|(_, end)| step < *end).map(|(stage, _)| *stage)
    }

    /// The stage with this number in a report of times.
    pub(crate) fn stage_number(&self, number: u32) -> Option<Stage> {
        self.stages.get(number as usize).map(|(stage, _)| *stage)
    }
}

/// The payload's environment as the plan knows it.
fn environment(command: &Command, settings: &Settings) -> Environment {
    let mut environment = match command.env_clear {
        EnvClear::Clear => Environment::default(),
        #[cfg(feature = "oci")]
        EnvClear::ButHome => Environment::only_home(&settings.identity.user),
        EnvClear::Keep => {
            let mut environment = Environment::defaults(&settings.identity.home());
            environment.inherit(&command.builder.env_inherit);
            command
                .builder
                .env
                .iter()
                .for_each(|(name, value)| environment.set(name.clone(), value.clone()));
            environment
        }
    };
    for (name, value) in &command.env {
        match value {
            Some(value) => environment.set(name.clone(), value.clone()),
            None => environment.remove(name),
        }
    }
    environment
}

/// What can be known about arguments and environment before a launch.
fn check(argv: &[OsString], environment: &Environment, problems: &mut Vec<Problem>) {
    environment.encode(problems);
    if let Some(program) = argv.first() {
        environment.candidates(program, problems);
        argv.iter().for_each(|arg| drop(crate::environment::text("args", arg, problems)));
    }
}

/// Steps with the stages that they belong to.
#[derive(Default)]
pub(crate) struct Ordered {
    pub(crate) draft: Draft,
    pub(crate) stages: Vec<(Stage, usize)>,
}

impl Ordered {
    pub(crate) fn launcher(&mut self, steps: impl IntoIterator<Item = Step>) {
        steps.into_iter().for_each(|step| self.draft.launcher(step));
    }

    pub(crate) fn first(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.draft.first_all(steps);
    }

    /// Ends a stage of the first process.
    fn end(&mut self, stage: Stage, name: &'static str) {
        self.mark(name);
        self.end_marked(stage);
    }

    /// Reads the clock for the present stage.
    fn mark(&mut self, name: &'static str) {
        let number = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
        self.first([l::mark(number, name)]);
    }

    /// Ends a stage whose clock was read.
    fn end_marked(&mut self, stage: Stage) {
        self.stages.push((stage, self.draft.steps().count()));
    }
}

/// Puts everything in order; gives the kinds of namespaces that the launch must bring.
fn order(settings: &Settings, to: &mut Ordered) -> Result<Vec<Namespace>, Error> {
    let at_launch = launcher(settings, to)?;
    enter(settings, to);
    build(settings, to);
    set_up(settings, to);
    become_payload(settings, to);
    Ok(at_launch)
}

/// The launcher: in the host's namespaces, with the host's credentials, in its own memory.
fn launcher(settings: &Settings, to: &mut Ordered) -> Result<Vec<Namespace>, Error> {
    let plan_error = |error| Error::from_ns(Stage::Plan, error);
    // Modes of what init makes are what the plan says, whatever mask the host has.
    to.launcher([p::umask(0)]);
    // Copies of the host's mounts are made while the host's mount namespace is still the present one.
    to.launcher(settings.root.iter().flat_map(|root| root.launcher.clone()));
    let set = match settings.makes_ipc_as_root() {
        true => &settings.namespaces.clone().with(Namespace::Ipc, Setting::Host),
        false => &settings.namespaces,
    };
    let joined = namespaces::prepare(set, settings.caller(), &mut to.draft, 0);
    let joined = joined.map_err(plan_error)?;
    // Groups of v1 before the namespaces: a new cgroup namespace shows the groups that its maker is in.
    let group = settings.group.plan();
    let place = joined.at_launch.len();
    to.launcher(group.map(|group| group.joins(place)).unwrap_or_default());
    to.launcher(joined.joins);
    let clone = match settings.namespaces.get(Namespace::Time) {
        // A process that shares memory may not join a time namespace.
        Setting::New => l::clone_first,
        _ => l::clone_first_sharing,
    };
    let target = group.and_then(|group| group.target(place));
    to.launcher([clone(joined.flags, &joined.names, target)]);
    if let Some((map, writer)) = &settings.identity.maps {
        // Only a process in the parent user namespace can write the maps.
        to.launcher(id_maps::prepare(map, *writer, settings.proc).map_err(plan_error)?);
    }
    // The host holds the pidfd by now: nothing can run that it does not know.
    to.launcher([l::release()]);
    Ok(joined.at_launch)
}

/// The first process takes possession of its namespaces.
fn enter(settings: &Settings, to: &mut Ordered) {
    to.first([l::wait_for_release()]);
    if *settings.namespaces.get(Namespace::Time) == Setting::New {
        // Before anything reads a clock in it; through the host's procfs, where the process sees itself.
        let steps = namespaces::time(&settings.time_offsets, settings.proc, &mut to.draft);
        to.first(steps);
    }
    if let Some(score) = settings.oom_score_adj {
        to.first([attributes::oom_score_adj(score, settings.proc)]);
    }
    if settings.enters_user_namespace() && settings.identity.has_root() {
        // What is made from here on belongs to the container's root, not to an id that is not mapped. After the files
        // of procfs above: a change of ids makes the process undumpable, and they then belong to the host's root.
        to.first(credentials::become_root(settings.identity.groups));
    }
    if settings.makes_ipc_as_root() {
        to.first([l::unshare(Namespace::Ipc.clone_flag(), "CLONE_NEWIPC")]);
    }
    to.end(Stage::Namespaces, "namespaces");
}

/// The root file system, and the change into it.
fn build(settings: &Settings, to: &mut Ordered) {
    let Some(root) = &settings.root else { return };
    // Sources are opened before anything is mounted: nothing of the container can stand in the way.
    to.first(root.open.iter().chain(&root.build).cloned());
    // The upper layer, while there is something to be sent on: its file system goes with the old root.
    to.first(root.upper.map(|upper| l::send_fd(crate::layers::UPPER, upper)));
    to.end(Stage::Mounts, "mounts");
    // The new /proc is mounted by now; the kernel would refuse it once the old root is gone.
    to.first(root.enter.iter().chain(&root.seal).cloned());
    to.end(Stage::Root, "root");
}

/// Names, network and sysctls of the new namespaces.
fn set_up(settings: &Settings, to: &mut Ordered) {
    to.first(settings.hostname.iter().map(|name| p::sethostname(name.as_str().as_bytes())));
    to.first(settings.domainname.iter().map(|name| p::setdomainname(name.as_str().as_bytes())));
    if *settings.namespaces.get(Namespace::Net) == Setting::New {
        let socket = to.draft.slots.take();
        to.first([p::interface_up(c"lo", socket)]);
    }
    // The caller's own settings come after the defaults.
    to.first(settings.network.sysctls(settings.container_proc()));
    let counters = network_at_end::send(settings, to);
    to.first(counters);
    // A private handle: never a path that the container's root could redirect.
    to.first(
        settings.sysctls.iter().map(|sysctl| attributes::sysctl(sysctl, settings.container_proc())),
    );
    // All that belongs to the host's part of networks is there, and the payload is not.
    let (proc, hosts) = (settings.container_proc(), settings.root.as_ref());
    let hosts = hosts.and_then(|root| root.open_file);
    let network = settings.network.steps(proc, hosts, &mut to.draft.slots);
    to.first(network);
    to.end(Stage::Setup, "setup");
}

/// From init to the payload.
fn become_payload(settings: &Settings, to: &mut Ordered) {
    // From here on nobody in the container can trace or read what may still hold more privilege.
    to.first([p::undumpable()]);
    // Paths of the rules are looked up before a limit on descriptors, and with init's rights; before the reaper stays,
    // because without a payload what joins still needs the ruleset.
    #[cfg(feature = "landlock")]
    to.first(settings.landlock.iter().flat_map(|rules| rules.build.clone()));
    if settings.pid1 == Pid1::Reaper {
        let become_reaper = match crate::host::suid_dumpable() {
            SuidDumpable::Never => l::become_reaper,
            SuidDumpable::Ever => l::become_reaper_apart,
        };
        to.first([become_reaper(Some(settings.container_proc()))]);
    }
    to.first([p::setsid()]);
    if let Some(size) = settings.tty {
        // In the new session, and while the ids can still change the terminal's owner.
        let (open, peer) = terminal::open(size, settings.identity.user.uid, &mut to.draft);
        to.first(open);
        let console = settings.root.as_ref().and_then(|root| root.console);
        let mounted = console.map(|target| terminal::mount(peer, target, &mut to.draft));
        to.first(mounted.into_iter().flatten());
        to.first(terminal::take(peer));
    }
    to.first(payload::state(p::umask(settings.umask)));
    // Limits and scheduling while the capabilities for them are there.
    to.first(payload::limits(settings));
    to.first(payload::scheduler(settings));
    // The keyring, which is made with them, keeps the label that it is made with.
    to.first(settings.selinux.key_step(settings.container_proc()));
    to.first(payload::attributes(settings));
    let identity = &settings.identity;
    let capabilities = &identity.settable_capabilities(settings.known);
    to.first(payload::credentials(settings, settings.new_privileges, &identity.user, capabilities));
    // Before no_new_privs, under which a profile of the host's own could only become narrower.
    to.first(settings.apparmor.iter().map(|profile| profile.step(settings.container_proc())));
    to.first(payload::no_new_privs(settings.new_privileges));
    // As late as procfs is open: the next program is the payload, and a filter may refuse what it takes.
    to.first(settings.selinux.exec_step(settings.container_proc()));
    // No file is opened for reading or writing any more, and nothing signalled, but by the payload.
    #[cfg(feature = "landlock")]
    to.first(settings.landlock.iter().map(|rules| rules.enforce.clone()));
    to.first(payload::last());
    // A created container waits here, where a filter cannot refuse what that takes.
    to.first([l::hold(CURRENT_DIR)]);
    // The clock is read before the filter can refuse it.
    to.mark("process");
    to.first(payload::filter(settings, settings.new_privileges, capabilities));
    to.end_marked(Stage::Process);
    to.first([l::exec()]);
    to.stages.push((Stage::Exec, usize::MAX));
}

/// What the root's preparation gives.
pub(crate) type RootSteps = overlay::Prepared;

/// The host's procfs, as the plan opened it.
pub(crate) type ProcFd = Fd;
