//! The plugins, and how one is run.
//!
//! Kernel objects: a child for each call. Invariant: a plugin that does not end in time is killed with all that it
//! started; a chain that fails half way is deleted again, and one of a process that is killed by the next reconcile.

use std::fs::metadata;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::added::Added;
use super::answer::{Answer, parse_answer};
use super::conflist::{Conflist, Version};
use super::kept::{self, Kept};
use super::request::Request;
use super::stand_in;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::netns::Netns;
use crate::program::{Ended, Problem, run};
use crate::store::Store;

/// Where plugins find the programs that they run.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of texts of plugins, so many characters are kept.
const TEXT_MAX: usize = 500;

/// Where plugins are, and how long one may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugins {
    directories: Vec<PathBuf>,
    timeout: Duration,
    /// Of the host's networks; that of [`Host::new`] otherwise.
    #[serde(default)]
    state: Option<PathBuf>,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chain {
    pub(super) plugins: Plugins,
    pub(super) conflist: Conflist,
    pub(super) request: Request,
}

impl Plugins {
    /// Those in a directory, such as `/opt/cni/bin` or `/usr/lib/cni`; each may take 30 s.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        let timeout = Duration::from_secs(30);
        Self { directories: vec![directory.into()], timeout, state: None }
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

    /// Keeps what has to be deleted beside the state of this host's networks, so that its [`Host::reconcile`] does it
    /// after this process has been killed. Otherwise, it is beside that of [`Host::new`].
    #[must_use]
    pub fn host(mut self, host: &Host) -> Self {
        self.state = Some(host.directory().to_owned());
        self
    }

    /// Adds a container to a network: each plugin in order, which is told what those before it answered. A chain that
    /// fails is deleted again.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) where the state cannot be written;
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
        let kept = Kept::begin(chain.store()?, &chain)?;
        match chain.add(&namespace, &kept) {
            Ok(answer) => Ok(Added::new(chain, namespace, answer, kept)),
            Err(error) => {
                let deleted = chain.delete(&namespace, None, &kept);
                Err(match deleted.and_then(|()| kept.remove()) {
                    Ok(()) => error,
                    Err(second) => Error::several(vec![error.clone(), second]).unwrap_or(error),
                })
            }
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
    /// Where it is kept.
    fn store(&self) -> Result<Store> {
        match &self.plugins.state {
            Some(directory) => Ok(kept::store(directory)),
            None => Host::new().map(|host| kept::store(host.directory())),
        }
    }

    fn answer(&self, bytes: &[u8]) -> Result<Answer, Problem> {
        parse_answer(bytes, self.conflist.version())
    }

    fn add(&self, namespace: &OwnedFd, kept: &Kept) -> Result<Answer> {
        let mut previous: Option<Answer> = None;
        for plugin in &self.conflist.plugins {
            let namespace = Some(namespace.as_fd());
            let ended = self.call(Verb::Add, plugin, namespace, previous.as_ref(), kept)?;
            let answer = self.answer(&ended.stdout);
            previous = Some(answer.map_err(|problem| Error::program(kind(plugin), problem))?);
            kept.note(self, previous.as_ref())?;
        }
        previous.ok_or_else(|| Error::program("", Problem::Missing))
    }

    /// Asks each plugin whether all is as it was made.
    pub(super) fn check(&self, namespace: &OwnedFd, answer: &Answer, kept: &Kept) -> Result<()> {
        for plugin in &self.conflist.plugins {
            self.call(Verb::Check, plugin, Some(namespace.as_fd()), Some(answer), kept)?;
        }
        Ok(())
    }

    /// The last plugin first; one that fails does not keep the others from it.
    pub(super) fn delete(
        &self,
        namespace: &OwnedFd,
        answer: Option<&Answer>,
        kept: &Kept,
    ) -> Result<()> {
        self.delete_each(answer, kept, |_| Some(namespace.as_fd()))
    }

    /// Of a container whose namespace has gone.
    pub(super) fn delete_gone(
        &self,
        answer: Option<&Map<String, Value>>,
        kept: &Kept,
    ) -> Result<()> {
        let answer = answer.map(|raw| self.answer(&serde_json::to_vec(raw).unwrap_or_default()));
        let answer =
            answer.transpose().map_err(|problem| Error::program(self.conflist.name(), problem))?;
        let needed = self.conflist.plugins.iter().any(stand_in::is_needed);
        let stand_in = answer.as_ref().filter(|_| needed);
        let stand_in =
            stand_in.map(|answer| stand_in::make(&self.request.link, answer)).transpose()?;
        self.delete_each(answer.as_ref(), kept, |plugin| {
            stand_in.as_ref().filter(|_| stand_in::is_needed(plugin)).map(|netns| netns.as_fd())
        })
    }

    fn delete_each<'netns>(
        &self,
        answer: Option<&Answer>,
        kept: &Kept,
        namespace: impl Fn(&Map<String, Value>) -> Option<BorrowedFd<'netns>>,
    ) -> Result<()> {
        let answer = answer.filter(|_| self.conflist.version() >= Version::V0_4_0);
        let plugins = self.conflist.plugins.iter().rev();
        let failed = plugins
            .filter_map(|plugin| {
                self.call(Verb::Delete, plugin, namespace(plugin), answer, kept).err()
            })
            .collect();
        Error::several(failed).map_or(Ok(()), Err)
    }

    fn call(
        &self,
        verb: Verb,
        plugin: &Map<String, Value>,
        namespace: Option<BorrowedFd<'_>>,
        previous: Option<&Answer>,
        kept: &Kept,
    ) -> Result<Ended> {
        let name = kind(plugin);
        let input = serde_json::to_vec(&self.input(plugin, previous))
            .map_err(|error| Error::program(name, Problem::Malformed(error.to_string())))?;
        let mut command = Command::new(self.plugins.find(name)?);
        command.env_clear().env("PATH", PATH).env("CNI_COMMAND", verb.name());
        command.env("CNI_CONTAINERID", &self.request.container);
        command.env("CNI_NETNS", namespace.map(path_of).unwrap_or_default());
        command.env("CNI_IFNAME", self.request.link.as_str());
        command.env("CNI_ARGS", self.request.args());
        command.env("CNI_PATH", self.plugins.path());
        command.current_dir("/").stdin(Stdio::from(kept.input(&input)?));
        let ended = run(name, &mut command, self.plugins.timeout)?;
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
fn path_of(namespace: BorrowedFd<'_>) -> PathBuf {
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
