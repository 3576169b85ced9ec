//! `/proc/PID/limits` (proc_pid_limits(5)).
//!
//! Touches no kernel object. Invariant: one entry per line after the heading.

use std::collections::BTreeMap;

use super::{Malformed, number};

/// A soft and a hard limit in the unit of the resource; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// What is enforced.
    pub(crate) soft: Option<u64>,
    /// How far it may be raised.
    pub(crate) hard: Option<u64>,
}

/// Parses the text of a `limits` file: limits by name, such as `Max open files`.
pub(crate) fn limits(text: &str) -> Result<BTreeMap<String, Limit>, Malformed> {
    text.lines().skip(1).map(limit).collect()
}

/// The kernel pads the name to 25 columns; it may contain spaces.
fn limit(line: &str) -> Result<(String, Limit), Malformed> {
    let short = || Malformed::new("a line of limits", line);
    let (name, rest) = line.split_at_checked(25).ok_or_else(short)?;
    let mut words = rest.split_whitespace();
    let (soft, hard) = (words.next().ok_or_else(short)?, words.next().ok_or_else(short)?);
    Ok((name.trim().to_owned(), Limit { soft: value(soft)?, hard: value(hard)? }))
}

fn value(word: &str) -> Result<Option<u64>, Malformed> {
    if word == "unlimited" { Ok(None) } else { number(word, "a limit").map(Some) }
}
