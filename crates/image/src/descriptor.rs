//! Descriptors: what a document says of another blob.
//!
//! Kernel objects: none. Invariant: the digest is typed and the size fits a signed number, as in
//! every other implementation.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::platform::Platform;

/// The name that a descriptor of a layout's index has, usually a tag.
pub const ANNOTATION_REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The whole reference, as containerd and Docker write it into a layout's index.
pub const ANNOTATION_IMAGE_NAME: &str = "io.containerd.image.name";

/// Media type, digest and size of a blob, and what else is said of it.
///
/// Embedded content (`data`) is dropped: blobs come from where blobs come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: MediaType,
    /// The blob's name.
    pub digest: Digest,
    /// The blob's length in bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Where else the blob could be had. Never followed.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free texts.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// For which platform the image is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// The descriptor of a blob, without anything optional.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// The descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The same without annotations, platform and the like: what two documents have to agree on.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self::new(self.media_type.clone(), self.digest, self.size)
    }
}

/// A size: neither negative nor more than a signed number holds.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = i64::deserialize(deserializer)?;
    u64::try_from(size).map_err(|_| de::Error::custom("a size is negative"))
}

/// Go writes `null` for what is empty.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(size: &str) -> String {
        let digest = Digest::of(b"");
        format!(r#"{{"mediaType":"text/plain","digest":"{digest}","size":{size}}}"#)
    }

    #[test]
    fn sizes() {
        let parsed = |text: &str| serde_json::from_str::<Descriptor>(&json(text));
        assert_eq!(parsed("0").expect("zero").size, 0);
        assert_eq!(parsed("9223372036854775807").expect("largest").size, i64::MAX as u64);
        for bad in ["-1", "9223372036854775808", "1.5", "1e3", "\"1\"", "null"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_optional_is_written() {
        let descriptor: Descriptor = serde_json::from_str(&json("3")).expect("json");
        assert_eq!(serde_json::to_string(&descriptor).expect("json"), json("3"));
    }
}
