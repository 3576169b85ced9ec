//! Which C library a program built on the host needs, as the guest has one of its own. Pure.

use std::fmt;

/// A version of glibc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc(u32, u32);

impl Glibc {
    /// Reads `2.41`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
        Some(Self(major.parse().ok()?, minor.get(..digits)?.parse().ok()?))
    }

    /// The newest version that a program names: its symbols carry versions as `GLIBC_2.34`.
    pub(crate) fn needed_by(program: &[u8]) -> Option<Self> {
        let mark = b"GLIBC_";
        let hits = program.windows(mark.len()).enumerate().filter(|(_, window)| window == mark);
        let version = |(at, _): (usize, &[u8])| {
            let rest = program.get(at + mark.len()..)?;
            let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
            Self::parse(str::from_utf8(rest.get(..end)?).ok()?)
        };
        hits.filter_map(version).max()
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts() {
        let program = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0GLIBC_";
        assert_eq!(Glibc::needed_by(program), Some(Glibc(2, 34)));
        assert_eq!(Glibc::needed_by(b"static"), None);
        assert!(Glibc::parse("2.41") > Glibc::parse("2.5\n"));
    }
}
