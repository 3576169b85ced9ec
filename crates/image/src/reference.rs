//! References: how people name images.
//!
//! Kernel objects: none. Invariant: a [`Reference`] is always in its normalised form, so that two
//! of them are equal exactly if they name the same image.

mod parse;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Digest;
use crate::error::{Error, Reason, Result};

/// The registry of a reference that names none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag of a reference that has neither a tag nor a digest.
pub const DEFAULT_TAG: &str = "latest";

/// Where Docker's registry keeps the images whose name has one component.
const OFFICIAL: &str = "library/";

/// What a reference is called in errors.
pub(crate) const REFERENCE: &str = "reference";

/// The name of an image: registry, repository, and a tag, a digest, both or neither.
///
/// ```
/// use ampoule_image::Reference;
///
/// # fn main() -> ampoule_image::Result<()> {
/// let image: Reference = "alpine".parse()?;
/// assert_eq!(image.to_string(), "docker.io/library/alpine");
/// assert_eq!(image.or_latest().familiar(), "alpine:latest");
///
/// let image: Reference = "localhost:5000/team/x:1.2".parse()?;
/// assert_eq!((image.registry(), image.repository()), ("localhost:5000", "team/x"));
///
/// let error = "localhost:5000/Team/x".parse::<Reference>().unwrap_err();
/// assert_eq!(error.offset(), Some(15));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host, with its port if one was given: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry: `library/alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Registry and repository.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The tag, if one was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same image name with another tag.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidReference`](crate::ErrorKind::InvalidReference) for what is no tag: up
    /// to 128 letters, digits, `_`, `.` and `-`, the first of them no `.` and no `-`.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        parse::tag(tag).map_err(|(at, reason)| Error::text("tag", tag, at, reason))?;
        Ok(Self { tag: Some(tag.to_owned()), ..self.clone() })
    }

    /// The same image name with another digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same with the tag `latest`, if there is neither a tag nor a digest.
    #[must_use]
    pub fn or_latest(&self) -> Self {
        let mut named = self.clone();
        if named.tag.is_none() && named.digest.is_none() {
            named.tag = Some(DEFAULT_TAG.to_owned());
        }
        named
    }

    /// The shortest text that parses to this reference: `alpine:3.22`, `localhost:5000/x`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let rest = self.suffix();
        let full = format!("{self}");
        let short = self.repository.strip_prefix(OFFICIAL).filter(|name| !name.contains('/'));
        let candidates = [short, Some(self.repository.as_str())];
        let mut texts = candidates.into_iter().flatten().map(|name| format!("{name}{rest}"));
        // A repository of the default registry can look like a registry, or like a digest.
        texts.find(|text| text.parse::<Self>().as_ref() == Ok(self)).unwrap_or(full)
    }

    /// Tag and digest, with what stands before them.
    fn suffix(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        tag.chain(self.digest.iter().map(|digest| format!("@{digest}"))).collect()
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::reference(text).map_err(|(at, reason)| Error::text(REFERENCE, text, at, reason))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.suffix())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Where a text goes wrong, and why.
type Wrong = (usize, Reason);

#[cfg(test)]
mod tests;
