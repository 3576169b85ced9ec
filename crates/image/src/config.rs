//! Configurations: what an image says about how it is run, and which layers it is made of.
//!
//! Kernel objects: none. Invariant: what was read is written back, Docker's additions and unknown
//! keys included, in one fixed order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::descriptor::null_is_empty;
use crate::digest::Digest;
use crate::document;
use crate::error::{Error, Flaw, Result};
use crate::manifest::Manifest;
use crate::platform::Platform;

/// What a configuration is called in errors.
pub(crate) const CONFIG: &str = "configuration";

/// What means something in a configuration.
#[rustfmt::skip]
const FIELDS: document::Fields = &[
    "created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history",
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "Healthcheck", "OnBuild", "Shell", "Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries",
    "type", "diff_ids", "created_by", "comment", "empty_layer",
];

/// The configuration of an image.
///
/// Nothing in it is trusted: it is data of whoever made the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Configuration {
    /// When the image was made, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// For which platform it is.
    #[serde(flatten)]
    pub platform: MadeFor,
    /// How it is run.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Execution::is_empty"
    )]
    pub config: Execution,
    /// Of what it is made.
    pub rootfs: RootFs,
    /// How it was made.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Keys that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The platform as a configuration writes it; texts are empty where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MadeFor {
    /// The processor, by Go's names.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl MadeFor {
    /// The platform; `None` if the configuration does not say.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        if self.os.is_empty() || self.architecture.is_empty() {
            return None;
        }
        let mut platform = Platform::new(&self.os, &self.architecture);
        platform.variant = self.variant.clone().filter(|variant| !variant.is_empty());
        Some(platform)
    }
}

impl From<Platform> for MadeFor {
    fn from(platform: Platform) -> Self {
        Self { architecture: platform.architecture, os: platform.os, variant: platform.variant }
    }
}

/// How an image is run: the `config` of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Execution {
    /// `user`, `uid`, `user:group` or `uid:gid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Ports that it listens on: `80/tcp`.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Its environment: `NAME=value`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The first words of its command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The rest of its command line, if nothing else is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Directories that are to outlive a container.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Free texts.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Docker: how to find out whether it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Docker: instructions for builds from this image.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Docker: the shell of instructions that are one text.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Keys that this crate does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Execution {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Docker's health check: a command, and times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Healthcheck {
    /// `CMD` or `CMD-SHELL` and a command, or `NONE`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Nanoseconds between two checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// Nanoseconds that one check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Nanoseconds at the start in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<u64>,
    /// Nanoseconds between two checks at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<u64>,
    /// How many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
}

/// The layers of an image, by the digests of their uncompressed content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed layers, the lowest first.
    #[serde(deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: LAYERS.to_owned(), diff_ids: Vec::new() }
    }
}

/// The only kind of root file system there is.
const LAYERS: &str = "layers";

/// How one layer was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct History {
    /// When, as RFC 3339 writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl Configuration {
    /// An empty configuration for a platform.
    #[must_use]
    pub fn new(platform: Platform) -> Self {
        Self { platform: platform.into(), ..Self::default() }
    }

    /// A configuration from its bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for what is too large, no
    /// JSON, ambiguous, or no configuration of an image made of layers.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let config: Self = document::strict(CONFIG, FIELDS, bytes)?;
        if config.rootfs.kind == LAYERS {
            Ok(config)
        } else {
            Err(Error::document(CONFIG, Flaw::NotWhatItSays(config.rootfs.kind)))
        }
    }

    /// A configuration that belongs to `manifest`: with as many layers.
    ///
    /// # Errors
    ///
    /// As [`Configuration::parse`].
    pub fn parse_for(bytes: &[u8], manifest: &Manifest) -> Result<Self> {
        let config = Self::parse(bytes)?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers == diff_ids {
            Ok(config)
        } else {
            Err(Error::document(CONFIG, Flaw::LayerCounts { layers, diff_ids }))
        }
    }

    /// Its bytes: the same for the same configuration, always.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        document::to_json(CONFIG, self)
    }
}

/// Sets that Go writes as maps to empty objects.
mod set {
    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Nothing {}

    pub(super) fn serialize<S: Serializer>(
        set: &BTreeSet<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, Nothing {})))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map = Option::<BTreeMap<String, Option<Nothing>>>::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}
