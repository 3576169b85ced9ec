//! Lists of processors and memory nodes.

use super::report::Report;
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

/// The number of processors and nodes is below this on every kernel.
const NUMBER_MAX: u32 = 8191;

/// A list such as `0-3,7`; an empty one says nothing.
pub(super) fn list(report: &mut Report, at: JsonPath, text: Option<&str>) {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return };
    if !text.split(',').all(|range| is_range(range.trim())) {
        report.add(at, Flaw::NotA { found: Excerpt::of(text), expected: Expected::List });
    }
}

fn is_range(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) => first <= last && last <= NUMBER_MAX,
        _ => false,
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
