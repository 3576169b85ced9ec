//! The SELinux label of a container: chosen by the plan, with a pair of categories of its own for each launch.
//!
//! Kernel objects: selinuxfs, files with the locks of pairs. Invariant: a launch has a label only where the plan found
//! that the policy lets the payload enter it; what was asked for by name is then in force or an error.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ampoule_init::Parameter;
use ampoule_init::{Fd, Step};
use ampoule_overlay::Root;
use ampoule_selinux::prepared::{LabelParameter, label};
use ampoule_selinux::{
    Attribute, ContainerContexts, Context, FileLabels, Lease, Pair, Pairs, SelinuxFs, State,
};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::container::OnDrop;
use crate::error::{Error, ErrorKind, Stage};
use crate::origin::Origin;
use crate::pid1::Pid1;
use crate::relabel::Relabel;
use crate::report::{Control, Report};

/// Positions among a launch's parameters, behind [`CURRENT_DIR`](crate::plan::CURRENT_DIR).
const PROCESS: LabelParameter = LabelParameter { text: 1, length: 2 };
pub(crate) const MOUNT: u16 = 3;

/// How SELinux confines a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Selinux {
    /// Where SELinux is on and the root has a label of its own (an overlay): the process type that the policy has for
    /// containers, with a pair of categories that no other container has. Elsewhere nothing, and the report says why.
    #[default]
    Default,
    /// Not at all: the payload stays in the caller's context.
    Disabled,
    /// This context. One with two categories shares them with whoever names them, too; they are never given to others.
    /// An error where it cannot be had.
    Label(Box<Context>),
}

/// What a builder asks of SELinux.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Labels {
    pub(crate) label: Selinux,
    /// Of file systems that are made.
    pub(crate) mounts: Option<Box<Context>>,
    /// Targets of bind mounts whose files get a label.
    pub(crate) volumes: Vec<(PathBuf, Relabel)>,
}

/// What a plan has found.
#[derive(Debug)]
pub(crate) enum Labelling {
    Planned(Box<LabelPlan>),
    NotPossible(String),
    Off,
}

/// The label of each launch of a plan.
#[derive(Debug)]
pub(crate) struct LabelPlan {
    selinux: SelinuxFs,
    process: Context,
    file: Context,
    state: State,
    pairs: Option<Pairs>,
    /// The pair that was asked for.
    chosen: Option<Pair>,
}

/// How long the pair of a launch is nobody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairKept {
    /// As long as the container lives.
    AllItsLife,
    /// As long as this process lives, and not the container that goes on without it.
    UntilHostEnds,
}

impl PairKept {
    pub(crate) fn of(pid1: Pid1, on_drop: OnDrop) -> Self {
        match (pid1, on_drop) {
            (Pid1::Payload, OnDrop::Detach) => Self::UntilHostEnds,
            _ => Self::AllItsLife,
        }
    }
}

/// The label of one launch; its pair is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Label {
    process: Context,
    mount: Context,
    lease: Option<Lease>,
}

/// Why there is no label: an error, or a line of the report.
pub(crate) fn from_selinux(stage: Stage, error: ampoule_selinux::Error) -> Error {
    let kind = match error.kind() {
        ampoule_selinux::ErrorKind::Denied => ErrorKind::PermissionDenied,
        ampoule_selinux::ErrorKind::Disabled => ErrorKind::Unsupported,
        ampoule_selinux::ErrorKind::System => ErrorKind::System,
        _ => ErrorKind::Selinux,
    };
    let made = Error::new(kind, stage).about(error.to_string());
    let made = error.hint().into_iter().fold(made, Error::with_hint);
    made.caused_by(error)
}

/// Finds the label that launches get.
pub(crate) fn prepare(builder: &Builder) -> Result<Labelling, Error> {
    let (asked, wanted) = match (&builder.selinux.label, &builder.origin) {
        (Selinux::Disabled, _) | (Selinux::Default, Origin::Bare) => return Ok(Labelling::Off),
        (Selinux::Default, _) => (false, None),
        (Selinux::Label(context), _) => (true, Some(&**context)),
    };
    let tolerated = !asked || builder.best_effort.contains(&Control::Selinux);
    match plan(builder, wanted) {
        Ok(plan) => Ok(Labelling::Planned(Box::new(plan))),
        Err(error) if tolerated => Ok(Labelling::NotPossible(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The label of one process alone, that joins a container.
pub(crate) fn of_process(label: &Context) -> Result<Label, Error> {
    permitted(Some(label))?.label()
}

/// The label of what joins a container that has this one: its pair is the container's.
pub(crate) fn of_label(label: Option<&Context>) -> Result<Labelling, Error> {
    let Some(label) = label else { return Ok(Labelling::Off) };
    permitted(Some(label)).map(|plan| Labelling::Planned(Box::new(plan)))
}

fn plan(builder: &Builder, wanted: Option<&Context>) -> Result<LabelPlan, Error> {
    let failed = |error| from_selinux(Stage::Plan, error);
    let plan = permitted(wanted)?;
    let LabelPlan { selinux, process, file, chosen, .. } = &plan;
    let entry = entry(builder, file)?;
    if !selinux.allows(process, &entry, ("file", "entrypoint")).map_err(failed)? {
        return refuse(format!(
            "the policy does not let {} be entered by programs labelled {}: a root of its own (Root::Ephemeral or Root::Persistent) gets a label",
            process.kind(),
            entry.kind()
        ));
    }
    let needs = chosen.is_some() || wanted.is_none();
    let pairs =
        if needs && selinux.has_categories().map_err(failed)? { Some(pairs()?) } else { None };
    Ok(LabelPlan { pairs, ..plan })
}

fn refuse<T>(about: String) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Selinux, Stage::Plan).about(about))
}

/// A label that the policy has and that this process may give to others; without a pair for each launch.
fn permitted(wanted: Option<&Context>) -> Result<LabelPlan, Error> {
    let failed = |error| from_selinux(Stage::Plan, error);
    let absent = || {
        Error::new(ErrorKind::Unsupported, Stage::Plan)
            .about("SELinux is not enabled on this host".to_owned())
    };
    let selinux = SelinuxFs::open().map_err(failed)?.ok_or_else(absent)?;
    let state = selinux.state().map_err(failed)?;
    if state == State::Disabled {
        return Err(absent());
    }
    let contexts = ContainerContexts::of_the_policy().map_err(failed)?;
    let process = selinux.validate(wanted.unwrap_or(&contexts.process)).map_err(failed)?;
    let range = process.range().copied();
    let file = range.into_iter().fold(contexts.file, Context::with_range);
    let file = selinux.validate(&file).map_err(failed)?;
    let own = Attribute::Current.of_this_thread().map_err(failed)?.ok_or_else(absent)?;
    if !selinux.allows(&own, &process, ("process", "transition")).map_err(failed)? {
        return refuse(format!("the policy does not let {own} become {process}"));
    }
    let chosen = process.pair();
    Ok(LabelPlan { selinux, process, file, state, pairs: None, chosen })
}

/// Whether the root gets a label when it is mounted.
fn is_labelled(builder: &Builder) -> bool {
    matches!(builder.origin, Origin::Directory(_) | Origin::Layers(_))
        && matches!(builder.root, Root::Ephemeral { .. } | Root::Persistent(_))
}

/// The label of what the payload executes first: the root's, or that of most of the host's programs.
fn entry(builder: &Builder, file: &Context) -> Result<Context, Error> {
    let failed = |error| from_selinux(Stage::Plan, error);
    let place = match &builder.origin {
        _ if is_labelled(builder) => return Ok(file.clone()),
        Origin::Directory(directory) => directory.as_path(),
        Origin::Layers(layers) => layers.first().map_or(Path::new("/"), PathBuf::as_path),
        Origin::HostView | Origin::Bare => Path::new("/usr/bin"),
    };
    let open = std::fs::File::open(place);
    let open = open.map_err(|error| Error::io(Stage::Plan, "open", &error))?;
    let found = FileLabels::open().and_then(|labels| labels.get(open)).map_err(failed)?;
    let unlabelled = || {
        Error::new(ErrorKind::Selinux, Stage::Plan)
            .about(format!("{} has no label", place.display()))
    };
    found.ok_or_else(unlabelled)
}

/// The locks of this user's containers.
fn pairs() -> Result<Pairs, Error> {
    let run = match rustix::process::geteuid().is_root() {
        true => Some(PathBuf::from("/run")),
        false => std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    };
    let missing = || {
        Error::new(ErrorKind::Selinux, Stage::Plan)
            .about("there is no XDG_RUNTIME_DIR for the locks of category pairs".to_owned())
    };
    let run = run.filter(|run| run.is_absolute()).ok_or_else(missing)?;
    Pairs::open(run.join("ampoule-selinux")).map_err(|error| from_selinux(Stage::Plan, error))
}

impl Builder {
    /// How SELinux confines it.
    #[must_use]
    pub fn selinux(mut self, setting: Selinux) -> Self {
        self.selinux.label = setting;
        self
    }
}

impl Labelling {
    fn plan(&self) -> Option<&LabelPlan> {
        match self {
            Self::Planned(plan) => Some(plan),
            _ => None,
        }
    }

    /// The label of files, without the pair of a launch.
    pub(crate) fn file(&self) -> Option<&Context> {
        self.plan().map(|plan| &plan.file)
    }

    /// The label of a launch, if it gets one.
    pub(crate) fn label(&self) -> Result<Option<Label>, Error> {
        self.plan().map(LabelPlan::label).transpose()
    }

    /// The position of the label of mounts.
    pub(crate) fn mounts(&self, builder: &Builder) -> Option<u16> {
        self.plan().filter(|_| is_labelled(builder)).map(|_| MOUNT)
    }

    /// Whether launches get a label.
    pub(crate) fn is_planned(&self) -> bool {
        self.plan().is_some()
    }

    /// The key label: before the session keyring is made, which would keep the caller's.
    pub(crate) fn key_step(&self, proc: Fd) -> Option<Step> {
        self.plan().map(|_| key_step(proc))
    }

    /// The label of the payload.
    pub(crate) fn exec_step(&self, proc: Fd) -> Option<Step> {
        self.plan().map(|_| exec_step(proc))
    }

    /// What is told of it; `kept` says whether something holds the pair as long as the container lives.
    pub(crate) fn report(&self, kept: PairKept, report: &mut Report) {
        match self {
            Self::Off => report.off(Control::Selinux),
            Self::NotPossible(reason) => {
                report.not_possible(Control::Selinux, reason.as_str(), None)
            }
            Self::Planned(plan) if plan.state == State::Permissive => report.not_possible(
                Control::Selinux,
                format!(
                    "{}; SELinux is permissive: what the policy denies is only logged",
                    plan.shown(kept)
                ),
                Some("setenforce 1"),
            ),
            Self::Planned(plan) => report.in_force(Control::Selinux, plan.shown(kept)),
        }
    }
}

/// The label of keys, of a launch that has one.
pub(crate) fn key_step(proc: Fd) -> Step {
    label(Attribute::KeyCreate, proc, PROCESS)
}

/// The label of the program, of a launch that has one.
pub(crate) fn exec_step(proc: Fd) -> Step {
    label(Attribute::Exec, proc, PROCESS)
}

impl LabelPlan {
    fn shown(&self, kept: PairKept) -> String {
        let own = self.pairs.is_some() && self.chosen.is_none();
        let own = if own { ", with categories of its own" } else { "" };
        let held = self.pairs.is_some() || self.chosen.is_some();
        let free = match kept {
            PairKept::UntilHostEnds if held => {
                "; no init holds its categories: others may get them once the process that started it has ended"
            }
            _ => "",
        };
        format!("{}{own}{free}", self.process)
    }

    fn label(&self) -> Result<Label, Error> {
        let failed = |error| from_selinux(Stage::Launch, error);
        let take = |pairs: &Pairs| match self.chosen {
            Some(pair) => pairs.share(pair),
            None => pairs.allocate(),
        };
        let lease = self.pairs.as_ref().map(take).transpose().map_err(failed)?;
        let with = |context: &Context| {
            let pair = lease.as_ref().map(Lease::pair);
            let context = pair.into_iter().fold(context.clone(), Context::with_pair);
            self.selinux.validate(&context).map_err(failed)
        };
        let (process, mount) = (with(&self.process)?, with(&self.file)?);
        Ok(Label { process, mount, lease })
    }
}

impl Label {
    /// What the launch's steps refer to.
    pub(crate) fn parameters(&self) -> Result<[Parameter; 3], Error> {
        let nul = |_| Error::new(ErrorKind::Selinux, Stage::Launch);
        let process = CString::new(self.process.to_string()).map_err(nul)?;
        let mount = CString::new(self.mount.to_string()).map_err(nul)?;
        let length = process.as_bytes().len() as u64;
        Ok([Parameter::Text(process), Parameter::Number(length), Parameter::Text(mount)])
    }

    pub(crate) fn process(&self) -> &Context {
        &self.process
    }

    pub(crate) fn mount(&self) -> &Context {
        &self.mount
    }

    /// What keeps the pair in use.
    pub(crate) fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lease.as_ref().map(AsFd::as_fd)
    }

    /// The container goes on without its handle: its init keeps the pair in use, or, where it has none, this process
    /// does to its own end.
    pub(crate) fn leave(self, pid1: Pid1) {
        match (pid1, self.lease) {
            (Pid1::Reaper, lease) => lease.into_iter().for_each(Lease::leave),
            (Pid1::Payload, lease) => std::mem::forget(lease),
        }
    }
}
