//! Programs that others let a runtime run at points of a container's life.
//!
//! Kernel objects: processes of the caller, in its namespaces or in the container's. Invariant: a hook that is waited for has ended, or was killed, when its run
//! returns; none gets descriptors of the caller but its three streams.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Stage};

/// The hooks of all kinds, each in the order of the document.
///
/// Who creates and starts the container runs them, each at its time, with the state of the container at that time: those
/// of the caller's namespaces by [`Hook::run`], the others by [`Hook::run_in`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Hooks {
    /// Once the namespaces are there, before the start; what fails ends the container.
    pub prestart: Vec<Hook>,
    /// After these, the same.
    pub create_runtime: Vec<Hook>,
    /// After these, in the container's namespaces, with the host's root: the path is one of the host's.
    pub create_container: Vec<Hook>,
    /// Before the program is started, in the container's namespaces and root; what fails ends the container.
    pub start_container: Vec<Hook>,
    /// Once the program was started; what fails is told, and the rest go on.
    pub poststart: Vec<Hook>,
    /// Once the container was deleted; what fails is told, and the rest go on.
    pub poststop: Vec<Hook>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hook {
    /// The program; absolute.
    pub path: PathBuf,
    /// Its arguments, its own name first; without any, the path is its name.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// After this time its process group is killed, which is a failure.
    pub timeout: Option<Duration>,
}

/// How often it is looked whether one with a time limit has ended.
const PAUSE: Duration = Duration::from_millis(2);

impl Hooks {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Hook {
    /// Runs it with this state on its standard input, and waits for its end.
    ///
    /// # Errors
    /// [`ProgramNotFound`](ErrorKind::ProgramNotFound), [`PermissionDenied`](ErrorKind::PermissionDenied) and the like
    /// when it cannot be started; [`Hook`](ErrorKind::Hook) when it fails, or its time is over.
    pub fn run(&self, state: &Value) -> Result<(), Error> {
        let mut command = Command::new(&self.path);
        if let Some((name, rest)) = self.args.split_first() {
            command.arg0(name).args(rest);
        }
        // What it has started ends with it when its time is over.
        command.process_group(0).env_clear().envs(self.env.iter().cloned()).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let made = Error::io(Stage::Running, "spawn", &error).about(self.name());
            match error.kind() {
                std::io::ErrorKind::NotFound => made.with_kind(ErrorKind::ProgramNotFound),
                _ => made,
            }
        })?;
        if let Some(mut input) = child.stdin.take() {
            // One that does not read it may end without doing so.
            let _unread = input.write_all(state.to_string().as_bytes());
        }
        self.wait(&mut child)
    }

    fn wait(&self, child: &mut Child) -> Result<(), Error> {
        let failed = |error| Error::io(Stage::Running, "wait for a hook", &error);
        let end = self.timeout.map(|limit| Instant::now() + limit);
        let status = loop {
            match end {
                None => break child.wait().map_err(failed)?,
                Some(end) => match child.try_wait().map_err(failed)? {
                    Some(status) => break status,
                    None if Instant::now() < end => std::thread::sleep(PAUSE),
                    None => {
                        kill_process_group(Pid::from_child(child), Signal::KILL)
                            .map_err(|errno| Error::call(Stage::Running, "kill", errno))?;
                        child.wait().map_err(failed)?;
                        return Err(self.error("did not end in its time"));
                    }
                },
            }
        };
        if status.success() { Ok(()) } else { Err(self.error(&status.to_string())) }
    }

    pub(super) fn name(&self) -> String {
        format!("hook {}", self.path.display())
    }

    pub(super) fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::Hook, Stage::Running).about(format!("{}: {what}", self.name()))
    }
}
