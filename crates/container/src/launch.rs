//! One launch of a plan: what differs each time.
//!
//! Kernel objects: none of its own; `launch_start` makes them. Invariant: a launch is used once.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ampoule_cgroups::Bytes;
use ampoule_init::{Begin, Fault, Timings as Wanted};
use ampoule_ns::Namespace;

use crate::command::Order;
use crate::container::Container;
use crate::environment::Environment;
use crate::error::Error;
use crate::exit::ExitStatus;
use crate::output::{self, Output};
use crate::plan::{Plan, Prepared};
use crate::stdio::Stdio;

/// How long a launch may take until the payload runs.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// One launch of a [`Plan`].
#[derive(Debug)]
pub struct Launch {
    pub(crate) plan: Arc<Prepared>,
    pub(crate) program: Option<OsString>,
    pub(crate) args: Option<Vec<OsString>>,
    pub(crate) environment: Option<Environment>,
    pub(crate) current_dir: Option<PathBuf>,
    pub(crate) order: Order,
    pub(crate) namespaces: Vec<(Namespace, OwnedFd)>,
    pub(crate) status_fd: Option<OwnedFd>,
    pub(crate) id: Option<String>,
    /// Its group's own name, in place of one that is made for it.
    pub(crate) group_name: Option<String>,
    /// A parked container to be used in place of a new one.
    pub(crate) parked: Option<Box<Container>>,
    pub(crate) start_timeout: Duration,
    pub(crate) timings: Wanted,
    pub(crate) fault: Option<Fault>,
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
            group_name: None,
            parked: None,
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
    /// Those of [`Stage::Launch`](crate::Stage::Launch) and later; [`Error::stage`] says how far it came.
    pub fn spawn(self) -> Result<Container, Error> {
        self.start([Stdio::inherit, Stdio::inherit, Stdio::inherit], Begin::AtOnce)
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
        self.start([Stdio::null, Stdio::piped, Stdio::piped], Begin::AtOnce)
    }

    /// Starts all but its program.
    pub(crate) fn hold(self) -> Result<Container, Error> {
        self.start([Stdio::inherit, Stdio::inherit, Stdio::inherit], Begin::Held)
    }

    /// Whether there is no program.
    pub(crate) fn is_idle(&self) -> bool {
        self.plan.is_idle() && self.program.is_none()
    }

    pub(crate) fn output_limit(&self) -> Bytes {
        self.order.output_limit()
    }
}
