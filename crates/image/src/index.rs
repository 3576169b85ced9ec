//! Indexes: several images under one name, and which of them is wanted.
//!
//! Kernel objects: none. Invariant: choosing among images never guesses: one fits best, or there is
//! an error that lists what there is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::{Descriptor, null_is_empty};
use crate::document;
use crate::error::{Error, Result};
use crate::media_type::MediaType;
use crate::platform::{Choice, Platform};

/// An image index of the OCI, or a list of manifests of Docker's schema 2.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Index {
    /// [`MediaType::Index`] or [`MediaType::DockerManifestList`].
    pub media_type: MediaType,
    /// Manifests and further indexes.
    pub manifests: Vec<Descriptor>,
    /// Free texts.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    #[serde(default, deserialize_with = "null_is_empty")]
    manifests: Vec<Descriptor>,
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    annotations: BTreeMap<String, String>,
}

/// What an index is called in errors.
pub(crate) const INDEX: &str = "index";

impl Index {
    /// An OCI index.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self { media_type: MediaType::Index, manifests, annotations: BTreeMap::new() }
    }

    /// From JSON that was found to be unambiguous, and an index.
    pub(crate) fn from_json(bytes: &[u8], media_type: MediaType) -> Result<Self> {
        let json: Json = document::strict(INDEX, document::FIELDS, bytes)?;
        Ok(Self { media_type, manifests: json.manifests, annotations: json.annotations })
    }

    /// Its bytes: the same for the same index, always.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = Json {
            schema_version: 2,
            media_type: Some(self.media_type.clone()),
            manifests: self.manifests.clone(),
            annotations: self.annotations.clone(),
        };
        document::to_json(INDEX, &json)
    }

    /// The platforms of its images, as far as they are given.
    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.images().filter_map(|entry| entry.platform.as_ref())
    }

    /// The entries that are images or indexes; attestations and other artifacts are not.
    fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| {
            let kind = &entry.media_type;
            let unknown = entry.platform.as_ref().is_some_and(|own| own.os == "unknown");
            (kind.is_manifest() || kind.is_index()) && !unknown && entry.artifact_type.is_none()
        })
    }

    /// The entry that is wanted: the one whose platform fits best, or the only one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoMatchingPlatform`](crate::ErrorKind::NoMatchingPlatform), with
    /// [`Error::platforms`]; [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous) if several are
    /// left that do not say for what they are;
    /// [`ErrorKind::UnsupportedMediaType`](crate::ErrorKind::UnsupportedMediaType) if it has
    /// nothing but other things.
    pub fn choose(&self, choice: &Choice) -> Result<&Descriptor> {
        let mut images = self.images();
        if let (Some(first), None) = (images.next(), images.next()) {
            // The only one, if it does not say that it is for something else.
            let wanted = choice.platform();
            let fits = match (&first.platform, &wanted) {
                (Some(own), Some(wanted)) => wanted.rank(own).is_some(),
                _ => true,
            };
            return if fits { Ok(first) } else { Err(self.no_match(wanted)) };
        }
        if let (Some(other), None) = (self.manifests.first(), self.images().next()) {
            return Err(Error::media_type(INDEX, &other.media_type));
        }
        let Some(wanted) = choice.platform() else { return Err(self.ambiguous()) };
        let best = self.images().filter_map(|entry| {
            let rank = entry.platform.as_ref().and_then(|own| wanted.rank(own))?;
            Some((rank, entry))
        });
        // Of equals, the first: max_by_key takes the last.
        let best = best.collect::<Vec<_>>().into_iter().rev().max_by_key(|(rank, _)| *rank);
        if let Some((_, entry)) = best {
            return Ok(entry);
        }
        let mut silent = self.images().filter(|entry| entry.platform.is_none());
        match (silent.next(), silent.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(self.ambiguous()),
            (None, _) => Err(self.no_match(Some(wanted))),
        }
    }

    fn no_match(&self, wanted: Option<Platform>) -> Error {
        Error::no_platform(wanted, self.platforms().cloned().collect())
    }

    fn ambiguous(&self) -> Error {
        Error::ambiguous(self.images().map(described).collect())
    }
}

/// How an entry is told from others.
fn described(entry: &Descriptor) -> String {
    let name = entry.annotations.get(crate::descriptor::ANNOTATION_REF_NAME);
    let platform = entry.platform.as_ref().map(ToString::to_string);
    name.cloned().or(platform).unwrap_or_else(|| entry.digest.to_string())
}
