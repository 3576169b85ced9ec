//! Versions of the specification (`ociVersion`).
//!
//! Kernel objects: none. Invariant: what is accepted is a version as Semantic Versioning 2.0.0 writes it.

use std::fmt;
use std::str::FromStr;

/// A version of the runtime specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// Changes that are not compatible.
    pub major: u32,
    /// New features.
    pub minor: u32,
    /// Corrections.
    pub patch: u32,
    /// What stands after `-`, such as `rc.1` or `dev`; empty for a release.
    pub pre_release: String,
}

/// The text is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a version such as 1.3.0")]
pub struct NotAVersion;

impl Version {
    /// The newest version that this crate knows.
    pub const NEWEST: Self = Self { major: 1, minor: 3, patch: 0, pre_release: String::new() };

    /// The oldest version that this crate knows.
    pub const OLDEST: Self = Self { major: 1, minor: 0, patch: 0, pre_release: String::new() };

    /// Whether a configuration of this version holds nothing that this crate cannot know: from 1.0 to 1.3.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.major == Self::NEWEST.major && self.minor <= Self::NEWEST.minor
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let (text, build) =
            text.split_once('+').map_or((text, None), |(text, it)| (text, Some(it)));
        let (text, pre_release) =
            text.split_once('-').map_or((text, None), |(text, it)| (text, Some(it)));
        let well_formed = |text: &str| text.split('.').all(is_identifier);
        if !build.is_none_or(well_formed) || !pre_release.is_none_or(well_formed) {
            return Err(NotAVersion);
        }
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        let Some([major, minor, patch]) = numbers.as_deref() else { return Err(NotAVersion) };
        let (major, minor, patch) = (*major, *minor, *patch);
        Ok(Self { major, minor, patch, pre_release: pre_release.unwrap_or_default().to_owned() })
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = text.len() > 1 && text.starts_with('0');
    (is_number && !is_padded).then(|| text.parse().ok())?
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch, pre_release } = self;
        write!(out, "{major}.{minor}.{patch}")?;
        if pre_release.is_empty() { Ok(()) } else { write!(out, "-{pre_release}") }
    }
}
