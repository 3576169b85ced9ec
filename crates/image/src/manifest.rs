//! Manifests: one image, as its configuration and its layers.
//!
//! Kernel objects: none. Invariant: a [`Manifest`] has a configuration and layers of known media
//! types only, none of them foreign.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::{Descriptor, null_is_empty};
use crate::document::{self, Document};
use crate::error::{Error, Flaw, Result};
use crate::media_type::MediaType;

/// A manifest of the OCI image specification or of Docker's schema 2.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// [`MediaType::Manifest`] or [`MediaType::DockerManifest`].
    pub media_type: MediaType,
    /// The image's configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Free texts.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest's JSON. Unknown keys, `subject` and `artifactType` say nothing that is used here.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    config: Descriptor,
    #[serde(default, deserialize_with = "null_is_empty")]
    layers: Vec<Descriptor>,
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    annotations: BTreeMap<String, String>,
}

/// What a manifest is called in errors.
pub(crate) const MANIFEST: &str = "manifest";

/// More layers than an overlay mount takes make no image.
pub const LAYERS_MAX: usize = 500;

impl Manifest {
    /// An OCI manifest.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { media_type: MediaType::Manifest, config, layers, annotations: BTreeMap::new() }
    }

    /// A manifest from its bytes.
    ///
    /// # Errors
    ///
    /// As [`Document::parse`]; an index is
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        match Document::parse(bytes, None)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(index) => {
                Err(Error::document(MANIFEST, Flaw::NotWhatItSays(index.media_type.to_string())))
            }
        }
    }

    /// From JSON that was found to be unambiguous, and a manifest.
    pub(crate) fn from_json(bytes: &[u8], media_type: MediaType) -> Result<Self> {
        let json: Json = document::strict(MANIFEST, document::FIELDS, bytes)?;
        if !json.config.media_type.is_config() {
            return Err(Error::media_type("configuration", &json.config.media_type));
        }
        for layer in &json.layers {
            match &layer.media_type {
                MediaType::Foreign(_) => return Err(Error::foreign(layer)),
                known if known.compression().is_some() => {}
                other => return Err(Error::media_type("layer", other)),
            }
        }
        if json.layers.len() > LAYERS_MAX {
            return Err(Error::document(MANIFEST, Flaw::TooManyLayers(json.layers.len())));
        }
        let Json { config, layers, annotations, .. } = json;
        Ok(Self { media_type, config, layers, annotations })
    }

    /// Its bytes: the same for the same manifest, always.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = Json {
            schema_version: 2,
            media_type: Some(self.media_type.clone()),
            config: self.config.clone(),
            layers: self.layers.clone(),
            annotations: self.annotations.clone(),
        };
        document::to_json(MANIFEST, &json)
    }
}

impl Manifest {
    /// Every blob of the image: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}
