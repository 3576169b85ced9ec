//! What a payload reports about itself, as typed values.
//!
//! Kernel objects: none; the parsers take the texts of proc(5) files that a payload printed, and
//! [`OwnProgram`] names this test binary as a payload. Invariant: parsers are pure and strict; a
//! malformed line is an error that shows it.

mod id_map;
mod limits;
mod mountinfo;
mod own_program;
mod status;

pub(crate) use id_map::{IdRange, id_map};
pub(crate) use limits::{Limit, limits};
pub(crate) use mountinfo::{Mount, mount_at, mountinfo};
pub(crate) use own_program::{OwnProgram, own_program, print_report, report, verb};
pub(crate) use status::{Status, status};

use std::str::FromStr;

/// A text that is not what the kernel prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// What was expected.
    pub(crate) wanted: &'static str,
    /// The line or word that is not it.
    pub(crate) found: String,
}

impl Malformed {
    fn new(wanted: &'static str, found: &str) -> Self {
        Self { wanted, found: found.to_owned() }
    }
}

/// A number in decimal.
fn number<T: FromStr>(word: &str, wanted: &'static str) -> Result<T, Malformed> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.then(|| word.parse().ok()).flatten();
    value.ok_or_else(|| Malformed::new(wanted, word))
}

/// The descriptors of a listing like that of `ls -l /proc/self/fd`: number and target.
pub(crate) fn descriptors(listing: &str) -> Vec<(u32, String)> {
    let entry = |line: &str| {
        let (left, target) = line.split_once(" -> ")?;
        let number = left.rsplit(char::is_whitespace).next()?.rsplit('/').next()?;
        Some((number.parse().ok()?, target.to_owned()))
    };
    listing.lines().filter_map(entry).collect()
}

/// The names of the network devices in `/proc/net/dev`.
pub(crate) fn network_devices(text: &str) -> Vec<String> {
    let lines = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    lines.map(|(name, _)| name.trim().to_owned()).collect()
}

/// The inode in a namespace link such as `pid:[4026531836]`, if it is of this kind.
pub(crate) fn namespace(link: &str, kind: &str) -> Result<u64, Malformed> {
    let inode = link.trim().strip_prefix(kind).and_then(|rest| rest.strip_prefix(":["));
    let inode = inode.and_then(|rest| rest.strip_suffix(']'));
    number(inode.ok_or_else(|| Malformed::new("a namespace link", link))?, "an inode")
}
