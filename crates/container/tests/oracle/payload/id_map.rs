//! `/proc/PID/uid_map` and `gid_map` (user_namespaces(7)).
//!
//! Touches no kernel object. Invariant: three numbers per line, nothing else.

use super::{Malformed, number};

/// A range of mapped ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange {
    /// The first id inside.
    pub(crate) inside: u32,
    /// The first id outside, as seen by who read the file.
    pub(crate) outside: u32,
    /// How many.
    pub(crate) count: u32,
}

/// Parses the text of a map.
pub(crate) fn id_map(text: &str) -> Result<Vec<IdRange>, Malformed> {
    text.lines().map(range).collect()
}

fn range(line: &str) -> Result<IdRange, Malformed> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [inside, outside, count] = words[..] else {
        return Err(Malformed::new("three numbers", line));
    };
    Ok(IdRange {
        inside: number(inside, "an id")?,
        outside: number(outside, "an id")?,
        count: number(count, "a count")?,
    })
}
