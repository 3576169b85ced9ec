//! Volumes that get the container's label: what engines call `:z` and `:Z`.
//!
//! Kernel objects: files of the host and their labels, reached through one descriptor for each volume. Invariant: nothing
//! is changed before a launch, and nothing that belongs to the system.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ampoule_overlay::{Mount, MountKind};
use ampoule_selinux::{ContainerContexts, Context, FileLabels, Relabel as Tree};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::report::{Control, Report};
use crate::selinux::{Labelling, from_selinux};

/// Whose the files of a volume become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relabel {
    /// All containers': a label without categories (`:z`).
    Shared,
    /// This container's alone: with its pair of categories (`:Z`).
    Private,
}

/// The volumes of a plan.
#[derive(Debug, Default)]
pub(crate) struct Relabelling {
    volumes: Vec<Volume>,
    /// Why the others, or all of them, stay as they are.
    left: Option<String>,
}

/// One volume.
#[derive(Debug)]
struct Volume {
    source: PathBuf,
    target: PathBuf,
    relabel: Relabel,
}

impl Builder {
    /// Gives the host's files of the bind mount at this target a label that lets the container use them; each launch
    /// does it anew, with its own label, for everything below the source but not in what is mounted there.
    ///
    /// That stays so when the container has ended. [`Relabel::Private`] takes the files from whoever used them before,
    /// another launch of the same plan too. Directories that belong to the system (`/usr`, `/home` …) are refused
    /// with or without SELinux. Where the container gets no label nothing is changed, and the report says so
    /// ([`Control::Relabel`]).
    #[must_use]
    pub fn relabel(mut self, target: impl Into<PathBuf>, relabel: Relabel) -> Self {
        self.selinux.volumes.push((target.into(), relabel));
        self
    }

    /// Targets at which nothing is bound.
    pub(crate) fn relabel_problems(&self) -> impl Iterator<Item = Problem> + '_ {
        let unbound = |target: &&PathBuf| source(&self.mounts, target).is_none();
        let targets = self.selinux.volumes.iter().map(|(target, _)| target);
        targets.filter(unbound).map(|target| {
            Problem::new("relabel", format!("there is no bind mount at {}", target.display()))
        })
    }
}

/// What is bound at a target: by the last of its mounts, which covers the others.
fn source<'a>(mounts: &'a [Mount], target: &Path) -> Option<&'a Path> {
    match &mounts.iter().rfind(|mount| mount.target == target)?.kind {
        MountKind::Bind { source, .. } => Some(source),
        _ => None,
    }
}

/// Finds what launches have to relabel.
pub(crate) fn prepare(builder: &Builder, labels: &Labelling) -> Result<Relabelling, Error> {
    let mut prepared = Relabelling::default();
    let asked = &builder.selinux.volumes;
    if asked.is_empty() {
        return Ok(prepared);
    }
    let file = labels.file();
    // Refused everywhere, so that a mistake does not wait for a machine with SELinux.
    let label = file.cloned().unwrap_or_else(|| ContainerContexts::default().file);
    let tree = Tree::new(&label).map_err(plan_error)?;
    for (target, relabel) in asked {
        let Some(source) = source(&builder.mounts, target) else { continue };
        let opened = open(source, Stage::Plan)?;
        tree.check(&opened).map_err(plan_error)?;
        if file.is_none() {
            continue;
        }
        if !FileLabels::open().and_then(|labels| labels.can_be_set(&opened)).map_err(plan_error)? {
            let reason = format!("the file system of {} keeps no labels", source.display());
            if !builder.best_effort.contains(&Control::Relabel) {
                return Err(Error::new(ErrorKind::Unsupported, Stage::Plan)
                    .about(reason)
                    .with_hint("mount it with -o context=, or best_effort(Control::Relabel)"));
            }
            prepared.left = Some(reason);
            continue;
        }
        let (source, target) = (source.to_owned(), target.clone());
        prepared.volumes.push(Volume { source, target, relabel: *relabel });
    }
    if file.is_none() {
        prepared.left = Some("the container has no label: volumes stay as they are".to_owned());
    }
    Ok(prepared)
}

fn plan_error(error: ampoule_selinux::Error) -> Error {
    from_selinux(Stage::Plan, error)
}

/// Opens what the mount will find: links in the path are followed.
fn open(source: &Path, stage: Stage) -> Result<OwnedFd, Error> {
    let opened = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|errno| {
        Error::call(stage, "open", errno).about(format!("the volume {}", source.display()))
    })
}

impl Relabelling {
    /// Gives the volumes the label of one launch's files.
    pub(crate) fn apply(&self, file: &Context) -> Result<(), Error> {
        let failed = |error| from_selinux(Stage::Launch, error);
        self.volumes.iter().try_for_each(|volume| {
            let label = match volume.relabel {
                Relabel::Shared => file.clone().without_categories(),
                Relabel::Private => file.clone(),
            };
            let opened = open(&volume.source, Stage::Launch)?;
            Tree::new(&label).and_then(|tree| tree.tree(opened)).map(drop).map_err(failed)
        })
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let said = |volume: &Volume| {
            let how = match volume.relabel {
                Relabel::Shared => "shared",
                Relabel::Private => "private",
            };
            format!("{} {how}", volume.target.display())
        };
        let said: Vec<_> = self.volumes.iter().map(said).collect();
        match (&self.left, said.as_slice()) {
            (Some(reason), []) => report.not_possible(Control::Relabel, reason.as_str(), None),
            (Some(reason), said) => {
                let reason = format!("{reason}; only {}", said.join(", "));
                report.not_possible(Control::Relabel, reason, None);
            }
            (None, []) => report.off(Control::Relabel),
            (None, said) => report.in_force(Control::Relabel, said.join(", ")),
        }
    }
}
