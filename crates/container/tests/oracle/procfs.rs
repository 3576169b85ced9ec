//! Texts, links and directory listings of procfs.
//!
//! Kernel object: `/proc` (proc(5)). Invariant: what cannot be read becomes a fact too, so that
//! something that *became* unreadable is seen.

use std::fs;
use std::path::Path;

/// The text of a file, or its error in parentheses.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        Err(error) => format!("({error})"),
    }
}

/// The target of a link, or its error in parentheses.
pub(crate) fn link(path: impl AsRef<Path>) -> String {
    match fs::read_link(path) {
        Ok(target) => target.to_string_lossy().into_owned(),
        Err(error) => format!("({error})"),
    }
}

/// The names in a directory, sorted; none if it cannot be read. Its descriptor is closed again.
pub(crate) fn names(path: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}
