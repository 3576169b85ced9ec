//! Containers that outlive the process that made them: one directory for each, and what can be done with them from any
//! later process.
//!
//! Kernel objects: a directory of mode 0700 with one directory for each container. Invariant: what a file says is only
//! believed as far as the kernel confirms it: a process is recognised by its id and its start, a group by its path.

mod end;
mod folder;
mod joining_plan;
mod kept;
mod record;
mod remains;
mod reopen;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

pub use kept::Kept;

use crate::command::Command;
use crate::container::OnDrop;
use crate::created::RunState;
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::launch::Launch;
use crate::network::Left;
use crate::origin::WithHost;
use crate::pid1::Pid1;
use folder::{Folder, Locked};
use record::{Confinement, Process, Record, VERSION, Written, boot_id, start_time};
use remains::Remains;

/// A directory in which containers are kept that outlive this process.
///
/// ```no_run
/// # fn main() -> Result<(), ampoule::Error> {
/// use ampoule::{Container, Details, Force, StateDirectory};
///
/// let states = StateDirectory::open("/run/mine")?;
/// let web = Container::from_rootfs("/srv/root").command("httpd");
/// states.create("web", web, Details::default())?;
/// // … in this process or a later one:
/// let mut web = states.get("web")?;
/// web.start()?;
/// println!("{} {}", web.id(), web.state());
/// web.container()?.exec("sh").args(["-c", "ps"]).status()?;
/// web.kill(15)?;
/// states.delete("web", Force::Yes)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct StateDirectory {
    root: OwnedFd,
    path: PathBuf,
}

/// What is written down about a container and has no meaning here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Details {
    /// The directory of its OCI bundle.
    pub bundle: Option<PathBuf>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The last component of its group's path; otherwise that of the builder, or a name that no other group has.
    pub cgroup_name: Option<String>,
    #[cfg(feature = "oci")]
    pub(crate) later: crate::oci::Later,
}

/// Whether a container that runs is ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is an error.
    No,
    /// It is killed; one that is not there is no error.
    Yes,
}

/// One entry of [`StateDirectory::list`].
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// The container, or why its file cannot be used.
    pub container: Result<Kept, Error>,
}

impl StateDirectory {
    /// Opens it, and makes the directory (mode 0700) where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::FileSystem`], [`ErrorKind::PermissionDenied`], [`ErrorKind::System`] as mkdir(2) and open(2).
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let failed = |errno: Errno| {
            let error = Error::call(Stage::Plan, "open", errno).about(path.display().to_string());
            if errno == Errno::ROFS { error.with_kind(ErrorKind::FileSystem) } else { error }
        };
        for above in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if !above.as_os_str().is_empty() && !above.exists() {
                make(above, Mode::from_raw_mode(0o755)).map_err(failed)?;
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, &path, flags, Mode::empty());
        let root = match opened {
            Err(Errno::NOENT) => make(&path, Mode::RWXU)
                .and_then(|()| openat(CWD, &path, flags, Mode::empty()))
                .map_err(failed)?,
            other => other.map_err(failed)?,
        };
        Ok(Self { root: ampoule_init::above_stdio(root)?, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a container without starting its program, and writes it down; it goes on when this process ends. Everything but
    /// the exec is done, as for [`Launch::create`]. When this process is ended meanwhile, what waits ends by itself and
    /// [`StateDirectory::reconcile`] removes the rest.
    ///
    /// It gets a group of its own where that is possible ([`OwnGroup`](crate::OwnGroup)); one that the builder names
    /// ([`Builder::cgroup_path`](crate::Builder::cgroup_path)) has that name unless the details give another. Its networks
    /// are there until it is deleted; published ports are not bound on the host then.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSettings`] for a bad id, a time limit or a pipe; [`ErrorKind::Exists`]; those of
    /// [`Command::plan`] and [`Launch::create`]; [`ErrorKind::FileSystem`] for a read-only directory and
    /// [`ErrorKind::ResourceLimit`] for a full disk. Then nothing is left.
    pub fn create(&self, id: &str, command: Command, details: Details) -> Result<Kept, Error> {
        check(id, &command)?;
        let mut command = command;
        // Until it is written down it ends with its handle.
        command.builder.on_drop = OnDrop::Kill;
        command.builder.with_host = WithHost::Survives;
        let (launch, command) = command.into_parts()?;
        if launch.is_idle() {
            let reason = "there is no program to be started";
            return Err(Error::invalid(vec![Problem::new("create", reason)]));
        }
        let confinement = reopen::confinement(command, &launch.plan);
        let locked = Folder::make(&self.root, id)?;
        let made = self.make(id, launch, confinement, details, &locked);
        if made.is_err() {
            // The first error is the one to tell.
            drop(locked.remove(&self.root, id));
        }
        made
    }

    fn make(
        &self,
        id: &str,
        launch: Launch,
        confinement: Confinement,
        details: Details,
        locked: &Locked,
    ) -> Result<Kept, Error> {
        let mut launch = launch.id(id);
        let group = launch.name_group(id, details.cgroup_name)?;
        let mut record = Record {
            version: VERSION,
            id: id.to_owned(),
            written: Written::Creating,
            created: SystemTime::now(),
            boot: boot_id(),
            init: None,
            group,
            bundle: details.bundle,
            annotations: details.annotations,
            #[cfg(feature = "oci")]
            later: details.later,
            start: record::Start::default(),
            networks: Left::default(),
            confinement,
        };
        // Before there is anything to be found again.
        locked.write(&record)?;
        let listener = locked.listen()?;
        if launch.plan.pid1() == Pid1::Reaper {
            launch.status_fd = Some(locked.exit_file()?);
        }
        let mut container = launch.hold()?;
        record.written = Written::Created;
        record.init = start_time(container.pid).map(|start| Process { pid: container.pid, start });
        record.networks = Left::of(&container.networks);
        let waiting = container.waiting.take();
        let waiting = waiting.ok_or_else(|| Error::new(ErrorKind::InitDied, Stage::Launch))?;
        let tail = container.plan.tail();
        record.start = reopen::start_of(tail, waiting.program, waiting.directory);
        record.confinement.label = container.selinux_label().cloned();
        locked.write(&record)?;
        waiting.held.hand_over(std::os::fd::AsFd::as_fd(&listener))?;
        container.on_drop = OnDrop::Detach;
        let mut kept = self.kept(id, record)?;
        kept.take_streams(&mut container);
        Ok(kept)
    }

    /// A container that was made by this or an earlier process.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::StateFile`] for a file that is not whole or of another version.
    pub fn get(&self, id: &str) -> Result<Kept, Error> {
        if crate::id::problem(id).is_some() {
            return Err(folder::not_found(id));
        }
        let record = Folder::open(&self.root, id)?.read()?;
        self.kept(id, record)
    }

    fn kept(&self, id: &str, record: Record) -> Result<Kept, Error> {
        let root = rustix::io::fcntl_dupfd_cloexec(&self.root, 3)
            .map_err(|errno| Error::call(Stage::Running, "fcntl(F_DUPFD)", errno))?;
        Kept::open(root, id, record)
    }

    /// All containers, in the order of their ids.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let ids = self.ids()?;
        let listed = |id: String| match self.get(&id) {
            // Deleted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            container => Some(Listed { id, container }),
        };
        Ok(ids.into_iter().filter_map(listed).collect())
    }

    fn ids(&self) -> Result<Vec<String>, Error> {
        let failed = |errno| Error::call(Stage::Running, "readdir", errno);
        let mut ids = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if crate::id::problem(&name).is_none() {
                ids.push(name);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Removes a container: its group with what is left in it, and its file. One that was only created is ended. Of one
    /// whose file cannot be used, forcing ends and removes what the file tells nevertheless: its first process, its group.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], unless forced; [`ErrorKind::WrongState`] when it runs or is paused, unless forced;
    /// [`ErrorKind::StateFile`] for a file that cannot be used, unless forced; [`ErrorKind::NotEnding`].
    pub fn delete(&self, id: &str, force: Force) -> Result<(), Error> {
        let opened = match crate::id::problem(id) {
            Some(_) => Err(folder::not_found(id)),
            None => Folder::open(&self.root, id).and_then(|folder| folder.lock(&self.root, id)),
        };
        let locked = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound && force == Force::Yes => {
                return Ok(());
            }
            opened => opened?,
        };
        let record = match locked.0.read() {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::StateFile && force == Force::Yes => {
                Remains::of(&locked.0.text().unwrap_or_default()).end()?;
                return locked.remove(&self.root, id);
            }
            Err(error) => return Err(error),
        };
        let kept = self.kept(id, record)?;
        let state = kept.state();
        if matches!(state, RunState::Running | RunState::Paused) && force == Force::No {
            return Err(crate::created::wrong_state("delete", state));
        }
        kept.end()?;
        locked.remove(&self.root, id)
    }

    /// Removes what processes left that were ended while they made or deleted a container; gives the ids. Containers that
    /// are whole stay, also those that have ended. Several processes may do it at once.
    ///
    /// # Errors
    /// When the directory cannot be read; the first of those of single containers, after all were tried.
    pub fn reconcile(&self) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        let mut first = Ok(());
        for id in self.ids()? {
            let Ok(folder) = Folder::open(&self.root, &id) else { continue };
            // Whoever makes or deletes it has the lock.
            let Some(locked) = folder.try_lock(&self.root, &id) else { continue };
            let done = match locked.0.read() {
                Ok(record) if record.written == Written::Creating => {
                    self.kept(&id, record).and_then(|kept| kept.end())
                }
                Err(error) if error.kind() == ErrorKind::StateFile && locked.0.is_bare() => Ok(()),
                _ => continue,
            };
            match done.and_then(|()| locked.remove(&self.root, &id)) {
                Ok(()) => removed.push(id),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first.map(|()| removed)
    }
}

fn make(path: &Path, mode: Mode) -> Result<(), Errno> {
    match mkdirat(CWD, path, mode) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What cannot be for a container that outlives this process.
fn check(id: &str, command: &Command) -> Result<(), Error> {
    let mut problems: Vec<Problem> = crate::id::problem(id).into_iter().collect();
    if command.has_timeout() {
        problems.push(Problem::new("timeout", "nobody keeps it once this process has ended"));
    }
    if command.has_pipes() {
        problems.push(Problem::new("stdio", "a pipe ends with this process"));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems)) }
}
