//! Texts and paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::report::Report;
use crate::path::JsonPath;
use crate::problem::{Excerpt, Flaw};

/// The longest path that the kernel takes, in bytes, without the NUL at its end.
pub(crate) const PATH_MAX: usize = 4095;

/// The longest argument or variable that the kernel takes, in bytes, without the NUL at its end.
pub(super) const STRING_MAX: usize = 131_071;

/// A path that is not empty.
pub(super) fn path(report: &mut Report, at: JsonPath, path: &Path) {
    let bytes = path.as_os_str().len();
    if bytes == 0 {
        report.add(at, Flaw::Empty);
    } else if bytes > PATH_MAX {
        report.add(at, Flaw::TooLong { max: PATH_MAX });
    }
}

/// A path that starts at the root.
pub(super) fn absolute(report: &mut Report, at: JsonPath, path: impl AsRef<Path>) {
    let path = path.as_ref();
    if !path.as_os_str().is_empty() && !path.is_absolute() {
        report.add(at.clone(), Flaw::NotAbsolute(excerpt(path.as_os_str())));
    }
    self::path(report, at, path);
}

/// A text of at most this many bytes.
pub(super) fn at_most(report: &mut Report, at: &JsonPath, text: &str, max: usize) {
    if text.len() > max {
        report.add(at.clone(), Flaw::TooLong { max });
    }
}

/// Arguments or variables.
pub(super) fn strings(report: &mut Report, at: &JsonPath, texts: &[String]) {
    for (index, text) in texts.iter().enumerate() {
        at_most(report, &at.index(index), text, STRING_MAX);
    }
}

/// Variables: `NAME=value`.
pub(super) fn variables(report: &mut Report, at: &JsonPath, variables: Option<&Vec<String>>) {
    let variables = variables.map(Vec::as_slice).unwrap_or_default();
    strings(report, at, variables);
    for (index, variable) in variables.iter().enumerate() {
        if variable.find('=').is_none_or(|end| end == 0) {
            let expected = crate::problem::Expected::Variable;
            report.add(at.index(index), Flaw::NotA { found: Excerpt::of(variable), expected });
        }
    }
}

/// The beginning of a text, with `�` for what is not UTF-8.
pub(super) fn excerpt(text: &OsStr) -> Excerpt {
    Excerpt::of(&String::from_utf8_lossy(text.as_bytes()))
}
