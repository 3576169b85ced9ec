//! The plugins, and how one is run.
//!
//! Kernel objects: a child for each call. Invariant: a plugin that does not end in time is killed with all that it
//! started; a chain that fails half way is deleted again.

use std::fs::metadata;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::added::Added;
use super::answer::{Answer, parse_answer};
use super::conflist::{Conflist, Version};
use super::request::Request;
use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::program::{Ended, Problem, run};

/// Where plugins find the programs that they run.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of texts of plugins, so many characters are kept.
const TEXT_MAX: usize = 500;

/// Where plugins are, and how long one may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugins {
    directories: Vec<PathBuf>,
    timeout: Duration,
}

/// What a plugin is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Check,
    Delete,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Delete => "DEL",
        }
    }
}

/// A call to each plugin of a chain.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) plugins: Plugins,
    pub(super) conflist: Conflist,
    pub(super) request: Request,
}

impl Plugins {
    /// Those in a directory, such as `/opt/cni/bin` or `/usr/lib/cni`; each may take 30 s.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directories: vec![directory.into()], timeout: Duration::from_secs(30) }
    }

    /// Looks in this directory, too, after those before.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directories.push(directory.into());
        self
    }

    /// How long one plugin may take; then it and what it started is killed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a container to a network: each plugin in order, which is told what those before it answered. A chain that
    /// fails is deleted again.
    ///
    /// # Errors
    /// [`PluginMissing`](crate::ErrorKind::PluginMissing), before anything is run;
    /// [`PluginFailed`](crate::ErrorKind::PluginFailed) when one refuses or dies;
    /// [`PluginTimedOut`](crate::ErrorKind::PluginTimedOut);
    /// [`PluginOutput`](crate::ErrorKind::PluginOutput) for an answer that cannot be read.
    pub fn add(&self, conflist: &Conflist, request: &Request, netns: &Netns) -> Result<Added> {
        let namespace = rustix::io::fcntl_dupfd_cloexec(netns.as_fd(), 3)
            .map_err(|errno| Error::system("fcntl", "F_DUPFD_CLOEXEC", errno))?;
        for kind in conflist.types() {
            self.find(kind)?;
        }
        let plugins = self.clone();
        let chain = Chain { plugins, conflist: conflist.clone(), request: request.clone() };
        match chain.add(&namespace) {
            Ok(answer) => Ok(Added::new(chain, namespace, answer)),
            Err(error) => Err(match chain.delete(&namespace, None) {
                Ok(()) => error,
                Err(second) => Error::several(vec![error.clone(), second]).unwrap_or(error),
            }),
        }
    }

    fn find(&self, kind: &str) -> Result<PathBuf> {
        let is_program = |path: &PathBuf| {
            metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
        };
        let mut paths = self.directories.iter().map(|directory| directory.join(kind));
        paths.find(is_program).ok_or_else(|| Error::program(kind, Problem::Missing))
    }

    /// The value of `CNI_PATH`, with which plugins find others.
    fn path(&self) -> std::ffi::OsString {
        let directories = self.directories.iter().map(|path| path.as_os_str().to_owned());
        directories.collect::<Vec<_>>().join(std::ffi::OsStr::new(":"))
    }
}

impl Chain {
    fn add(&self, namespace: &OwnedFd) -> Result<Answer> {
        let mut previous = None;
        for plugin in &self.conflist.plugins {
            let ended = self.call(Verb::Add, plugin, namespace, previous.as_ref())?;
            let answer = parse_answer(&ended.stdout, self.conflist.version());
            previous = Some(answer.map_err(|problem| Error::program(kind(plugin), problem))?);
        }
        previous.ok_or_else(|| Error::program("", Problem::Missing))
    }

    /// Asks each plugin whether all is as it was made.
    pub(super) fn check(&self, namespace: &OwnedFd, answer: &Answer) -> Result<()> {
        for plugin in &self.conflist.plugins {
            self.call(Verb::Check, plugin, namespace, Some(answer))?;
        }
        Ok(())
    }

    /// The last plugin first; one that fails does not keep the others from it.
    pub(super) fn delete(&self, namespace: &OwnedFd, answer: Option<&Answer>) -> Result<()> {
        let answer = answer.filter(|_| self.conflist.version() >= Version::V0_4_0);
        let plugins = self.conflist.plugins.iter().rev();
        let failed = plugins
            .filter_map(|plugin| self.call(Verb::Delete, plugin, namespace, answer).err())
            .collect();
        Error::several(failed).map_or(Ok(()), Err)
    }

    fn call(
        &self,
        verb: Verb,
        plugin: &Map<String, Value>,
        namespace: &OwnedFd,
        previous: Option<&Answer>,
    ) -> Result<Ended> {
        let name = kind(plugin);
        let input = serde_json::to_vec(&self.input(plugin, previous))
            .map_err(|error| Error::program(name, Problem::Malformed(error.to_string())))?;
        let mut command = Command::new(self.plugins.find(name)?);
        command.env_clear().env("PATH", PATH).env("CNI_COMMAND", verb.name());
        command.env("CNI_CONTAINERID", &self.request.container);
        command.env("CNI_NETNS", path_of(namespace));
        command.env("CNI_IFNAME", self.request.link.as_str());
        command.env("CNI_ARGS", self.request.args());
        command.env("CNI_PATH", self.plugins.path());
        command.current_dir("/");
        let ended = run(name, &mut command, &input, self.plugins.timeout)?;
        match ended.code {
            Some(0) => Ok(ended),
            _ => Err(Error::program(name, refusal(&ended))),
        }
    }

    /// The configuration of one plugin, as the specification derives it.
    fn input(&self, plugin: &Map<String, Value>, previous: Option<&Answer>) -> Value {
        let mut input = plugin.clone();
        input.insert("cniVersion".to_owned(), self.conflist.version().to_string().into());
        input.insert("name".to_owned(), self.conflist.name().into());
        if let Some(Value::Object(has)) = input.remove("capabilities") {
            let told = self.request.capabilities.iter();
            let told = told.filter(|(name, _)| has.get(*name) == Some(&Value::Bool(true)));
            let told: Map<_, _> = told.map(|(name, it)| (name.clone(), it.clone())).collect();
            if !told.is_empty() {
                input.insert("runtimeConfig".to_owned(), Value::Object(told));
            }
        }
        if let Some(previous) = previous {
            input.insert("prevResult".to_owned(), Value::Object(previous.raw.clone()));
        }
        Value::Object(input)
    }
}

fn kind(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// A path that other processes reach the namespace by, as long as this one holds it.
fn path_of(namespace: &OwnedFd) -> PathBuf {
    let process = std::process::id();
    Path::new("/proc").join(process.to_string()).join("fd").join(namespace.as_raw_fd().to_string())
}

/// The error that a plugin wrote, or else its last words.
fn refusal(ended: &Ended) -> Problem {
    #[derive(Deserialize)]
    struct Wire {
        code: u32,
        #[serde(default)]
        msg: String,
        #[serde(default)]
        details: String,
    }
    let shorten = |text: &str| text.trim().chars().take(TEXT_MAX).collect::<String>();
    match serde_json::from_slice::<Wire>(&ended.stdout) {
        Ok(wire) => {
            let texts = [wire.msg, wire.details];
            let texts = texts.iter().filter(|text| !text.is_empty()).map(String::as_str);
            let text = shorten(&texts.collect::<Vec<_>>().join("; "));
            Problem::Refused { code: wire.code, text }
        }
        Err(_) => {
            let said = if ended.stderr.is_empty() { &ended.stdout } else { &ended.stderr };
            let text = shorten(&String::from_utf8_lossy(said));
            Problem::Failed { status: ended.status.clone(), text }
        }
    }
}
