//! One container that is written down.
//!
//! Kernel objects: a pidfd of its first process. Invariant: every operation looks at the state that the kernel shows, and
//! those that change it hold the lock of its directory.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use ampoule_cgroups::Group;
use ampoule_init::process::{self, wait_readable};
use ampoule_init::{Held, Tail};
use ampoule_seccomp::notify::Listener;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::container::{Container, END_LIMIT};
use crate::created::{RunState, wrong_state};
use crate::error::{Error, ErrorKind, Stage};
use crate::exit::{ExitStatus, Outcome, Usage};
use crate::launch_error::explain_named;
use crate::pid1::Pid1;
use crate::pty::Pty;
use crate::state::folder::Folder;
use crate::state::record::{Record, Start, Written};
use crate::state::{remains, reopen};

/// How long it may take until the program runs.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// `__WALL`: also children that send no SIGCHLD.
const ALL_CHILDREN: u32 = 0x4000_0000;

/// A container of a [`StateDirectory`](crate::StateDirectory). Dropping it changes nothing.
#[derive(Debug)]
pub struct Kept {
    /// This process's end of the terminal, from [`StateDirectory::create`](crate::StateDirectory::create) alone.
    pub pty: Option<Pty>,
    /// Where the calls wait that the filter lets the host decide, after [`Kept::start`].
    pub listener: Option<Listener>,
    pub(super) root: OwnedFd,
    pub(super) id: String,
    pub(super) record: Record,
    pub(super) init: Option<OwnedFd>,
    /// Made when it is asked for.
    container: OnceLock<Container>,
}

impl Kept {
    pub(crate) fn open(root: OwnedFd, id: &str, record: Record) -> Result<Self, Error> {
        let init = reopen::init(record.init, &record.boot)?;
        let (id, container) = (id.to_owned(), OnceLock::new());
        Ok(Self { pty: None, listener: None, root, id, record, init, container })
    }

    /// Takes over what the new container has for this process alone.
    pub(crate) fn take_streams(&mut self, container: &mut Container) {
        self.pty = container.pty.take();
        let _no_pipes: (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) =
            (container.stdin.take(), container.stdout.take(), container.stderr.take());
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Id of its first process in this pid namespace; none once that has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.record.init.filter(|_| self.lives()).map(|process| process.pid)
    }

    /// Descriptor of its first process, if that was there when this handle was made.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.init.as_ref().map(AsFd::as_fd)
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        self.record.created
    }

    /// The directory of its OCI bundle, if that was told.
    #[must_use]
    pub fn bundle(&self) -> Option<&Path> {
        self.record.bundle.as_deref()
    }

    /// Its annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.record.annotations
    }

    #[cfg(feature = "oci")]
    pub(crate) fn later(&self) -> &crate::oci::Later {
        &self.record.later
    }

    /// The container as it runs: to execute further processes in it, to pause, resume and update it, for its statistics,
    /// events, processes, files and namespaces. A process that is started by [`Container::exec`] goes on when its handle is
    /// dropped.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] when it has ended; those of a plan where its settings cannot be had any more.
    pub fn container(&self) -> Result<&Container, Error> {
        if let Some(container) = self.container.get() {
            return Ok(container);
        }
        let stopped = || wrong_state("use", RunState::Stopped);
        let init = self.init.as_ref().filter(|_| self.lives()).ok_or_else(stopped)?;
        let init = init.try_clone().map_err(|error| Error::io(Stage::Running, "dup", &error))?;
        let made = reopen::container(&self.record, init)?;
        Ok(self.container.get_or_init(|| made))
    }

    pub(super) fn lives(&self) -> bool {
        let ended = |init| wait_readable(init, Some(Instant::now())).unwrap_or(false);
        self.init.as_ref().is_some_and(|init| !ended(init))
    }

    /// Where it is in its life, as the kernel shows it now.
    #[must_use]
    pub fn state(&self) -> RunState {
        match self.record.written {
            Written::Creating => RunState::Creating,
            _ if !self.lives() => RunState::Stopped,
            Written::Created if self.waits() => RunState::Created,
            _ if self.is_frozen() => RunState::Paused,
            _ => RunState::Running,
        }
    }

    /// Whether somebody waits for its start.
    fn waits(&self) -> bool {
        let folder = Folder::open(&self.root, &self.id);
        folder.and_then(|folder| folder.connect()).is_ok_and(|socket| socket.is_some())
    }

    fn is_frozen(&self) -> bool {
        let group = reopen::group(self.record.group.as_ref()).ok().flatten();
        group.as_ref().is_some_and(is_frozen)
    }

    /// Starts its program; it runs when this returns `Ok`. When it returns `Err` for another reason than its state, the
    /// container has ended.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] unless it is created, [`ErrorKind::NotFound`] when it was deleted meanwhile; those of the
    /// program and of its filter as [`Container::start`].
    pub fn start(&mut self) -> Result<(), Error> {
        self.start_behind(|_| Ok(()))
    }

    /// As [`Kept::start`], with this before the program; when it fails, the container has ended.
    pub(crate) fn start_behind(
        &mut self,
        before: impl FnOnce(&Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let locked = Folder::open(&self.root, &self.id)?.lock(&self.root, &self.id)?;
        self.record = locked.0.read()?;
        // Somebody who waits for this is what tells a created container from a running one.
        let socket = match self.record.written {
            Written::Created if self.lives() => locked.0.connect()?,
            _ => None,
        };
        let socket = socket.ok_or_else(|| wrong_state("start", self.state()))?;
        let started = before(self).and_then(|()| self.go(Held::connected(socket)));
        let started = started.and_then(|()| self.look_at_profile());
        if started.is_err() {
            // The first error is the one to tell.
            drop(self.end_processes());
            return started;
        }
        self.record.written = Written::Started;
        // It runs, and nobody waits on the socket any more: a full disk changes nothing of that.
        drop(locked.write(&self.record));
        Ok(())
    }

    fn go(&mut self, held: Held) -> Result<(), Error> {
        let Start { first_step, steps, program, current_dir } = self.record.start.clone();
        let text = |text: &std::ffi::OsStr| CString::new(text.as_bytes()).unwrap_or_default();
        let (program, directory) = (text(&program), text(&current_dir));
        let tail = Tail { first: first_step, steps };
        let went = held.go(&tail, Instant::now() + START_TIMEOUT).map_err(|error| {
            explain_named(error, Some(Stage::Process), Some(&program), Some(&directory))
        })?;
        let listener = went.fds.into_iter().find(|(what, _)| *what == crate::syscalls::LISTENER);
        self.listener = listener.map(|(_, fd)| Listener::from(fd));
        Ok(())
    }

    /// Whether its payload has the AppArmor profile that was asked for.
    fn look_at_profile(&self) -> Result<(), Error> {
        if self.record.confinement.builder.apparmor_profile.is_none() {
            return Ok(());
        }
        match self.container() {
            Ok(container) => {
                let profile = container.plan.settings.apparmor.as_ref();
                profile.map_or(Ok(()), |profile| profile.look(container))
            }
            // One that has ended needs no profile any more.
            Err(_) if !self.lives() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends its payload a signal.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] when it has ended; as [`Container::kill`].
    pub fn kill(&self, signal: i32) -> Result<(), Error> {
        match self.lives() {
            true => self.container()?.kill(signal),
            false => Err(wrong_state("kill", self.state())),
        }
    }

    /// Waits for the end of its first process.
    ///
    /// # Errors
    /// [`ErrorKind::StatusLost`] when the status cannot be had: with [`Pid1::Payload`] this takes the process that created
    /// the container, or Linux 6.15 and a handle from before its end.
    pub fn wait(&self) -> Result<ExitStatus, Error> {
        let lost = || Error::new(ErrorKind::StatusLost, Stage::Running);
        let init = self.init.as_ref();
        if let Some(init) = init {
            wait_readable(init, None).map_err(|error| Error::io(Stage::Running, "poll", &error))?;
        }
        let seen = self.ended().unwrap_or_else(SystemTime::now);
        let age = seen.duration_since(self.record.created).unwrap_or_default();
        let outcome = if self.record.confinement.builder.pid1 == Pid1::Reaper {
            let text = Folder::open(&self.root, &self.id)?.exit_text();
            self.reap();
            text.as_deref().and_then(Outcome::from_line).ok_or_else(lost)?
        } else {
            let status = init.map_or(Ok(None), process::reap);
            let status = status.map_err(|error| Error::io(Stage::Running, "waitid", &error))?;
            Outcome::from_wait_status(status.ok_or_else(lost)?)
        };
        Ok(ExitStatus::new(outcome, Usage::default(), age))
    }

    /// Reaps the first process if it has ended and is this process's child.
    fn reap(&self) {
        if let Some(init) = &self.init {
            reap_ended(init);
        }
    }

    /// Kills all of its processes; its group, if there is one.
    pub(super) fn end_processes(&self) -> Result<Option<Group>, Error> {
        let deadline = Instant::now() + END_LIMIT;
        if let Some(init) = &self.init {
            let failed = |error: std::io::Error| Error::io(Stage::Running, "kill", &error);
            process::signal(init, Signal::KILL).map_err(failed)?;
        }
        let in_group = |error| Error::from_cgroups(Stage::Running, error);
        let group = reopen::group(self.record.group.as_ref())?;
        if let Some(group) = group.as_ref().filter(|group| is_frozen(group)) {
            // On v1 a frozen process ends only then.
            group.thaw().map_err(in_group)?;
        }
        if let Some(init) = &self.init {
            let failed = |error: std::io::Error| Error::io(Stage::Running, "poll", &error);
            let turn = || Instant::now() + Duration::from_millis(20);
            while !wait_readable(init, Some(turn())).map_err(failed)? {
                self.reap_joined();
                if Instant::now() > deadline {
                    return Err(Error::new(ErrorKind::NotEnding, Stage::Running)
                        .with_hint("whoever started a process in it has not waited for that"));
                }
            }
        }
        self.reap();
        // What is in no pid namespace of its own, or outlived its first process.
        group.as_ref().map_or(Ok(()), Group::kill).map_err(in_group)?;
        Ok(group)
    }

    /// Reaps this process's children in the container: the end of its pid namespace waits for each of them.
    fn reap_joined(&self) {
        let namespace = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
        let Some(own) = self.record.init.and_then(|init| namespace(init.pid).ok()) else { return };
        if namespace(std::process::id()).is_ok_and(|host| host == own) {
            return;
        }
        for pid in
            own_children().into_iter().filter(|pid| namespace(*pid).is_ok_and(|at| at == own))
        {
            let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let Some(Ok(pidfd)) = id.map(|id| pidfd_open(id, PidfdFlags::empty())) else {
                continue;
            };
            reap_ended(&pidfd);
        }
    }

    /// Ends what is left of it but its directory.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        // What was to join is over, and holds the place of its group.
        drop(self.container.take());
        let group = self.end_processes()?;
        remains::remove(group, self.record.group.as_ref())?;
        self.record.networks.take_away(&self.record.confinement.builder.networking)
    }
}

fn is_frozen(group: &Group) -> bool {
    group.freeze_state().is_ok_and(|state| state.is_frozen().unwrap_or(false))
}

/// Reaps a process that has ended, if it is this process's child.
fn reap_ended(pidfd: &OwnedFd) {
    let all = WaitIdOptions::from_bits_retain(ALL_CHILDREN);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | all;
    let _not_ours = waitid(WaitId::PidFd(pidfd.as_fd()), options).is_err();
}

/// The ids of this process's children, zombies included (proc_pid_children(5)).
fn own_children() -> Vec<u32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let ids = |list: String| list.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    lists.flatten().flat_map(|list| -> Vec<u32> { ids(list) }).collect()
}

impl Container {
    /// The process that runs the program, as far as it can be found from outside.
    pub(crate) fn payload_pid(&self) -> u32 {
        if self.plan.pid1() == Pid1::Payload {
            return self.pid;
        }
        let path = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = std::fs::read_to_string(path).unwrap_or_default();
        // Init's oldest child; orphans come behind it.
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(self.pid)
    }

    /// Whether it was found by its file: there is no control socket then.
    pub(crate) fn is_reopened(&self) -> bool {
        self.plan.is_reopened()
    }

    /// Signals the payload without a control socket.
    pub(crate) fn kill_by_pid(&self, signal: Signal) -> Result<(), Error> {
        let failed = |errno| Error::call(Stage::Running, "pidfd_open", errno);
        let pid = self.payload_pid();
        let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        let pidfd = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        // Still its child, so that the descriptor is not that of a later process with this id.
        if self.payload_pid() != pid || self.alive().is_err() {
            return Ok(());
        }
        process::signal(&pidfd, signal)
            .map_err(|error| Error::io(Stage::Running, "pidfd_send_signal", &error))
    }
}
