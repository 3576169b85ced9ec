//! A bundle's container from its creation to its deletion, with its hooks.
//!
//! Kernel objects: none of its own. Invariant: hooks run at the times of the specification, each kind once, with the
//! configuration of the creation: what is written to the bundle later has no effect.

use std::path::{Path, PathBuf};

use ampoule_cgroups::limits::devices::container_rules;
use ampoule_cgroups::{DeviceAction, DeviceRule};
use ampoule_spec::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Config, Hook, HookRoot, Hooks, Inherited, SeccompListener};
use crate::created::RunState;
use crate::error::{Error, ErrorKind, Stage};
use crate::host;
use crate::process::Process;
use crate::state::{Details, Force, Kept, StateDirectory};

/// What a document says that is done later than the creation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Later {
    pub(crate) hooks: Hooks,
    pub(crate) listener: Option<SeccompListener>,
}

impl StateDirectory {
    /// [`StateDirectory::create`] for what a bundle says, with its hooks `prestart`, `createRuntime` and `createContainer`; the
    /// other kinds are kept for [`Kept::start_with_hooks`] and [`StateDirectory::delete_with_hooks`]. In a user namespace,
    /// where nobody can make device nodes, a rule that denies all devices needs no group.
    ///
    /// # Errors
    /// Those of [`StateDirectory::create`]; [`ErrorKind::Hook`] and the others of [`Hook::run`] and [`Hook::run_in`]. Then
    /// nothing is left.
    pub fn create_config(
        &self,
        id: &str,
        mut config: Config,
        bundle: &Path,
        inherited: Inherited,
    ) -> Result<Kept, Error> {
        if !host::makes_nodes() && denies_all_devices(&config.builder.limits.devices) {
            config.builder.limits.devices.clear();
        }
        let group = config.builder.cgroup_path.as_deref();
        let last = group.and_then(|path| path.rsplit('/').next()).map(str::to_owned);
        let scope = super::systemd::group(&config.builder);
        let details = Details {
            bundle: Some(std::path::absolute(bundle).unwrap_or_else(|_| PathBuf::from(bundle))),
            annotations: config.annotations.clone(),
            cgroup_name: last.filter(|name| !name.is_empty()).or(scope),
            later: Later { hooks: config.hooks.clone(), listener: config.listener.clone() },
        };
        let kept = self.create(id, inherited.pass(config.into_command()), details)?;
        let hooks = &kept.later().hooks;
        let state = kept.state_with(RunState::Creating);
        let ran = hooks
            .prestart
            .iter()
            .chain(&hooks.create_runtime)
            .try_for_each(|hook| hook.run(&state))
            .and_then(|()| kept.run_inside(&hooks.create_container, HookRoot::Host));
        match ran {
            Ok(()) => Ok(kept),
            Err(error) => {
                // The first error is the one to tell.
                drop(self.delete_with_hooks(id, Force::Yes));
                Err(error)
            }
        }
    }

    /// [`StateDirectory::delete`], and the hooks `poststop`. Gives what failed in these: the container is deleted then, too.
    ///
    /// # Errors
    /// Those of [`StateDirectory::delete`].
    pub fn delete_with_hooks(&self, id: &str, force: Force) -> Result<Vec<Error>, Error> {
        let kept = self.get(id);
        self.delete(id, force)?;
        Ok(kept.map_or_else(
            |_| Vec::new(),
            |kept| run_each(&kept.later().hooks.poststop, &kept.state_with(RunState::Stopped)),
        ))
    }
}

/// Whether no device can be opened but those that every container has. Nobody needs a group for it who cannot make nodes:
/// the kernel opens none that such a user made (user_namespaces(7)), and the container has no others but those that its
/// document mounts.
pub(super) fn denies_all_devices(rules: &[DeviceRule]) -> bool {
    let rules = rules.strip_suffix(container_rules().as_slice()).unwrap_or_default();
    let deny = DeviceRule::all(DeviceAction::Deny);
    !rules.is_empty() && rules.iter().all(|rule| *rule == deny)
}

impl Kept {
    /// [`Kept::start`], behind the hooks `startContainer`, and with what is done right behind it: the filter's listener goes
    /// to its agent, and the hooks `poststart` run. Gives what failed in these hooks: the container runs then, too.
    ///
    /// # Errors
    /// Those of [`Kept::start`], of [`Hook::run_in`] and of [`SeccompListener::send`]; after these the container has ended.
    pub fn start_with_hooks(&mut self) -> Result<Vec<Error>, Error> {
        self.start_behind(|kept| {
            kept.run_inside(&kept.later().hooks.start_container, HookRoot::Container)
        })?;
        let pid = self.pid().unwrap_or_default();
        if let (Some(agent), Some(listener)) = (&self.later().listener, &self.listener)
            && let Err(error) = agent.send(listener, pid, &self.oci_state())
        {
            // Nobody would answer its calls.
            drop(self.kill(rustix::process::Signal::KILL.as_raw()));
            return Err(error);
        }
        Ok(run_each(&self.later().hooks.poststart, &self.oci_state()))
    }

    /// Runs them in its namespaces, where its first process has the id that is seen there.
    fn run_inside(&self, hooks: &[Hook], root: HookRoot) -> Result<(), Error> {
        if hooks.is_empty() {
            return Ok(());
        }
        let mut state = self.state_with(match root {
            HookRoot::Host => RunState::Creating,
            HookRoot::Container => RunState::Created,
        });
        state["pid"] = json!(self.pid().and_then(innermost_id));
        let container = self.container()?;
        hooks.iter().try_for_each(|hook| hook.run_in(container, root, &state))
    }

    /// Sends the listener of a process that joined to the agent of the container's filter, as that of the payload is sent
    /// at its start. Nothing is sent where the filter does not notify or no agent is named.
    ///
    /// # Errors
    /// Those of [`SeccompListener::send`]: the process's calls fail with `ENOSYS` then.
    pub fn send_listener(&self, process: &mut Process) -> Result<(), Error> {
        let Some(agent) = &self.later().listener else { return Ok(()) };
        let Some(listener) = process.listener.take() else { return Ok(()) };
        agent.send(listener, process.pid(), &self.oci_state())
    }

    /// Its state as the specification writes it, and what engines and hooks read.
    #[must_use]
    pub fn oci_state(&self) -> Value {
        self.state_with(self.state())
    }

    fn state_with(&self, state: RunState) -> Value {
        let mut said = json!({
            "ociVersion": Version::NEWEST.to_string(),
            "id": self.id(),
            "status": state.to_string(),
            "pid": self.pid().filter(|_| state != RunState::Stopped).unwrap_or(0),
            "bundle": self.bundle().unwrap_or(Path::new("")),
        });
        if let (Value::Object(said), false) = (&mut said, self.annotations().is_empty()) {
            said.insert("annotations".to_owned(), json!(self.annotations()));
        }
        said
    }
}

/// The id of a process in its own pid namespace (proc_pid_status(5)).
fn innermost_id(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_whitespace().next_back()?.parse().ok()
}

/// Runs all of them; what failed.
fn run_each(hooks: &[Hook], state: &Value) -> Vec<Error> {
    hooks.iter().filter_map(|hook| hook.run(state).err()).collect()
}

/// Writes the id of a process to a file, as engines ask for it: the file is there at once and whole, or not at all.
///
/// # Errors
/// [`ErrorKind::FileSystem`] when it cannot be written.
pub fn write_pid_file(path: &Path, pid: u32) -> Result<(), Error> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let written = std::fs::write(&new, pid.to_string()).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| {
        // Not there, or of no use.
        drop(std::fs::remove_file(&new));
        Error::io(Stage::Running, "write of the pid file", &error)
            .about(path.display().to_string())
            .with_kind(ErrorKind::FileSystem)
    })
}
