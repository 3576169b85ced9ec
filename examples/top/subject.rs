//! What is watched: containers that this program started, and groups that were there.
//!
//! Kernel objects: those of the containers; groups of others are only read. Invariant: dropping a subject ends its
//! container and leaves a group of others alone.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use ampoule::{Container, Interfaces, Namespace, OwnGroup, Stats, Stdio};
use ampoule_cgroups::{Depth, ErrorKind, Group, GroupPath};
use ampoule_examples::arguments::Failure;
use ampoule_examples::row::Row;
use ampoule_ns::Namespaces;

use crate::arguments::Options;

/// A container or a group, and its last sample.
pub(crate) struct Subject {
    name: String,
    what: What,
    before: Stats,
    at: Instant,
}

enum What {
    Container(Box<Container>),
    Group(Group),
}

/// What there is to show of a subject.
pub(crate) enum Look {
    Row(Row<u32>),
    /// It is there no more; why.
    Ended(String),
}

/// Starts and finds everything that was asked for.
pub(crate) fn all(options: &Options) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for path in &options.groups {
        subjects.push(Subject::new(path.to_string(), What::Group(find(path)?))?);
    }
    for command in &options.commands {
        for _ in 0..options.count {
            let container = start(command, options)?;
            let name = format!("{}-{}", program(command), subjects.len() + 1);
            subjects.push(Subject::new(name, What::Container(Box::new(container)))?);
        }
    }
    Ok(subjects)
}

fn find(path: &GroupPath) -> Result<Group, Failure> {
    Group::find(path).map_err(|error| format!("--group {path}: {error}").into())
}

fn start(command: &[OsString], options: &Options) -> Result<Container, Failure> {
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    let builder = Container::host_view().limits(options.limits.clone());
    let command = builder.own_group(OwnGroup::Always).command(program).args(arguments);
    let command = command.stdin(Stdio::null());
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn program(command: &[OsString]) -> String {
    let path = command.first().map(Path::new);
    let name = path.and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl Subject {
    fn new(name: String, what: What) -> Result<Self, Failure> {
        let before = what.stats()?;
        Ok(Self { name, what, before, at: Instant::now() })
    }

    /// What it uses since the last look.
    pub(crate) fn look(&mut self, machine_memory: u64) -> Result<Look, Failure> {
        let id = match &mut self.what {
            What::Container(container) => {
                if let Some(status) = container.try_wait()? {
                    return Ok(Look::Ended(format!(
                        "{}: {status}: {}",
                        self.name,
                        status.resources()
                    )));
                }
                Some(container.pid())
            }
            What::Group(group) => match group.stat() {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Look::Ended(format!("{}: removed", self.name)));
                }
                _ => None,
            },
        };
        let after = self.what.stats()?;
        let now = Instant::now();
        let row = Row::between(&self.before, &after, now - self.at, machine_memory);
        (self.before, self.at) = (after, now);
        Ok(Look::Row(Row { id, name: self.name.clone(), ..row }))
    }
}

impl What {
    fn stats(&self) -> Result<Stats, Failure> {
        match self {
            Self::Container(container) => Ok(container.stats()?),
            Self::Group(group) => {
                let mut stats = Stats::default();
                stats.group = group.stat()?;
                let first = group.procs(Depth::Recursive)?.first().copied();
                stats.network = first.and_then(own_network).unwrap_or_default();
                Ok(stats)
            }
        }
    }
}

/// The network of a group is that of its first process, unless that is this program's, too. It may end meanwhile.
fn own_network(pid: u32) -> Option<Interfaces> {
    let net = |pid| Namespaces::of(pid).ok()?.get(Namespace::Net);
    (net(pid)? != net(std::process::id())?).then(|| Interfaces::of(pid).ok())?
}
