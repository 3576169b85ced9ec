//! Descriptors that a runtime's caller hands through to the payload.
//!
//! Kernel objects: duplicates (pidfd_getfd(2) of this process itself, Linux 5.6). Invariant: only what this process was
//! started with goes on; what it has opened itself never does.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::command::Command;
use crate::error::{Error, Problem, Stage};
use crate::exec::Exec;

/// Descriptors from 3 on that the payload gets under the same numbers.
#[derive(Debug, Default)]
pub struct Inherited {
    fds: Vec<(u16, OwnedFd)>,
    env: Vec<(OsString, OsString)>,
}

impl Inherited {
    /// This many from 3 on, behind those of socket activation (sd_listen_fds(3)): `LISTEN_FDS` in the environment of this
    /// process says how many these are, and the payload is told the same, with itself as `LISTEN_PID`.
    ///
    /// # Errors
    /// [`InvalidSettings`](crate::ErrorKind::InvalidSettings) when one of them is not open, or was not inherited.
    pub fn collect(preserved: u16) -> Result<Self, Error> {
        let failed = |what| move |errno| Error::call(Stage::Plan, what, errno);
        let listening = std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse().ok());
        let listening: u16 = listening.unwrap_or(0);
        let mut inherited = Self::default();
        if listening > 0 {
            let number = std::env::var_os("LISTEN_FDS").unwrap_or_default();
            inherited.env.push(("LISTEN_FDS".into(), number));
            inherited.env.push(("LISTEN_PID".into(), "1".into()));
            let names = std::env::var_os("LISTEN_FDNAMES");
            inherited.env.extend(names.map(|names| ("LISTEN_FDNAMES".into(), names)));
        }
        let wanted = listening.saturating_add(preserved);
        if wanted == 0 {
            return Ok(inherited);
        }
        let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(failed("pidfd_open"))?;
        for number in 3..wanted.saturating_add(3) {
            if own.as_raw_fd() == i32::from(number) || !is_inherited(number) {
                let reason = format!("descriptor {number} was not given to this process");
                return Err(Error::invalid(vec![Problem::new("preserve-fds", reason)]));
            }
            let fd = pidfd_getfd(&own, i32::from(number), PidfdGetfdFlags::empty());
            let fd = fd.map_err(failed("pidfd_getfd"))?;
            inherited.fds.push((number, ampoule_init::above_stdio(fd)?));
        }
        Ok(inherited)
    }

    pub(crate) fn pass(self, command: Command) -> Command {
        let command = self.fds.into_iter().fold(command, |to, (number, fd)| to.fd(number, fd));
        command.envs(self.env)
    }

    /// Gives them to a further process.
    #[must_use]
    pub fn pass_to(self, exec: Exec<'_>) -> Exec<'_> {
        let exec = self.fds.into_iter().fold(exec, |to, (number, fd)| to.fd(number, fd));
        exec.envs(self.env)
    }
}

/// Whether it is open and not to be closed by an exec, as everything is that was opened here.
fn is_inherited(number: u16) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & rustix::fs::OFlags::CLOEXEC.bits() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_here_is_not_inherited() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_inherited(u16::try_from(file.as_raw_fd()).unwrap()));
        assert!(!is_inherited(u16::MAX));
        assert!(is_inherited(0));
    }
}
