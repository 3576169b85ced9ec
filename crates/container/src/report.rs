//! What is in force, what is not, and why.
//!
//! Invariant: a control that was asked for and is not in force is never missing from the report; without
//! [`Level::BestEffort`] it is an error instead.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that confines the payload or bounds what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Control {
    /// One of the eight namespaces is new.
    Namespace(ampoule_ns::Namespace),
    /// The payload's ids are not the host's.
    IdMap,
    /// Supplementary groups are as asked for.
    SupplementaryGroups,
    /// The root file system is the container's own.
    Root,
    /// `/proc`, `/sys` and the like are the container's own, not the host's.
    KernelFileSystems,
    /// Files of `/proc` and `/sys` are covered.
    MaskedPaths,
    /// Mounts made by the host cannot be changed by the payload.
    LockedMounts,
    /// Capabilities are limited.
    Capabilities,
    /// No privilege can be gained by executing a file.
    NoNewPrivileges,
    /// System calls are filtered.
    Seccomp,
    /// The payload has the AppArmor profile that was asked for.
    AppArmor,
    /// What the payload may reach is limited by Landlock (feature `landlock`).
    Landlock,
    /// The payload and what it writes have a label of SELinux that other containers do not have.
    Selinux,
    /// The volumes of [`Builder::relabel`](crate::Builder::relabel) get the container's label.
    Relabel,
    /// The container ends with the host's process.
    DieWithHost,
    /// It has a control group of its own: it can be counted, paused and killed as a whole.
    Group,
    /// Memory, CPU time and the like are limited.
    Limits,
    /// The time limit is kept even when the host does not wait.
    TimeLimit,
}

/// Whether a control must be in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is, or nothing starts.
    #[default]
    Require,
    /// It is where that is possible; the report says.
    BestEffort,
}

/// Whether a control is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It is, as the detail says.
    InForce(String),
    /// It was not asked for.
    Off,
    /// It is not possible here, for this reason.
    NotPossible(String),
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub control: Control,
    /// Whether it is in force.
    pub state: State,
    /// What would make it possible.
    pub hint: Option<&'static str>,
}

/// All controls with their state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<Entry>);

impl Report {
    pub(crate) fn in_force(&mut self, control: Control, detail: impl Into<String>) {
        self.0.push(Entry { control, state: State::InForce(detail.into()), hint: None });
    }

    pub(crate) fn off(&mut self, control: Control) {
        self.0.push(Entry { control, state: State::Off, hint: None });
    }

    pub(crate) fn not_possible(
        &mut self,
        control: Control,
        reason: impl Into<String>,
        hint: Option<&'static str>,
    ) {
        self.0.push(Entry { control, state: State::NotPossible(reason.into()), hint });
    }

    /// Without a payload, what the exec of a program brings is not in force for anything yet: init has none of it.
    pub(crate) fn for_what_joins(&mut self) {
        let by_exec = [Control::Seccomp, Control::AppArmor, Control::Landlock];
        for entry in self.0.iter_mut().filter(|entry| by_exec.contains(&entry.control)) {
            if let State::InForce(detail) = &mut entry.state {
                detail.push_str("; for each process that joins");
            }
        }
    }

    /// All entries, in the order in which they take effect.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The state of one control.
    #[must_use]
    pub fn state(&self, control: Control) -> Option<&State> {
        self.0.iter().find(|entry| entry.control == control).map(|entry| &entry.state)
    }

    /// Whether a control is in force.
    #[must_use]
    pub fn is_in_force(&self, control: Control) -> bool {
        matches!(self.state(control), Some(State::InForce(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.0 {
            let name = match entry.control {
                Control::Namespace(kind) => format!("namespace {kind}"),
                control => format!("{control:?}"),
            };
            match &entry.state {
                State::InForce(detail) => write!(out, "{name:<22} in force   {detail}")?,
                State::Off => write!(out, "{name:<22} off")?,
                State::NotPossible(reason) => write!(out, "{name:<22} NOT        {reason}")?,
            }
            match entry.hint {
                Some(hint) => writeln!(out, " ({hint})")?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}
