//! Builds: an image from a [`Containerfile`] or an [`ImageBuilder`], step by step, with results that are kept.
//!
//! | I want … | Here |
//! |---|---|
//! | to say what is built, in Rust | [`ImageBuilder`] |
//! | to say it in a file | [`Containerfile`] |
//! | to build it | [`Build::new`], [`Build::run`] |
//! | to run its programs | [`Workshop`]; `ampoule` has one |
//! | to hear what happens | [`BuildEvent`] |
//!
//! A build reads nothing of the caller's environment. With [`Build::source_date_epoch`] it gives the same image each time,
//! as far as the programs that it runs do.

mod copy;
mod download;
mod driver;
mod gather;
mod image_builder;
mod layer;
mod mask;
mod mounts;
mod others;
mod owning;
mod place;
mod run;
mod settings;
mod stage;
mod step_mount;
mod tree_part;
mod trouble;
mod variables;
mod workshop;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::containerfile::{Containerfile, Ignore, RunNetwork};
use crate::diff::{Diff, Holes};
use crate::error::Result;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Image, Store, Unpacker};
use crate::unpack::Unpack;

pub use image_builder::ImageBuilder;
pub use step_mount::{StepMount, StepMountKind};
pub(crate) use trouble::Trouble;
pub use workshop::{Foreign, Mounted, RunEnd, RunStep, Scratch, Workshop};

/// Whether results of earlier builds are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cache {
    /// They are.
    #[default]
    Used,
    /// Every step is done again.
    Passed,
}

/// How an instruction was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Now.
    Done,
    /// By an earlier build.
    FromCache,
}

/// What happens during a build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent<'a> {
    /// An instruction begins.
    Step {
        /// Its line.
        line: usize,
        /// Which one of its stage's it is, the first being 1.
        number: usize,
        /// How many there are.
        count: usize,
        /// As it was written.
        text: &'a str,
    },
    /// A program of RUN writes.
    Output(&'a [u8]),
    /// An instruction is done.
    Done(Outcome),
    /// An argument that was given and that no ARG names.
    UnusedArgument(&'a str),
}

/// Finds the images that FROM and COPY name: gives them in the build's store.
pub type FindImage<'a> = dyn Fn(&Reference, &Platform) -> Result<Image> + 'a;

/// How an image is built.
pub struct Build<'a> {
    store: &'a Store,
    workshop: &'a dyn Workshop,
    unpacker: Option<&'a dyn Unpacker>,
    /// Where no other one is given.
    suited: Unpack,
    find: Box<FindImage<'a>>,
    context: Option<PathBuf>,
    ignore: Ignore,
    arguments: BTreeMap<String, String>,
    secrets: BTreeMap<String, Vec<u8>>,
    target: Option<String>,
    platform: Platform,
    network: RunNetwork,
    cache: Cache,
    diff: Diff,
    /// How ADD downloads, and how many bytes one file may have.
    #[cfg(feature = "registry")]
    downloads: (crate::registry::Options, u64),
    created: String,
    events: &'a (dyn Fn(&BuildEvent<'_>) + Sync),
}

impl std::fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build")
            .field("context", &self.context)
            .field("arguments", &self.arguments)
            .field("target", &self.target)
            .field("platform", &self.platform)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl<'a> Build<'a> {
    /// A build in `store`, whose images come from there, and whose programs run in `workshop`.
    #[must_use]
    pub fn new(store: &'a Store, workshop: &'a dyn Workshop) -> Self {
        Self {
            store,
            workshop,
            unpacker: None,
            suited: store.suited(),
            find: Box::new(|reference, _| store.image(reference)),
            context: None,
            ignore: Ignore::default(),
            arguments: BTreeMap::new(),
            secrets: BTreeMap::new(),
            target: None,
            platform: Platform::host(),
            network: RunNetwork::Host,
            cache: Cache::Used,
            diff: Diff::suited_with(store.ids()),
            #[cfg(feature = "registry")]
            downloads: (Default::default(), crate::unpack::Quotas::default().bytes),
            created: timestamp(SystemTime::now()),
            events: &|_| {},
        }
    }

    /// The directory that COPY and ADD copy from. Its `.containerignore` or `.dockerignore` is not read: see
    /// [`Build::ignore`].
    #[must_use]
    pub fn context(mut self, directory: impl Into<PathBuf>) -> Self {
        self.context = Some(directory.into());
        self
    }

    /// What is not part of that directory.
    #[must_use]
    pub fn ignore(mut self, ignore: Ignore) -> Self {
        self.ignore = ignore;
        self
    }

    /// A value for an ARG.
    #[must_use]
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }

    /// A secret for `RUN --mount=type=secret,id=…`. It is in memory only, in no layer, and a step that had another one
    /// counts as the same step.
    #[must_use]
    pub fn secret(mut self, id: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.secrets.insert(id.into(), bytes.into());
        self
    }

    /// Builds this stage, by name or number, instead of the last one.
    #[must_use]
    pub fn target(mut self, stage: impl Into<String>) -> Self {
        self.target = Some(stage.into());
        self
    }

    /// The platform of the image; otherwise this machine's.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// The network of RUN; otherwise the host's, as other builders do.
    #[must_use]
    pub fn network(mut self, network: RunNetwork) -> Self {
        self.network = network;
        self
    }

    /// Whether results of earlier builds are taken.
    #[must_use]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = cache;
        self
    }

    /// The time of the image, and of every file in it that is later (`SOURCE_DATE_EPOCH`, in seconds since 1970).
    #[must_use]
    pub fn source_date_epoch(mut self, seconds: u64) -> Self {
        let seconds = seconds.min(LATEST);
        self.created = timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        self.diff.source_date_epoch = i64::try_from(seconds).ok();
        self.diff.holes = Holes::Filled;
        self
    }

    /// How layers are unpacked, and how what is written over them is packed; otherwise as suits the store
    /// ([`Store::suited`], [`Diff::suited_with`]). Both must agree on owners, ids and whiteouts.
    #[must_use]
    pub fn layers(mut self, unpacker: &'a dyn Unpacker, diff: Diff) -> Self {
        let epoch = self.diff.source_date_epoch;
        self.unpacker = Some(unpacker);
        self.diff = diff;
        self.diff.source_date_epoch = epoch.or(self.diff.source_date_epoch);
        self
    }

    /// How ADD downloads the file of a URL: certificates, patience and attempts; and how many bytes it may have (64 GiB).
    /// No credentials are sent.
    #[cfg(feature = "registry")]
    #[must_use]
    pub fn downloads(mut self, options: crate::registry::Options, bytes: u64) -> Self {
        self.downloads = (options, bytes);
        self
    }

    /// Where images come from that the store does not have: a pull from a registry, for example.
    #[must_use]
    pub fn find(mut self, find: impl Fn(&Reference, &Platform) -> Result<Image> + 'a) -> Self {
        self.find = Box::new(find);
        self
    }

    /// Is told what happens.
    #[must_use]
    pub fn events(mut self, events: &'a (dyn Fn(&BuildEvent<'_>) + Sync)) -> Self {
        self.events = events;
        self
    }

    /// Builds, and names the image.
    ///
    /// # Errors
    /// [`ErrorKind::CommandFailed`](crate::ErrorKind::CommandFailed) for a program that fails,
    /// [`ErrorKind::InvalidContainerfile`](crate::ErrorKind::InvalidContainerfile),
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for sources and images that are not there,
    /// [`ErrorKind::Workshop`](crate::ErrorKind::Workshop) for what the workshop reports, and those of the store. All say
    /// the line. The name stays what it was then.
    pub fn run(&self, file: &Containerfile, name: &Reference) -> Result<Image> {
        driver::build(self, file, name)
    }

    /// How layers are unpacked.
    fn unpacker(&self) -> &dyn Unpacker {
        self.unpacker.unwrap_or(&self.suited)
    }
}

/// The latest time that can be written: the end of the year 9999.
const LATEST: u64 = 253_402_300_799;

/// A time as RFC 3339 writes it, in whole seconds.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
