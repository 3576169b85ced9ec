//! The version of the kernel, where it decides how an overlay is told its layers.
//!
//! Invariant: a version that cannot be read counts as the oldest one that is supported, on which everything works in
//! another way.

use std::fmt;

/// A version of Linux; two compare as their releases did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kernel {
    major: u32,
    minor: u32,
}

impl Kernel {
    /// The oldest one that is supported.
    pub const OLDEST: Self = Self::new(5, 14);
    /// A lower layer is one option each (`lowerdir+`; kernel document filesystems/overlayfs).
    pub(crate) const APPENDS: Self = Self::new(6, 8);
    /// A layer is a descriptor (6.13), also one that was opened with `O_PATH` and a mount that is nowhere attached.
    pub(crate) const DESCRIPTORS: Self = Self::new(6, 15);

    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The one that runs (uname(2)).
    #[must_use]
    pub fn running() -> Self {
        let names = rustix::system::uname();
        names.release().to_str().ok().and_then(Self::parse).unwrap_or(Self::OLDEST)
    }

    /// Reads a release, such as `6.8.0-31-generic`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some(Self { major: next()?, minor: next()? })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(Kernel::parse("6.8.0-31-generic"), Some(Kernel::new(6, 8)));
        assert_eq!(Kernel::parse("6.15-rc1"), Some(Kernel::new(6, 15)));
        assert_eq!(Kernel::parse("7.0"), Some(Kernel::new(7, 0)));
        for junk in ["", "x", "6", "6.", ".8", "-6.8", "99999999999.1"] {
            assert_eq!(Kernel::parse(junk), None, "{junk:?}");
        }
        assert!(Kernel::running() >= Kernel::OLDEST);
        assert!(Kernel::new(6, 15) > Kernel::new(6, 8) && Kernel::new(7, 0) > Kernel::new(6, 15));
    }
}
