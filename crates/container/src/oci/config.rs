//! A container and its process, as a `config.json` says them.
//!
//! Kernel objects: none; pure data. Invariant: everything that a document says is in it, or the document was refused.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ampoule_cgroups::Placement;
use ampoule_ns::Capability;
use ampoule_spec::{Bundle, Document};

use super::hooks::Hooks;
use super::lifecycle;
use super::listener::SeccompListener;
use super::read;
use super::write::{self, Written};
use crate::builder::Builder;
use crate::command::Command;
use crate::error::{Error, Problem};
use crate::group::OwnGroup;
use crate::pty::WindowSize;

/// A container and its process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The container.
    pub builder: Builder,
    /// The program and its arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub current_dir: PathBuf,
    /// The size of the terminal, if the process has one.
    pub terminal: Option<WindowSize>,
    /// What others noted (`annotations`); nothing is done with them.
    pub annotations: BTreeMap<String, String>,
    /// What is run at points of its life, by who creates and starts it.
    pub hooks: Hooks,
    /// Where the listener of its filter goes, sent by who starts it.
    pub listener: Option<SeccompListener>,
}

impl Config {
    /// What a bundle says. Paths in it that are relative start at the directory of the bundle.
    ///
    /// # Errors
    /// [`InvalidSettings`](crate::ErrorKind::InvalidSettings) with everything that is wrong or not honoured, each by its
    /// place in the document.
    pub fn from_bundle(bundle: &Bundle) -> Result<Self, Error> {
        Self::from_document(bundle.document(), bundle.directory())
    }

    /// As [`Config::from_bundle`], for a document that is to be used in a directory.
    ///
    /// # Errors
    /// As [`Config::from_bundle`].
    pub fn from_document(document: &Document, directory: &Path) -> Result<Self, Error> {
        read::config(document, directory)
    }

    /// A container and a program with its arguments, in `/`, with the environment that the builder has and no other.
    #[must_use]
    pub fn new(builder: Builder, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            env: builder.env.clone(),
            builder,
            args: args.into_iter().map(Into::into).collect(),
            current_dir: PathBuf::from("/"),
            terminal: None,
            annotations: BTreeMap::new(),
            hooks: Hooks::default(),
            listener: None,
        }
    }

    /// Without a control group of its own, whatever the document says of its place: it is where the caller is. That no
    /// device may be used is so without a group, too, where nobody in it can make nodes (`CAP_MKNOD`).
    ///
    /// # Errors
    /// [`InvalidSettings`](crate::ErrorKind::InvalidSettings) when something is limited (`linux.resources`).
    pub fn without_group(mut self) -> Result<Self, Error> {
        let builder = &mut self.builder;
        let makes_nodes =
            builder.capabilities.is_none_or(|sets| sets.bounding.contains(Capability::Mknod));
        if !makes_nodes && lifecycle::denies_all_devices(&builder.limits.devices) {
            builder.limits.devices.clear();
        }
        if !builder.limits.is_empty() {
            let reason = "is not possible without a control group";
            return Err(Error::invalid(vec![Problem::new("linux.resources", reason)]));
        }
        builder.cgroup_path = None;
        builder.cgroup_placement = Placement::default();
        builder.own_group = OwnGroup::WithLimits;
        Ok(self)
    }

    /// It as a document, in which everything stands that the builder has without being asked, and what is lost in it.
    ///
    /// # Errors
    /// [`InvalidSettings`](crate::ErrorKind::InvalidSettings) for what no document can have, such as a relative working
    /// directory or no arguments.
    pub fn to_document(&self) -> Result<Written, Error> {
        write::document(self)
    }

    /// The process in the container, to be planned; `HOME` is the user's when the environment does not say it.
    #[must_use]
    pub fn into_command(self) -> Command {
        let mut args = self.args.into_iter();
        let command = Command::new(self.builder, args.next().unwrap_or_default());
        let command = command.args(args).only_home().envs(self.env).current_dir(self.current_dir);
        self.terminal.into_iter().fold(command, Command::tty)
    }
}
