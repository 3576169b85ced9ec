//! From what a file says to a handle of the container, and back.
//!
//! Kernel objects: a pidfd of the first process, descriptors of its group. Invariant: a process is taken for the
//! container's first one only if it was started when the file says.

use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use ampoule_cgroups::events::Above;
use ampoule_cgroups::{Group, Hierarchies, Life, Place, owned_name};
use ampoule_init::Tail;
use ampoule_ns::{IdMapping, IdOrName, User};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::builder::Builder;
use crate::command::Command;
use crate::container::{Container, OnDrop};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Stage};
use crate::launch::Launch;
use crate::layers::InMemory;
use crate::network::Attached;
use crate::origin::Origin;
use crate::plan::Prepared;
use crate::state::joining_plan;
use crate::state::record::{
    Confinement, Grouped, Process, Record, Start, Who, boot_id, start_time,
};

/// What a process that joins must know, from the plan and its command.
pub(crate) fn confinement(command: Command, plan: &Prepared) -> Confinement {
    let identity = &plan.settings.identity;
    let user = Who::of(&identity.user);
    let namespaces = plan.settings.namespaces.clone();
    let builder = command.builder;
    let id_map = identity.maps.as_ref().map(|(map, _)| map.clone());
    let id_mapping = id_map.clone().map_or(builder.id_mapping, IdMapping::Explicit);
    let mut builder = Builder {
        namespaces,
        id_mapping,
        user: Some(numbers(&user)),
        origin: Origin::Bare,
        mounts: Vec::new(),
        files: Vec::new(),
        links: Vec::new(),
        masked: None,
        read_only_paths: None,
        sysctls: Vec::new(),
        ..builder
    };
    #[cfg(feature = "image")]
    {
        builder.image = None;
    }
    builder.env = Vec::new();
    builder.on_drop = OnDrop::Detach;
    let env = plan.environment.iter().cloned().collect();
    let current_dir = OsString::from_vec(plan.current_dir.clone().into_bytes());
    let own_root = plan.settings.root.is_some();
    Confinement { builder, own_root, user, id_map, env, current_dir, label: None }
}

/// What is to be told of its start.
pub(crate) fn start_of(tail: Tail, program: Option<CString>, current_dir: CString) -> Start {
    let text = |text: CString| OsString::from_vec(text.into_bytes());
    Start {
        first_step: tail.first,
        steps: tail.steps,
        program: program.map(text).unwrap_or_default(),
        current_dir: text(current_dir),
    }
}

/// Its group, if it is there.
pub(crate) fn group(grouped: Option<&Grouped>) -> Result<Option<Group>, Error> {
    let Some(Grouped { places, name }) = grouped else { return Ok(None) };
    let found = Hierarchies::detect()
        .and_then(|hierarchies| Place::reopen(&hierarchies, places))
        .and_then(|place| Group::open(&place, name));
    match found {
        Ok(group) => Ok(Some(group)),
        Err(error) if error.kind() == ampoule_cgroups::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from_cgroups(Stage::Running, error)),
    }
}

/// The first process, if it lives or nobody has waited for it yet.
pub(crate) fn init(init: Option<Process>, boot: &str) -> Result<Option<OwnedFd>, Error> {
    let Some(process) = init.filter(|_| boot == boot_id()) else { return Ok(None) };
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => ampoule_init::above_stdio(pidfd)?,
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
        Err(errno) => return Err(Error::call(Stage::Running, "pidfd_open", errno)),
    };
    // Looked at behind the open: the id is that of the descriptor's process.
    Ok((start_time(process.pid) == Some(process.start)).then_some(pidfd))
}

/// A handle of the running container.
pub(crate) fn container(record: &Record, pidfd: OwnedFd) -> Result<Container, Error> {
    let group = group(record.group.as_ref())?;
    let plan = joining_plan::make(&record.confinement, group.as_ref())?;
    // Nobody answers on it: what init would be asked is read in /proc.
    let (control, _closed) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| Error::call(Stage::Running, "socketpair", errno))?;
    let age = SystemTime::now().duration_since(record.created).unwrap_or_default();
    let pid = record.init.map(|process| process.pid);
    Ok(Container {
        stdin: None,
        stdout: None,
        stderr: None,
        pty: None,
        listener: None,
        id: record.id.clone(),
        label: plan.settings.selinux.label()?,
        pid: pid.ok_or_else(|| Error::new(ErrorKind::Ended, Stage::Running))?,
        pidfd,
        control: ampoule_init::above_stdio(control)?,
        plan,
        begun: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
        deadline: None,
        on_drop: OnDrop::Detach,
        timings: None,
        ended: None,
        early: Mutex::new(None),
        reaped: false,
        group,
        above: Above::default(),
        upper: InMemory::of(None, None),
        networks: Attached::default(),
        network: None,
        joined: Arc::default(),
        // An exec makes the rules again where init's are out of reach.
        #[cfg(feature = "landlock")]
        ruleset: None,
        waiting: None,
    })
}

impl Confinement {
    pub(crate) fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        self.env.iter().for_each(|(name, value)| environment.set(name.clone(), value.clone()));
        environment
    }
}

/// A user by numbers alone, which nobody looks up.
fn numbers(user: &Who) -> User {
    let begin = User::ids(user.uid, user.gid);
    user.groups.iter().fold(begin, |user, group| user.supplementary(IdOrName::Id(*group)))
}

impl Launch {
    /// Chooses its group's name before there is one, so that it can be written down.
    pub(crate) fn name_group(
        &mut self,
        id: &str,
        name: Option<String>,
    ) -> Result<Option<Grouped>, Error> {
        let Some(plan) = self.plan.settings.group.plan() else { return Ok(None) };
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // The same id may be in another directory.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let made = || owned_name(Some(&format!("{id}-{number}")), Life::Detached);
        let chosen = name.or_else(|| plan.name().map(str::to_owned));
        let is_chosen = chosen.is_some();
        let name = chosen.map_or_else(made, Ok);
        let name = name.map_err(|error| Error::from_cgroups(Stage::Launch, error))?;
        self.group_name = Some(name.clone());
        let grouped = Grouped { places: plan.places(), name };
        // What is written down as the container's is ended with it: not a group of somebody else.
        if is_chosen && group(Some(&grouped))?.is_some() {
            return Err(Error::new(ErrorKind::Limits, Stage::Launch)
                .about(format!("the group {:?} is there already", grouped.name))
                .with_errno(rustix::io::Errno::EXIST));
        }
        Ok(Some(grouped))
    }
}
