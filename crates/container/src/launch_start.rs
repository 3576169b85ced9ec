//! The start of a launch, and the handle that comes of it.
//!
//! Kernel objects: the payload's streams, the host's pidfd, the group of the launch. Invariant: nothing is started before
//! every descriptor and text of the launch is ready.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ampoule_cgroups::events::Above;
use ampoule_init::{
    Begin, Launch as InitLaunch, Parameter, PidNamespace, Started, Timings as Wanted,
};
use ampoule_ns::{Namespace, Setting};
use ampoule_seccomp::notify::Listener;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::container::{Container, OnDrop};
use crate::created::Waiting;
use crate::environment::Texts;
use crate::error::{Error, Problem, Stage};
use crate::group::Made;
use crate::group_paths;
use crate::launch::Launch;
use crate::launch_error::{directory, explain};
use crate::layers::{self, InMemory};
use crate::network::Attached;
use crate::network_at_end;
use crate::pid1::Pid1;
use crate::pty::Pty;
use crate::selinux::Label;
use crate::stdio::{self, Stdio, Stream};
use crate::syscalls;
use crate::terminal;
use crate::timings::Timings;

impl Launch {
    pub(crate) fn start(
        mut self,
        defaults: [fn() -> Stdio; 3],
        begin: Begin,
    ) -> Result<Container, Error> {
        if let Some(parked) = self.parked.take() {
            return self.claim(*parked, defaults);
        }
        let begun = Instant::now();
        let texts = self.texts()?;
        let streams = self.streams(defaults)?;
        let host = self.host_pidfd()?;
        let joined = self.joined()?;
        let id = self.own_id();
        let group = self.group(&id)?;
        let label = self.plan.settings.selinux.label()?;
        let parameters = self.parameters(texts.current_dir, label.as_ref(), group.as_ref())?;
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
            // Of one that is held the time begins with its start, which its reaper does not see.
            timeout: self.order.timeout.filter(|_| begin == Begin::AtOnce),
            timings: self.timings,
            deadline: begun + self.start_timeout,
            begin,
            fault: self.fault,
        };
        let mut networks = self.plan.settings.network.begin(&id);
        let attach = &mut |sent: &mut Vec<_>| networks.attach(sent);
        let started = ampoule_init::start_gated(&self.plan.program, &launch, attach)
            .map_err(|error| networks.explain(self.explained(error, &launch)))?;
        let networks = networks.attached();
        let names = (launch.argv.first().cloned(), directory(&launch).cloned());
        drop(launch);
        let mut container = self.container(started, streams, begun, names);
        (container.id, container.label, container.networks) = (id, label, networks);
        if let Some((group, above)) = group.and_then(Made::keep) {
            (container.group, container.above) = (Some(group), above);
        }
        let profile = container.plan.settings.apparmor.clone();
        if let Some(profile) = profile.filter(|_| container.waiting.is_none()) {
            profile.verify(&mut container)?;
        }
        Ok(container)
    }

    /// What the steps refer to; volumes have the label when they do.
    fn parameters(
        &self,
        current_dir: CString,
        label: Option<&Label>,
        group: Option<&Made>,
    ) -> Result<Vec<Parameter>, Error> {
        let mut parameters = vec![Parameter::Text(current_dir)];
        if let Some(label) = label {
            parameters.extend(label.parameters()?);
            self.plan.settings.relabelling.apply(label.mount())?;
        }
        group_paths::add(&mut parameters, &self.plan, group)?;
        Ok(parameters)
    }

    /// What a failed start says.
    fn explained(&self, error: ampoule_init::Error, launch: &InitLaunch<'_>) -> Error {
        let stage = error.step().and_then(|step| self.plan.stage_of(step));
        let error = explain(error, stage, launch);
        #[cfg(feature = "landlock")]
        let error = crate::landlock::explain(error, self.plan.settings.landlock.as_ref());
        error
    }

    /// Makes the handle.
    fn container(
        self,
        started: Started,
        streams: Vec<Stream>,
        begun: Instant,
        (program, current_dir): (Option<CString>, Option<CString>),
    ) -> Container {
        let mut host_ends = streams.into_iter().map(|stream| stream.host);
        let mut next = || host_ends.next().flatten();
        let by_host = self.plan.pid1() != Pid1::Reaper && started.held.is_none();
        let own_deadline = self.order.timeout.filter(|_| by_host);
        let own_deadline = own_deadline.and_then(|limit| begun.checked_add(limit));
        let timings =
            (self.timings == Wanted::On).then(|| Timings::of(&self.plan, &started, begun));
        let (mut pty, mut upper, mut listener, mut network) = (None, None, None, None);
        #[cfg(feature = "landlock")]
        let mut ruleset = None;
        for (what, fd) in started.fds {
            match what {
                terminal::MASTER => pty = Some(Pty::new(fd)),
                layers::UPPER => upper = Some(fd),
                network_at_end::COUNTERS => network = Some(fd),
                syscalls::LISTENER => listener = Some(Listener::from(fd)),
                #[cfg(feature = "landlock")]
                crate::landlock::RULESET => ruleset = Some(fd),
                _ => {}
            }
        }
        let waiting = started.held.map(|held| Waiting {
            held,
            program,
            directory: current_dir.unwrap_or_default(),
            timeout: self.order.timeout,
            start_timeout: self.start_timeout,
        });
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
            network,
            joined: Arc::default(),
            #[cfg(feature = "landlock")]
            ruleset,
            waiting,
        }
    }

    fn own_id(&self) -> String {
        let id = self.id.clone().or_else(|| self.plan.settings.id.clone());
        id.unwrap_or_else(crate::id::fresh)
    }

    /// The group of this launch.
    fn group(&self, id: &str) -> Result<Option<Made>, Error> {
        let plan = self.plan.settings.group.plan();
        let name = self.group_name.as_deref();
        plan.map(|group| group.make(id, self.plan.on_drop(), name)).transpose()
    }

    fn pid_namespace(&self) -> PidNamespace {
        match self.plan.settings.namespaces.get(Namespace::Pid) {
            Setting::New => PidNamespace::New,
            _ => PidNamespace::Other,
        }
    }

    /// The three streams; with a terminal they are empty, the payload gets the terminal instead.
    pub(crate) fn streams(&mut self, defaults: [fn() -> Stdio; 3]) -> Result<Vec<Stream>, Error> {
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
    pub(crate) fn texts(&self) -> Result<Texts, Error> {
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
