//! Media types: what a blob is, by the OCI image specification and by Docker's schema 2.
//!
//! Kernel objects: none. Invariant: the text of a media type survives parsing, so that a document
//! is written back with the types it came with.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    Uncompressed,
    /// With gzip (RFC 1952).
    Gzip,
    /// With Zstandard (RFC 8878).
    Zstd,
}

/// What a blob is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MediaType {
    /// An OCI image manifest.
    Manifest,
    /// An OCI image index.
    Index,
    /// An OCI image configuration.
    Config,
    /// An OCI layer.
    Layer(Compression),
    /// A manifest of Docker's schema 2.
    DockerManifest,
    /// A list of manifests of Docker's schema 2.
    DockerManifestList,
    /// Docker's image configuration.
    DockerConfig,
    /// A layer of Docker's schema 2.
    DockerLayer(Compression),
    /// A layer that may not be distributed, and so has to be fetched from elsewhere.
    Foreign(String),
    /// Anything else.
    Other(String),
}

#[rustfmt::skip]
const KNOWN: &[(MediaType, &str)] = &[
    (MediaType::Manifest, "application/vnd.oci.image.manifest.v1+json"),
    (MediaType::Index, "application/vnd.oci.image.index.v1+json"),
    (MediaType::Config, "application/vnd.oci.image.config.v1+json"),
    (MediaType::Layer(Compression::Uncompressed), "application/vnd.oci.image.layer.v1.tar"),
    (MediaType::Layer(Compression::Gzip), "application/vnd.oci.image.layer.v1.tar+gzip"),
    (MediaType::Layer(Compression::Zstd), "application/vnd.oci.image.layer.v1.tar+zstd"),
    (MediaType::DockerManifest, "application/vnd.docker.distribution.manifest.v2+json"),
    (MediaType::DockerManifestList, "application/vnd.docker.distribution.manifest.list.v2+json"),
    (MediaType::DockerConfig, "application/vnd.docker.container.image.v1+json"),
    (MediaType::DockerLayer(Compression::Uncompressed), "application/vnd.docker.image.rootfs.diff.tar"),
    (MediaType::DockerLayer(Compression::Gzip), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    (MediaType::DockerLayer(Compression::Zstd), "application/vnd.docker.image.rootfs.diff.tar.zstd"),
];

const FOREIGN: &[&str] = &[
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

impl MediaType {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Foreign(text) | Self::Other(text) => text,
            known => KNOWN.iter().find(|(own, _)| own == known).map_or("", |(_, text)| text),
        }
    }

    /// The compression, if it is a layer.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        match self {
            Self::Layer(compression) | Self::DockerLayer(compression) => Some(*compression),
            _ => None,
        }
    }

    /// Whether it is an image manifest, of either family.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::Manifest | Self::DockerManifest)
    }

    /// Whether it lists manifests, of either family.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self, Self::Index | Self::DockerManifestList)
    }

    /// Whether it is an image configuration, of either family.
    #[must_use]
    pub fn is_config(&self) -> bool {
        matches!(self, Self::Config | Self::DockerConfig)
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        if let Some((known, _)) = KNOWN.iter().find(|(_, own)| *own == text) {
            return known.clone();
        }
        let is_foreign = FOREIGN.iter().any(|prefix| text.starts_with(prefix));
        if is_foreign { Self::Foreign(text.to_owned()) } else { Self::Other(text.to_owned()) }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        let others = [
            FOREIGN,
            &["text/plain", "", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"],
        ];
        for text in KNOWN.iter().map(|(_, text)| *text).chain(others.concat()) {
            assert_eq!(MediaType::from(text).as_str(), text);
        }
    }

    #[test]
    fn what_they_are() {
        let of = |text: &str| MediaType::from(text);
        assert_eq!(of(KNOWN[10].1).compression(), Some(Compression::Gzip));
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar+xz").compression(), None);
        let foreign = of("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
        assert!(matches!(foreign, MediaType::Foreign(_)));
        assert!(
            MediaType::DockerManifest.is_manifest() && MediaType::DockerManifestList.is_index()
        );
        assert!(!MediaType::Index.is_manifest() && MediaType::DockerConfig.is_config());
    }
}
