//! One launch of a plan: what differs each time.
//!
//! Kernel objects: the payload's streams, the host's pidfd. Invariant: nothing is started before every
//! descriptor and text of the launch is ready.

use ampoule_cgroups::Bytes;
use ampoule_cgroups::events::Above;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ampoule_init::{
    Fault, Launch as InitLaunch, Parameter, PidNamespace, Started, Timings as Wanted,
};
use ampoule_ns::{Namespace, Setting};
use ampoule_seccomp::notify::Listener;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::command::Order;
use crate::container::{Container, OnDrop};
use crate::environment::{Environment, Texts};
use crate::error::{Error, Problem, Stage};
use crate::exit::ExitStatus;
use crate::group::Made;
use crate::launch_error::explain;
use crate::layers::{self, InMemory};
use crate::network::Attached;
use crate::output::{self, Output};
use crate::pid1::Pid1;
use crate::plan::{Plan, Prepared};
use crate::pty::Pty;
use crate::selinux::Label;
use crate::stdio::{self, Stdio, Stream};
use crate::syscalls;
use crate::terminal;
use crate::timings::Timings;

/// How long a launch may take until the payload runs.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// One launch of a [`Plan`].
#[derive(Debug)]
pub struct Launch {
    plan: Arc<Prepared>,
    program: Option<OsString>,
    args: Option<Vec<OsString>>,
    environment: Option<Environment>,
    current_dir: Option<PathBuf>,
    order: Order,
    namespaces: Vec<(Namespace, OwnedFd)>,
    status_fd: Option<OwnedFd>,
    id: Option<String>,
    start_timeout: Duration,
    timings: Wanted,
    fault: Option<Fault>,
}

impl Launch {
    pub(crate) fn new(plan: &Plan, order: Order) -> Self {
        Self {
            plan: plan.prepared().clone(),
            program: None,
            args: None,
            environment: None,
            current_dir: None,
            order,
            namespaces: Vec::new(),
            status_fd: None,
            id: None,
            start_timeout: START_TIMEOUT,
            timings: Wanted::Off,
            fault: None,
        }
    }

    /// Another program than the plan's.
    #[must_use]
    pub fn program(mut self, program: impl AsRef<OsStr>) -> Self {
        self.program = Some(program.as_ref().to_owned());
        self
    }

    /// Other arguments than the plan's.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args = Some(args.into_iter().map(|arg| arg.as_ref().to_owned()).collect());
        self
    }

    /// A variable on top of the plan's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let environment = self.environment.get_or_insert_with(|| self.plan.environment.clone());
        environment.set(name.into(), value.into());
        self
    }

    /// Another working directory than the plan's.
    #[must_use]
    pub fn current_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(path.into());
        self
    }

    /// Where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.order.stdio[0] = Some(stdin.into());
        self
    }

    /// Where standard output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.order.stdio[1] = Some(stdout.into());
        self
    }

    /// Where standard error goes.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.order.stdio[2] = Some(stderr.into());
        self
    }

    /// These bytes are standard input.
    #[must_use]
    pub fn stdin_bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin(Stdio::bytes(bytes))
    }

    /// Hands the payload a descriptor with this number.
    #[must_use]
    pub fn fd(mut self, number: u16, fd: impl Into<OwnedFd>) -> Self {
        self.order.fds.push((number, fd.into()));
        self
    }

    /// Kills everything when the payload has run this long.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.order.timeout = Some(limit);
        self
    }

    /// The most that [`Launch::output`] keeps of each stream, 64 MiB by default; more kills the payload.
    #[must_use]
    pub fn output_max(mut self, limit: Bytes) -> Self {
        self.order.output_max = Some(limit);
        self
    }

    /// How long it may take until the payload runs, 10 s by default.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// The namespace for a setting `Join(Target::AtLaunch)`.
    #[must_use]
    pub fn join(mut self, kind: Namespace, namespace: impl Into<OwnedFd>) -> Self {
        self.namespaces.push((kind, namespace.into()));
        self
    }

    /// Init writes one line about the payload's end to this descriptor (`exited N`, `signaled N`, `timed-out`):
    /// for a detached container, whose host may be gone by then.
    #[must_use]
    pub fn status_fd(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.status_fd = Some(fd.into());
        self
    }

    /// Another name than the plan's: see [`Builder::id`](crate::Builder::id).
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Measures the stages: [`Container::timings`].
    #[must_use]
    pub fn timings(mut self) -> Self {
        self.timings = Wanted::On;
        self
    }

    /// Lets one operation fail, for tests of the library.
    #[doc(hidden)]
    #[must_use]
    pub fn inject_fault(mut self, operation: u32, outcome: u32) -> Self {
        self.fault = Some(Fault { operation, outcome });
        self
    }

    /// Starts it; the payload's program runs when this returns `Ok`, and nothing is left when it returns `Err`.
    ///
    /// # Errors
    /// Those of [`Stage::Launch`] and later; [`Error::stage`] says how far it came.
    pub fn spawn(self) -> Result<Container, Error> {
        self.start([Stdio::inherit, Stdio::inherit, Stdio::inherit])
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Launch::spawn`] and [`Container::wait`].
    pub fn status(self) -> Result<ExitStatus, Error> {
        self.spawn()?.wait()
    }

    /// Runs it to its end and collects what it writes; output streams are piped and input is empty by default.
    ///
    /// # Errors
    /// As [`Launch::spawn`] and [`Container::wait`].
    pub fn output(self) -> Result<Output, Error> {
        let limit = self.output_limit();
        output::collect(self.for_output()?, limit)
    }

    /// Starts it with the streams that [`Launch::output`] has by default.
    pub(crate) fn for_output(self) -> Result<Container, Error> {
        self.start([Stdio::null, Stdio::piped, Stdio::piped])
    }

    pub(crate) fn output_limit(&self) -> Bytes {
        self.order.output_limit()
    }

    fn start(mut self, defaults: [fn() -> Stdio; 3]) -> Result<Container, Error> {
        let begun = Instant::now();
        let texts = self.texts()?;
        let streams = self.streams(defaults)?;
        let host = self.host_pidfd()?;
        let joined = self.joined()?;
        let id = self.own_id();
        let group = self.group(&id)?;
        let label = self.plan.settings.selinux.label()?;
        let parameters = self.parameters(texts.current_dir, label.as_ref())?;
        let lock = label.as_ref().and_then(Label::lock);
        let mut payload_fds: Vec<(i32, BorrowedFd<'_>)> =
            (0..).zip(streams.iter().map(|stream| stream.payload.as_fd())).collect();
        payload_fds
            .extend(self.order.fds.iter().map(|(number, fd)| (i32::from(*number), fd.as_fd())));
        let mut fds: Vec<BorrowedFd<'_>> = joined.iter().map(AsFd::as_fd).collect();
        fds.extend(group.iter().flat_map(Made::fds));
        let [host, status] = [host.as_ref(), self.status_fd.as_ref()].map(|fd| fd.map(AsFd::as_fd));
        let [host, status, kept] = [host, status, lock].map(|fd| {
            fds.push(fd?);
            u16::try_from(fds.len() - 1).ok()
        });
        let launch = InitLaunch {
            argv: texts.argv,
            env: texts.env,
            paths: texts.paths,
            parameters,
            payload_fds,
            fds,
            host,
            status,
            kept,
            first: self.plan.first(),
            pid_namespace: self.pid_namespace(),
            timeout: self.order.timeout,
            timings: self.timings,
            deadline: begun + self.start_timeout,
            fault: self.fault,
        };
        let mut networks = self.plan.settings.network.begin();
        let attach = &mut |sent: &mut Vec<_>| networks.attach(sent);
        let started = ampoule_init::start_gated(&self.plan.program, &launch, attach);
        let started = started.map_err(|error| {
            let stage = error.step().and_then(|step| self.plan.stage_of(step));
            let error = networks.explain(explain(error, stage, &launch));
            #[cfg(feature = "landlock")]
            let error = crate::landlock::explain(error, self.plan.settings.landlock.as_ref());
            error
        })?;
        drop(launch);
        let networks = networks.attached();
        let mut container = self.container(started, streams, begun);
        (container.id, container.label, container.networks) = (id, label, networks);
        if let Some((group, above)) = group.and_then(Made::keep) {
            (container.group, container.above) = (Some(group), above);
        }
        if let Some(profile) = container.plan.settings.apparmor.clone() {
            profile.verify(&mut container)?;
        }
        Ok(container)
    }

    /// What the steps refer to; volumes have the label when they do.
    fn parameters(
        &self,
        current_dir: CString,
        label: Option<&Label>,
    ) -> Result<Vec<Parameter>, Error> {
        let mut parameters = vec![Parameter::Text(current_dir)];
        if let Some(label) = label {
            parameters.extend(label.parameters()?);
            self.plan.settings.relabelling.apply(label.mount())?;
        }
        Ok(parameters)
    }

    /// Makes the handle.
    fn container(self, started: Started, streams: Vec<Stream>, begun: Instant) -> Container {
        let mut host_ends = streams.into_iter().map(|stream| stream.host);
        let mut next = || host_ends.next().flatten();
        let by_init = self.plan.pid1() == Pid1::Reaper;
        let own_deadline =
            self.order.timeout.filter(|_| !by_init).and_then(|limit| begun.checked_add(limit));
        let timings =
            (self.timings == Wanted::On).then(|| Timings::of(&self.plan, &started, begun));
        let (mut pty, mut upper, mut listener) = (None, None, None);
        #[cfg(feature = "landlock")]
        let mut ruleset = None;
        for (what, fd) in started.fds {
            match what {
                terminal::MASTER => pty = Some(Pty::new(fd)),
                layers::UPPER => upper = Some(fd),
                syscalls::LISTENER => listener = Some(Listener::from(fd)),
                #[cfg(feature = "landlock")]
                crate::landlock::RULESET => ruleset = Some(fd),
                _ => {}
            }
        }
        let upper = InMemory::of(self.plan.settings.layers.as_ref(), upper);
        Container {
            stdin: next().map(ChildStdin::from),
            stdout: next().map(ChildStdout::from),
            stderr: next().map(ChildStderr::from),
            pty,
            listener,
            id: String::new(),
            label: None,
            pid: started.pid,
            pidfd: started.pidfd,
            control: started.control,
            on_drop: self.plan.on_drop(),
            plan: self.plan,
            begun,
            deadline: own_deadline,
            timings,
            ended: None,
            early: Mutex::new(None),
            reaped: false,
            group: None,
            above: Above::default(),
            upper,
            networks: Attached::default(),
            joined: Arc::default(),
            #[cfg(feature = "landlock")]
            ruleset,
        }
    }

    fn own_id(&self) -> String {
        let id = self.id.clone().or_else(|| self.plan.settings.id.clone());
        id.unwrap_or_else(crate::id::fresh)
    }

    /// The group of this launch.
    fn group(&self, id: &str) -> Result<Option<Made>, Error> {
        let plan = self.plan.settings.group.plan();
        plan.map(|group| group.make(id, self.plan.on_drop())).transpose()
    }

    fn pid_namespace(&self) -> PidNamespace {
        match self.plan.settings.namespaces.get(Namespace::Pid) {
            Setting::New => PidNamespace::New,
            _ => PidNamespace::Other,
        }
    }

    /// The three streams; with a terminal they are empty, the payload gets the terminal instead.
    fn streams(&mut self, defaults: [fn() -> Stdio; 3]) -> Result<Vec<Stream>, Error> {
        let detached = self.plan.on_drop() == OnDrop::Detach || self.plan.is_idle();
        let empty = self.plan.settings.tty.is_some() || detached;
        let null: fn() -> Stdio = Stdio::null;
        let defaults = if empty { [null; 3] } else { defaults };
        stdio::open_all(std::mem::take(&mut self.order.stdio), defaults)
    }

    fn host_pidfd(&self) -> Result<Option<OwnedFd>, Error> {
        if !self.plan.settings.watches_host() {
            return Ok(None);
        }
        let opened = pidfd_open(getpid(), PidfdFlags::empty());
        let fd = opened.map_err(|errno| Error::call(Stage::Launch, "pidfd_open", errno))?;
        Ok(Some(ampoule_init::above_stdio(fd)?))
    }

    /// The descriptors of namespaces, in the order that the program expects.
    fn joined(&mut self) -> Result<Vec<OwnedFd>, Error> {
        let mut given = std::mem::take(&mut self.namespaces);
        let missing = |kind| {
            Error::invalid(vec![Problem::new(
                "join",
                format!("the launch gives no {kind} namespace"),
            )])
        };
        self.plan
            .at_launch
            .iter()
            .map(|kind| {
                let position = given
                    .iter()
                    .position(|(given, _)| given == kind)
                    .ok_or_else(|| missing(*kind))?;
                Ok(given.swap_remove(position).1)
            })
            .collect()
    }

    /// Arguments, environment and paths as the kernel takes them.
    fn texts(&self) -> Result<Texts, Error> {
        let problems = self.id.as_deref().and_then(crate::id::problem).into_iter().collect();
        let args = self.args.as_deref().unwrap_or(self.plan.argv.get(1..).unwrap_or_default());
        let mut texts = Texts::new(problems);
        texts.environment(self.environment.as_ref().unwrap_or(&self.plan.environment));
        if let Some(program) = self.program.as_ref().or(self.plan.argv.first()) {
            texts.program(program, args);
        }
        texts.current_dir(self.current_dir.as_deref(), &self.plan.current_dir);
        texts.checked()
    }
}
