//! Hooks in the namespaces of a container whose program has not been started.
//!
//! Kernel objects: one process that joins the container. Invariant: no program of the container has run yet, so that
//! nothing in it can reach what a hook brings in.

use ampoule_ns::{Capabilities, Capability, CapabilitySet, User};
use serde_json::Value;

use super::Hook;
use crate::container::Container;
use crate::error::{Error, Stage};
use crate::exec_attributes::Purpose;
use crate::origin::NewPrivileges;
use crate::stdio::Stdio;

/// Whose file the program of a hook is that runs in a container's namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookRoot {
    /// The host's (`createContainer`). The process has the host's root; it is user 0 with all capabilities, where the
    /// container has that user, and the container's filter and labels are not its own.
    Host,
    /// The container's (`startContainer`). The process is confined as the payload will be.
    Container,
}

impl Hook {
    /// Runs it in the namespaces of a created container with this state on its standard input, and waits for its end.
    ///
    /// # Errors
    /// Those of [`Exec::spawn`](crate::Exec::spawn) when it cannot be started; [`Hook`](crate::ErrorKind::Hook) when it
    /// fails, or its time is over.
    pub fn run_in(
        &self,
        container: &Container,
        root: HookRoot,
        state: &Value,
    ) -> Result<(), Error> {
        let mut exec = container.exec(&self.path).args(self.args.iter().skip(1));
        exec.arg0 = self.args.first().cloned();
        let identity = &container.plan.settings.identity;
        if root == HookRoot::Host {
            exec.own.purpose = Purpose::HostHook;
            // It has every capability already.
            exec.own.new_privileges = Some(NewPrivileges::Forbidden);
            if identity.has_root() {
                exec = exec.user(User::ids(0, 0)).capabilities(all(container)?);
            }
        } else {
            exec.own.purpose = Purpose::Hook;
        }
        let exec = exec.env_clear().envs(self.env.iter().cloned()).current_dir("/");
        let exec = exec.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let exec = exec.stdin_bytes(state.to_string());
        let exec = self.timeout.into_iter().fold(exec, crate::Exec::timeout);
        let status = exec.status()?;
        if status.success() { Ok(()) } else { Err(self.error(&status.to_string())) }
    }
}

/// All that can be had: in a user namespace that is entered every one, else those of this process.
fn all(container: &Container) -> Result<Capabilities, Error> {
    let settings = &container.plan.settings;
    let own = rustix::thread::capabilities(None)
        .map_err(|errno| Error::call(Stage::Launch, "capget", errno))?;
    let own = own.permitted.bits();
    let has = |one: &Capability| settings.enters_user_namespace() || own >> one.number() & 1 == 1;
    let permitted: CapabilitySet = settings.known.iter().filter(has).collect();
    let none = CapabilitySet::default();
    Ok(Capabilities { bounding: permitted, permitted, inheritable: none, ambient: none })
}
