//! The two ways in which a container is set up for the table. Touches no kernel object.
//!
//! Invariant: rows are only compared with the floor of their own configuration.

use std::ffi::OsStr;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What a contender isolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Configuration {
    /// All namespaces but time, 65 536 ids mapped, an overlay root on a tmpfs upper, /proc, /dev,
    /// capabilities, the default filter, a group of its own.
    All,
    /// Neither network nor user namespace, the directory itself as root, /proc, /dev, capabilities, a group of its
    /// own.
    Directory,
}

impl Configuration {
    /// The name on command lines and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Directory => "directory",
        }
    }

    /// The configuration of that name.
    ///
    /// # Errors
    /// [`Failure::Unknown`] when there is none.
    pub fn named(name: &OsStr) -> Result<Self, Failure> {
        [Self::All, Self::Directory]
            .into_iter()
            .find(|c| name == c.name())
            .ok_or_else(|| Failure::Unknown { what: "configuration", name: name.to_owned() })
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
