//! A further process in a running container.
//!
//! Kernel objects: those of one launch; the process is a child of the host and stands in the container's namespaces.
//! Invariant: it is confined as the container's payload is, and it never holds more than that while a process of the
//! container could see it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ampoule_cgroups::{Bytes, FreezeState};
use ampoule_init::{Fault, Parameter};
use ampoule_ns::layered_root::LayeredRoot;
use ampoule_ns::{Capabilities, CapabilitySet, Namespace, ResolvedUser, Setting, User};
use std::os::fd::AsFd;

use crate::command::{EnvClear, Order};
use crate::container::Container;
use crate::environment::{Environment, Texts};
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::exec_attributes::Own;
use crate::exec_plan::{ExecPlan, Joiner};
use crate::exit::ExitStatus;
use crate::identity::default_capabilities;
use crate::joining::{self, Joined, Joining};
use crate::output::{self, Output};
use crate::plan::Prepared;
use crate::process::Process;
use crate::pty::WindowSize;
use crate::stdio::Stdio;

/// How long it may take until the program runs.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A program to run in a running container, with the names of [`std::process::Command`].
///
/// Its user, capabilities, limits, environment and directory are those of the container's payload unless it says
/// otherwise; so are no_new_privs and whatever else confines the payload.
#[derive(Debug)]
pub struct Exec<'a> {
    container: &'a Container,
    program: OsString,
    pub(crate) arg0: Option<OsString>,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    env_clear: EnvClear,
    current_dir: Option<PathBuf>,
    user: Option<User>,
    capabilities: Option<Capabilities>,
    pub(crate) own: Own,
    order: Order,
    start_timeout: Duration,
    fault: Option<Fault>,
}

impl Container {
    /// A further process in the container, which must have a pid namespace of its own.
    ///
    /// Its end does not end what it started in the container; that ends with the container.
    #[must_use]
    pub fn exec(&self, program: impl Into<OsString>) -> Exec<'_> {
        Exec {
            container: self,
            program: program.into(),
            arg0: None,
            args: Vec::new(),
            env: Vec::new(),
            env_clear: EnvClear::Keep,
            current_dir: None,
            user: None,
            capabilities: None,
            own: Own::default(),
            order: Order::default(),
            start_timeout: START_TIMEOUT,
            fault: None,
        }
    }
}

impl Exec<'_> {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable on top of the container's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Sets variables on top of the container's environment.
    #[must_use]
    pub fn envs(
        self,
        vars: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        vars.into_iter().fold(self, |exec, (name, value)| exec.env(name, value))
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment, without the container's.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env.clear();
        self.env_clear = EnvClear::Clear;
        self
    }

    /// Starts from an environment with the user's home alone.
    #[cfg(feature = "oci")]
    pub(crate) fn only_home(mut self) -> Self {
        self.env.clear();
        self.env_clear = EnvClear::ButHome;
        self
    }

    /// The working directory, a path in the container's root; the payload's first one by default.
    #[must_use]
    pub fn current_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(path.into());
        self
    }

    /// Another user than the payload's. A name is looked up in the container's root as it is now; `HOME` becomes the
    /// user's, and the capabilities are the usual ones for this user unless [`Exec::capabilities`] says otherwise.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// Other capabilities than the payload's.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = Some(capabilities);
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

    /// Gives it a terminal of the container for its three streams; the other end is [`Process::pty`].
    #[must_use]
    pub fn tty(mut self, size: WindowSize) -> Self {
        self.order.tty = Some(size);
        self
    }

    /// Hands it a descriptor with this number.
    #[must_use]
    pub fn fd(mut self, number: u16, fd: impl Into<OwnedFd>) -> Self {
        self.order.fds.push((number, fd.into()));
        self
    }

    /// Kills it, but not what it started, when it has run this long; kept while somebody waits for it.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.order.timeout = Some(limit);
        self
    }

    /// The most that [`Exec::output`] keeps of each stream, 64 MiB by default; more kills it.
    #[must_use]
    pub fn output_max(mut self, limit: Bytes) -> Self {
        self.order.output_max = Some(limit);
        self
    }

    /// How long it may take until the program runs, 10 s by default. A frozen container lets that time pass.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// Lets one operation fail, for tests of the library.
    #[doc(hidden)]
    #[must_use]
    pub fn inject_fault(mut self, operation: u32, outcome: u32) -> Self {
        self.fault = Some(Fault { operation, outcome });
        self
    }

    /// How many operations it takes; for tests that let each one fail.
    #[doc(hidden)]
    pub fn operations(&self) -> Result<usize, Error> {
        Ok(self.plan(&*self.container.joining()?)?.1.program.operations())
    }

    /// Its steps, one line for each.
    #[doc(hidden)]
    pub fn steps(&self) -> Result<String, Error> {
        Ok(self.plan(&*self.container.joining()?)?.1.program.to_string())
    }

    /// Starts it; its program runs when this returns `Ok`, and nothing of it is left when it returns `Err`.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] when the container has ended, [`ErrorKind::StartTimeout`] also when it is frozen,
    /// [`ErrorKind::User`] for a name that its root does not know, [`ErrorKind::Unsupported`] for a container without a
    /// pid namespace of its own, those of the program as [`crate::Launch::spawn`].
    pub fn spawn(self) -> Result<Process, Error> {
        self.start([Stdio::inherit, Stdio::inherit, Stdio::inherit])
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Exec::spawn`] and [`Process::wait`].
    pub fn status(self) -> Result<ExitStatus, Error> {
        self.spawn()?.wait()
    }

    /// Runs it to its end and collects what is written until then; output streams are piped and input is empty by
    /// default.
    ///
    /// # Errors
    /// As [`Exec::spawn`] and [`Process::wait`].
    pub fn output(self) -> Result<Output, Error> {
        let limit = self.order.output_limit();
        output::collect(self.start([Stdio::null, Stdio::piped, Stdio::piped])?, limit)
    }

    fn start(self, defaults: [fn() -> Stdio; 3]) -> Result<Process, Error> {
        let begun = Instant::now();
        let container = self.container;
        let deadline = begun + self.start_timeout;
        let state = container.freeze_state();
        // A frozen init would not answer either.
        joining::wait_until_thawed(state.as_ref(), deadline)?;
        // What is wrong with the settings is told before what the machine has not.
        self.own.check(&container.plan.settings)?;
        let profile = self.own.apparmor(&container.plan.settings)?;
        let started = self.ready(state, begun).and_then(|ready| ready.start(defaults));
        let mut process = started.map_err(|error| {
            let error = container.or_ended(error);
            #[cfg(feature = "landlock")]
            let error = crate::landlock::explain(error, container.plan.settings.landlock.as_ref());
            error
        })?;
        if let Some(profile) = &profile {
            profile.verify_joined(&mut process)?;
        }
        Ok(process)
    }

    /// Everything that the start needs.
    fn ready(
        mut self,
        freeze_state: Option<Arc<FreezeState>>,
        begun: Instant,
    ) -> Result<Ready, Error> {
        let container = self.container;
        check(&container.plan, &self.order)?;
        container.alive()?;
        let joining = match self.own.purpose.is_of_host() {
            true => Arc::new(container.joining_with(joining::host_root()?)?),
            false => container.joining()?,
        };
        let (user, plan) = self.plan(&joining)?;
        let texts = self.texts(&user)?;
        let mut parameters = vec![Parameter::Text(texts.current_dir.clone())];
        // Its pair is held by whoever has it: this process takes none.
        let own = self.own.selinux_label.as_ref().map(crate::selinux::of_process).transpose()?;
        if let Some(label) = own.as_ref().or(container.label.as_ref()) {
            parameters.extend(label.parameters()?);
        }
        Ok(Ready {
            texts,
            parameters,
            joining,
            plan,
            freeze_state,
            order: std::mem::take(&mut self.order),
            joined: Arc::clone(&container.joined),
            on_drop: container.on_drop,
            streams: Streams::of(container),
            begun,
            deadline: begun + self.start_timeout,
            fault: self.fault,
        })
    }

    /// The user, and the program of such a process.
    fn plan(&self, joining: &Joining) -> Result<(ResolvedUser, Arc<ExecPlan>), Error> {
        let prepared = &self.container.plan;
        let identity = &prepared.settings.identity;
        self.own.check(&prepared.settings)?;
        let user = match &self.user {
            None => identity.user.clone(),
            Some(user) => {
                let root = LayeredRoot::new([joining.root.as_fd()]);
                user.resolve(&root).map_err(|error| Error::from_ns(Stage::Launch, error))?
            }
        };
        identity.check_mapped(&user)?;
        let same = user.uid == identity.user.uid;
        let usual = if same { Some(identity.capabilities) } else { identity.asked };
        let usual = self.capabilities.or(usual);
        let mut capabilities = usual.unwrap_or_else(|| default_capabilities(user.uid));
        let known: CapabilitySet = prepared.settings.known;
        capabilities.bounding = capabilities.bounding.intersection(known);
        capabilities.validate().map_err(|error| Error::from_ns(Stage::Launch, error))?;
        let (tty, own) = (self.order.tty, self.own.clone());
        let apparmor = own.apparmor(&prepared.settings)?;
        let joiner = Joiner { user: user.clone(), capabilities, tty, own, apparmor };
        Ok((user, prepared.execs.get(prepared, joiner)?))
    }

    fn texts(&self, user: &ResolvedUser) -> Result<Texts, Error> {
        let plan = &self.container.plan;
        let mut environment = match self.env_clear {
            EnvClear::Clear => Environment::default(),
            #[cfg(feature = "oci")]
            EnvClear::ButHome => Environment::only_home(user),
            EnvClear::Keep => plan.environment.clone(),
        };
        if self.user.is_some() && self.env_clear == EnvClear::Keep {
            environment.set("HOME".into(), crate::identity::home(user).into());
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => environment.set(name.clone(), value.clone()),
                None => environment.remove(name),
            }
        }
        let mut texts = Texts::new(Vec::new());
        texts.environment(&environment);
        texts.program(&self.program, &self.args);
        texts.arg0(self.arg0.as_ref());
        texts.current_dir(self.current_dir.as_deref(), &plan.current_dir);
        texts.checked()
    }
}

/// What cannot be, whatever the container does.
fn check(plan: &Prepared, order: &Order) -> Result<(), Error> {
    // What a container leaves that is written down ends with its group.
    let own = *plan.settings.namespaces.get(Namespace::Pid) == Setting::New;
    if !own && !plan.is_reopened() {
        return Err(Error::new(ErrorKind::Unsupported, Stage::Launch)
            .about("exec into a container without a pid namespace of its own")
            .with_hint("nothing would end what the process leaves behind; launch the plan again"));
    }
    if order.fds.iter().any(|(number, _)| *number < 3) {
        let problem = Problem::new("fd", "0, 1 and 2 are stdin, stdout and stderr");
        return Err(Error::invalid(vec![problem]));
    }
    if order.tty.is_some() && *plan.settings.namespaces.get(Namespace::Mount) == Setting::Host {
        let problem = Problem::new("tty", "the container has no /dev of its own");
        return Err(Error::invalid(vec![problem]));
    }
    Ok(())
}

/// What the streams are unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// As [`std::process`] has them.
    Usual,
    /// Empty: the container outlives this process by choice of this process.
    Empty,
}

impl Streams {
    fn of(container: &Container) -> Self {
        let detached = container.on_drop == crate::container::OnDrop::Detach;
        if detached && !container.is_reopened() { Self::Empty } else { Self::Usual }
    }
}

/// A process that is about to start.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) texts: Texts,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) joining: Arc<Joining>,
    pub(crate) plan: Arc<ExecPlan>,
    pub(crate) freeze_state: Option<Arc<FreezeState>>,
    pub(crate) order: Order,
    pub(crate) joined: Arc<Joined>,
    pub(crate) on_drop: crate::container::OnDrop,
    pub(crate) streams: Streams,
    pub(crate) begun: Instant,
    pub(crate) deadline: Instant,
    pub(crate) fault: Option<Fault>,
}
