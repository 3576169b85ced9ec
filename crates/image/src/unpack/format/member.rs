//! A member of a layer: everything its headers say.
//!
//! Kernel objects: none. Invariant: numbers are in the ranges that Linux has; names are still as
//! the archive has them.

use super::number;
use super::sparse::SparseMap;

/// A time since 1970, in seconds and nanoseconds; `nsec` always counts forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    pub(crate) sec: i64,
    /// Less than 1 000 000 000.
    pub(crate) nsec: u32,
}

impl Timestamp {
    /// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut off.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
            Some(dot) => (text.get(..dot)?, text.get(dot + 1..)?),
            None => (text, [].as_slice()),
        };
        let sec = i64::try_from(number::decimal(whole)?).ok()?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = fraction.iter().map(|digit| u32::from(digit - b'0'));
        let nsec =
            digits.chain(std::iter::repeat(0)).take(9).fold(0, |sum, digit| sum * 10 + digit);
        Some(match (negative, nsec) {
            (false, _) => Self { sec, nsec },
            (true, 0) => Self { sec: -sec, nsec },
            (true, _) => Self { sec: -sec - 1, nsec: 1_000_000_000 - nsec },
        })
    }
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// `size` is what the file has, holes included; `sparse` says where its data goes.
    File {
        size: u64,
        sparse: Option<SparseMap>,
    },
    HardLink {
        target: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions with set-id and sticky bits, without the type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) atime: Option<Timestamp>,
    pub(crate) attributes: Vec<Attribute>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = |text: &str| Timestamp::parse(text.as_bytes()).map(|time| (time.sec, time.nsec));
        assert_eq!(time("0"), Some((0, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("12."), Some((12, 0)));
        assert_eq!(time("1.0000000019"), Some((1, 1)));
        assert_eq!(time("-1.5"), Some((-2, 500_000_000)));
        assert_eq!(time("-1"), Some((-1, 0)));
        for bad in ["", ".", "-", ".5", "1.x", "+1", "1e3", " 1", "9223372036854775808"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
