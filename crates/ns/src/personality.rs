//! The execution domain of a process.
//!
//! Kernel objects: none, this is data. Manual: personality(2). Invariant: [`Personality::number`]
//! has only the bits of a known domain and known flags.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};

/// An execution domain, personality(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExecutionDomain {
    /// `PER_LINUX`.
    #[default]
    #[serde(rename = "LINUX")]
    Linux,
    /// `PER_LINUX32`: uname(2) tells the 32-bit machine name.
    #[serde(rename = "LINUX32")]
    Linux32,
}

impl FromStr for ExecutionDomain {
    type Err = Error;

    /// Reads `LINUX` or `LINUX32`, as the OCI runtime specification writes them.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "LINUX" => Ok(Self::Linux),
            "LINUX32" => Ok(Self::Linux32),
            _ => Err(Error::text(ErrorKind::InvalidPersonality, text, Reason::Unknown)),
        }
    }
}

bitflags::bitflags! {
    /// Flags beside the domain, personality(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct PersonalityFlags: u32 {
        /// uname(2) tells a 2.6 version, since Linux 3.1.
        const UNAME26 = 0x002_0000;
        /// No randomization of addresses.
        const ADDR_NO_RANDOMIZE = 0x004_0000;
        /// Page 0 is mapped, which hides null pointers.
        const MMAP_PAGE_ZERO = 0x010_0000;
        /// The old layout of mappings.
        const ADDR_COMPAT_LAYOUT = 0x020_0000;
        /// What is readable is executable.
        const READ_IMPLIES_EXEC = 0x040_0000;
        /// 32 bits of address space.
        const ADDR_LIMIT_32BIT = 0x080_0000;
        /// No effect today.
        const SHORT_INODE = 0x100_0000;
        /// No effect today.
        const WHOLE_SECONDS = 0x200_0000;
        /// select(2) and its like leave the timeout as it was.
        const STICKY_TIMEOUTS = 0x400_0000;
        /// 3 GiB of address space.
        const ADDR_LIMIT_3GB = 0x800_0000;
    }
}

/// A domain with flags. The default is what a process normally has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Personality {
    /// The domain.
    pub domain: ExecutionDomain,
    /// The flags.
    pub flags: PersonalityFlags,
}

impl Personality {
    /// A domain with flags.
    #[must_use]
    pub const fn new(domain: ExecutionDomain, flags: PersonalityFlags) -> Self {
        Self { domain, flags }
    }

    /// Checks the flags; data that was read may have unknown ones, written as numbers.
    ///
    /// # Errors
    /// [`InvalidPersonality`](ErrorKind::InvalidPersonality).
    pub fn validate(&self) -> Result<()> {
        if PersonalityFlags::all().contains(self.flags) {
            return Ok(());
        }
        let text = format!("{:#x}", self.flags.bits());
        Err(Error::text(ErrorKind::InvalidPersonality, &text, Reason::FlagsDoNotFit))
    }

    /// The number that personality(2) takes.
    #[must_use]
    pub const fn number(self) -> u32 {
        let domain = match self.domain {
            ExecutionDomain::Linux => 0,
            ExecutionDomain::Linux32 => 8,
        };
        domain | self.flags.intersection(PersonalityFlags::all()).bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(Personality::default().number(), 0);
        let flags = PersonalityFlags::ADDR_NO_RANDOMIZE;
        assert_eq!(Personality::new(ExecutionDomain::Linux32, flags).number(), 0x0004_0008);
    }

    #[test]
    fn names_and_json() {
        assert_eq!("LINUX32".parse::<ExecutionDomain>().unwrap(), ExecutionDomain::Linux32);
        let error = "linux".parse::<ExecutionDomain>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPersonality);
        let flags = PersonalityFlags::ADDR_NO_RANDOMIZE | PersonalityFlags::UNAME26;
        let personality = Personality::new(ExecutionDomain::Linux32, flags);
        let json = serde_json::to_string(&personality).unwrap();
        assert_eq!(json, r#"{"domain":"LINUX32","flags":"UNAME26 | ADDR_NO_RANDOMIZE"}"#);
        assert_eq!(serde_json::from_str::<Personality>(&json).unwrap(), personality);
        personality.validate().unwrap();
        let unknown: Personality = serde_json::from_str(r#"{"flags":"0x1"}"#).unwrap();
        assert_eq!(unknown.validate().unwrap_err().kind(), ErrorKind::InvalidPersonality);
        assert_eq!(unknown.number(), 0);
    }
}
