//! Platforms: for which machines an image is made, and which of several fits.
//!
//! Kernel objects: none. Invariant: names are Go's (`amd64`, `arm64`), as the image specification
//! wants them; the names of uname(2) are translated when a text is parsed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Reason, Result};

/// Operating system, architecture, and the architecture's variant.
///
/// As text it is `linux/arm64` or `linux/arm/v7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// The processor, by Go's names: `amd64`, `arm64`, `riscv64`.
    pub architecture: String,
    /// The operating system: `linux`.
    pub os: String,
    /// What the processor can do beyond the baseline: `v7`, `v8`, `v3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system; not used on Linux.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system has to have; not used on Linux.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// A platform without a variant, by Go's names.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self { os: os.to_owned(), architecture: architecture.to_owned(), ..Self::default() }
    }

    /// The platform that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, go_name(std::env::consts::ARCH))
    }

    /// How well what is offered runs on this platform; `None` if it does not. More is better.
    ///
    /// A machine of variant `v7` runs what is made for `v6`. Without a variant the architecture's
    /// baseline is meant: `v1` of amd64, `v7` of arm, `v8` of arm64.
    #[must_use]
    pub fn rank(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        match (self.level(), offered.level()) {
            (Some(own), Some(level)) if level <= own => Some(level),
            (None, _) | (_, None) if self.variant == offered.variant => Some(0),
            _ => None,
        }
    }

    /// The variant as a number, minor part included; `None` if it is not written `vN` or `vN.M`.
    fn level(&self) -> Option<u32> {
        let baseline = match self.architecture.as_str() {
            "arm" => "v7",
            "arm64" => "v8",
            _ => "v1",
        };
        let variant = self.variant.as_deref().unwrap_or(baseline).strip_prefix('v')?;
        let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
        let (major, minor) = (major.parse::<u8>().ok()?, minor.parse::<u8>().ok()?);
        Some(u32::from(major) << 8 | u32::from(minor))
    }
}

/// Go's name of an architecture.
fn go_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "armv7l" | "armhf" => "arm",
        "powerpc64le" => "ppc64le",
        other => other,
    }
}

/// What a platform is called in errors.
pub(crate) const PLATFORM: &str = "platform";

/// The longest part of a platform's text, in bytes.
const PART_MAX: usize = 64;

impl FromStr for Platform {
    type Err = Error;

    /// Parses `os/architecture[/variant]`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidPlatform`](crate::ErrorKind::InvalidPlatform) with the offset.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |at, reason| Error::text(PLATFORM, text, at, reason);
        let mut start = 0;
        for part in text.split('/') {
            let bad = part
                .bytes()
                .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
            if let Some(bad) = bad {
                return Err(wrong(start + bad, Reason::Unexpected));
            }
            if part.is_empty() {
                return Err(wrong(start, Reason::Empty));
            }
            if part.len() > PART_MAX {
                return Err(wrong(start + PART_MAX, Reason::TooLong(PART_MAX)));
            }
            start += part.len() + 1;
        }
        let mut parts = text.splitn(4, '/');
        let (Some(os), Some(architecture)) = (parts.next(), parts.next()) else {
            return Err(wrong(text.len(), Reason::Lacks('/')));
        };
        let variant = parts.next().map(str::to_owned);
        match parts.next() {
            Some(rest) => Err(wrong(text.len() - rest.len() - 1, Reason::Unexpected)),
            None => Ok(Self { variant, ..Self::new(os, go_name(architecture)) }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// For which platform an image is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// For [`Platform::host`].
    #[default]
    Host,
    /// For this one.
    Platform(Platform),
    /// For any, as long as there is no choice between several.
    Any,
}

impl Choice {
    /// The platform that has to fit; `None` for any.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        match self {
            Self::Host => Some(Platform::host()),
            Self::Platform(platform) => Some(platform.clone()),
            Self::Any => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parsed(text: &str) -> Platform {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn texts() {
        assert_eq!(parsed("linux/x86_64"), Platform::new("linux", "amd64"));
        assert_eq!(parsed("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(parsed(&Platform::host().to_string()), Platform::host());
        for (text, offset) in [
            ("linux", 5),
            ("", 0),
            ("linux/", 6),
            ("/amd64", 0),
            ("linux/AMD64", 6),
            ("a/b/c/d", 5),
        ] {
            let error = text.parse::<Platform>().expect_err(text);
            assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidPlatform, Some(offset)));
        }
    }

    #[test]
    fn what_runs_where() {
        let best = |own: &str, offered: &[&'static str]| {
            let own = parsed(own);
            let ranked = offered.iter().filter_map(|text| Some((own.rank(&parsed(text))?, *text)));
            ranked.max().map(|(_, text)| text)
        };
        let arm = ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6", "linux/arm64"];
        assert_eq!(best("linux/arm/v6", &arm), Some("linux/arm/v6"));
        assert_eq!(best("linux/arm", &arm), Some("linux/arm/v7"));
        assert_eq!(best("linux/arm64/v8", &arm), Some("linux/arm64"));
        assert_eq!(best("linux/amd64", &["linux/amd64/v3", "linux/amd64"]), Some("linux/amd64"));
        assert_eq!(
            best("linux/amd64/v3", &["linux/amd64/v3", "linux/amd64"]),
            Some("linux/amd64/v3")
        );
        assert_eq!(best("linux/amd64", &["linux/amd64/v2", "windows/amd64"]), None);
        assert_eq!(
            best("linux/arm64/v9.2", &["linux/arm64/v9.3", "linux/arm64/v9"]),
            Some("linux/arm64/v9")
        );
        assert_eq!(best("linux/mips/soft", &["linux/mips/soft"]), Some("linux/mips/soft"));
    }

    #[test]
    fn keys_are_the_specifications() {
        let json = r#"{"architecture":"amd64","os":"windows","os.version":"10.0","os.features":["win32k"]}"#;
        let platform: Platform = serde_json::from_str(json).expect("json");
        assert_eq!(platform.os_version.as_deref(), Some("10.0"));
        assert_eq!(serde_json::to_string(&platform).expect("json"), json);
    }
}
