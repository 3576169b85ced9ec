//! A file or directory of the host that a container is to see, as command lines say it.
//!
//! Touches nothing. Invariant: what is not understood completely is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ampoule::{Mount, Relabel};

use crate::arguments::Failure;

/// What `SRC:DST[:HOW]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// On the host; a relative one is of the working directory.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// `ro` or `rw`, if one was said.
    pub access: Option<Access>,
    /// `z` or `Z`, if one was said.
    pub relabel: Option<Relabel>,
}

/// Whether the container may write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may not.
    ReadOnly,
    /// It may.
    ReadWrite,
}

impl Volume {
    /// Reads the value of this option.
    ///
    /// # Errors
    /// What has another form, or says the same twice.
    pub fn parse(option: &str, text: &OsStr) -> Result<Self, Failure> {
        let wrong = || {
            let text = text.display();
            format!("{text}: --{option} takes SRC:DST or SRC:DST:[ro|rw][,z|,Z]")
        };
        let mut parts = text.as_bytes().split(|&byte| byte == b':').map(OsStr::from_bytes);
        let (Some(source), Some(target), how, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong().into());
        };
        let (mut access, mut relabel) = (None, None);
        for word in how.iter().flat_map(|how| how.as_bytes().split(|&byte| byte == b',')) {
            let twice = match word {
                b"ro" => access.replace(Access::ReadOnly).is_some(),
                b"rw" => access.replace(Access::ReadWrite).is_some(),
                b"z" => relabel.replace(Relabel::Shared).is_some(),
                b"Z" => relabel.replace(Relabel::Private).is_some(),
                _ => true,
            };
            if twice {
                return Err(wrong().into());
            }
        }
        Ok(Self { source: std::path::absolute(source)?, target: target.into(), access, relabel })
    }
    /// Shows it, with this access where none was said; without set-user-id and devices.
    #[must_use]
    pub fn mount(&self, otherwise: Access) -> Mount {
        match self.access.unwrap_or(otherwise) {
            Access::ReadOnly => Mount::bind(&self.source, &self.target),
            Access::ReadWrite => Mount::bind_rw(&self.source, &self.target),
        }
    }
}
