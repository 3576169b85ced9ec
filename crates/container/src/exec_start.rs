//! The start of a process that joins.
//!
//! Kernel objects: one launch. Invariant: a process that was started is known to the container's handle before anybody
//! can wait for the container.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use ampoule_init::{Begin, First, Launch, PidNamespace, Started, Timings};
use ampoule_seccomp::notify::Listener;

use crate::children::Child;
use crate::error::{Error, ErrorKind};
use crate::exec::{Ready, Streams};
use crate::joining;
use crate::launch_error::explain;
use crate::process::Process;
use crate::pty::Pty;
use crate::stdio::{self, Stdio, Stream};
use crate::syscalls;
use crate::terminal;

impl Ready {
    pub(crate) fn start(mut self, defaults: [fn() -> Stdio; 3]) -> Result<Process, Error> {
        let null: fn() -> Stdio = Stdio::null;
        let empty = self.order.tty.is_some() || self.streams == Streams::Empty;
        let defaults = if empty { [null; 3] } else { defaults };
        let streams = stdio::open_all(std::mem::take(&mut self.order.stdio), defaults)?;
        let started = {
            let _no_pause = self.joined.starting();
            joining::wait_until_thawed(self.freeze_state.as_ref(), self.deadline)?;
            self.launch(&streams)?
        };
        Ok(self.process(started, streams))
    }

    fn launch(&self, streams: &[Stream]) -> Result<Started, Error> {
        let numbers = self.order.fds.iter().map(|(number, fd)| (i32::from(*number), fd.as_fd()));
        let payload_fds: Vec<(i32, BorrowedFd<'_>)> =
            (0..).zip(streams.iter().map(|stream| stream.payload.as_fd())).chain(numbers).collect();
        let launch = Launch {
            argv: self.texts.argv.clone(),
            env: self.texts.env.clone(),
            paths: self.texts.paths.clone(),
            parameters: self.parameters.clone(),
            payload_fds,
            fds: self.joining.fds().collect(),
            host: None,
            status: None,
            kept: None,
            first: First::Payload,
            pid_namespace: PidNamespace::Joined,
            timeout: None,
            timings: Timings::Off,
            deadline: self.deadline,
            begin: Begin::AtOnce,
            fault: self.fault,
        };
        ampoule_init::start(&self.plan.program, &launch).map_err(|error| {
            let stage = error.step().and_then(|step| self.plan.stage_of(step));
            let error = explain(error, stage, &launch);
            let late = error.kind() == ErrorKind::StartTimeout;
            match late && joining::is_frozen(self.freeze_state.as_ref()) {
                true => joining::frozen(error),
                false => error,
            }
        })
    }

    /// Makes the handle.
    fn process(self, started: Started, streams: Vec<Stream>) -> Process {
        let mut host_ends = streams.into_iter().map(|stream| stream.host);
        let mut next = || host_ends.next().flatten();
        let (mut pty, mut listener) = (None, None);
        for (what, fd) in started.fds {
            match what {
                terminal::MASTER => pty = Some(Pty::new(fd)),
                syscalls::LISTENER => listener = Some(Listener::from(fd)),
                _ => {}
            }
        }
        Process {
            stdin: next().map(ChildStdin::from),
            stdout: next().map(ChildStdout::from),
            stderr: next().map(ChildStderr::from),
            pty,
            listener,
            child: self.joined.children.add(Child::new(started.pid, started.pidfd)),
            begun: self.begun,
            deadline: self.order.timeout.and_then(|limit| self.begun.checked_add(limit)),
            on_drop: self.on_drop,
            ended: None,
        }
    }
}
