//! What runs in a container, with the names of `std::process::Command`.
//!
//! Invariant: nothing is opened, resolved or checked before [`Command::plan`].

use ampoule_cgroups::Bytes;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use crate::builder::Builder;
use crate::container::Container;
use crate::error::Error;
use crate::exit::ExitStatus;
use crate::launch::Launch;
use crate::output::Output;
use crate::plan::Plan;
use crate::pty::WindowSize;
use crate::stdio::Stdio;

/// How much of each stream is kept unless another limit is chosen.
const OUTPUT_MAX: Bytes = Bytes::mib(64);

/// A program to run in a container.
#[derive(Debug)]
pub struct Command {
    pub(crate) builder: Builder,
    pub(crate) program: Option<OsString>,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    pub(crate) env_clear: EnvClear,
    pub(crate) current_dir: Option<PathBuf>,
    /// Why there is no program, where an image was to name it.
    #[cfg(feature = "image")]
    pub(crate) unnamed: Option<crate::from_image::Unnamed>,
    order: Order,
}

/// Whether the default environment is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EnvClear {
    #[default]
    Keep,
    Clear,
    /// But the home of the user.
    #[cfg(feature = "oci")]
    ButHome,
}

/// What goes to the launch: streams, descriptors and limits are not part of a plan.
#[derive(Debug, Default)]
pub(crate) struct Order {
    pub(crate) stdio: [Option<Stdio>; 3],
    pub(crate) fds: Vec<(u16, OwnedFd)>,
    pub(crate) tty: Option<WindowSize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) output_max: Option<Bytes>,
}

impl Order {
    /// How much of each stream is kept.
    pub(crate) fn output_limit(&self) -> Bytes {
        self.output_max.unwrap_or(OUTPUT_MAX)
    }
}

impl Command {
    pub(crate) fn new(builder: Builder, program: OsString) -> Self {
        Self { program: Some(program), ..Self::idle(builder) }
    }

    pub(crate) fn idle(builder: Builder) -> Self {
        Self {
            builder,
            program: None,
            args: Vec::new(),
            env: Vec::new(),
            env_clear: EnvClear::default(),
            current_dir: None,
            #[cfg(feature = "image")]
            unnamed: None,
            order: Order::default(),
        }
    }

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

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Sets variables of the environment.
    #[must_use]
    pub fn envs(
        self,
        vars: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Self {
        vars.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }

    /// Takes a variable out of the environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Starts from an empty environment, without the defaults and the builder's variables.
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

    /// The working directory, a path in the container's root; `/` by default.
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

    /// Gives the payload a terminal of its own for its three streams; the other end is [`Container::pty`].
    #[must_use]
    pub fn tty(mut self, size: WindowSize) -> Self {
        self.order.tty = Some(size);
        self
    }

    /// Hands the payload a descriptor with this number.
    #[must_use]
    pub fn fd(mut self, number: u16, fd: impl Into<OwnedFd>) -> Self {
        self.order.fds.push((number, fd.into()));
        self
    }

    /// Kills everything when the payload has run this long; kept by init, whether or not the host waits.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.order.timeout = Some(limit);
        self
    }

    /// The most that [`Command::output`] keeps of each stream, 64 MiB by default; more kills the payload.
    #[must_use]
    pub fn output_max(mut self, limit: Bytes) -> Self {
        self.order.output_max = Some(limit);
        self
    }

    /// Checks everything, opens what is needed and puts the steps in order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidSettings`] with every problem; the others of [`crate::Stage::Plan`].
    pub fn plan(&self) -> Result<Plan, Error> {
        Plan::new(self)
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Command::plan`] and [`Launch::spawn`].
    pub fn spawn(self) -> Result<Container, Error> {
        self.into_launch()?.spawn()
    }

    /// Runs it to its end, streams inherited by default.
    ///
    /// # Errors
    /// As [`Command::spawn`] and [`Container::wait`].
    pub fn status(self) -> Result<ExitStatus, Error> {
        self.into_launch()?.status()
    }

    /// Runs it to its end and collects what it writes; output streams are piped and input is empty by default.
    ///
    /// # Errors
    /// As [`Command::spawn`] and [`Container::wait`].
    pub fn output(self) -> Result<Output, Error> {
        self.into_launch()?.output()
    }

    /// Size of the terminal, if there is to be one.
    pub(crate) fn window_size(&self) -> Option<WindowSize> {
        self.order.tty
    }

    /// Numbers of further descriptors.
    pub(crate) fn fd_numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.order.fds.iter().map(|(number, _)| *number)
    }

    /// How much of each stream is kept.
    #[cfg(feature = "tokio")]
    pub(crate) fn output_limit(&self) -> Bytes {
        self.order.output_limit()
    }

    /// Whether there is a time limit.
    pub(crate) fn has_timeout(&self) -> bool {
        self.order.timeout.is_some()
    }

    /// Whether a stream is a pipe to this process.
    pub(crate) fn has_pipes(&self) -> bool {
        self.order.stdio.iter().flatten().any(Stdio::is_piped)
    }

    /// The launch, and what the plan was made of.
    pub(crate) fn into_parts(mut self) -> Result<(Launch, Self), Error> {
        let plan = self.plan()?;
        Ok((Launch::new(&plan, std::mem::take(&mut self.order)), self))
    }

    /// Plans, and hands over what belongs to the launch.
    pub(crate) fn into_launch(mut self) -> Result<Launch, Error> {
        let plan = self.plan()?;
        Ok(Launch::new(&plan, std::mem::take(&mut self.order)))
    }
}
