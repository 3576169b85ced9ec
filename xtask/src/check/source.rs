//! Runs the source rules over every Rust file that git knows or would add.

use std::process::Command;

use super::{Outcome, rules};
use crate::error::Error;
use crate::{process, workspace};

/// One file: its path from the top, and its text.
struct File {
    path: String,
    text: String,
}

fn files() -> Result<Vec<File>, Error> {
    let root = workspace::root();
    let mut git = Command::new("git");
    git.current_dir(&root).args(["ls-files", "-z", "--cached", "--others"]);
    git.args(["--exclude-standard", "--deduplicate", "--", "*.rs"]);
    let mut files = Vec::new();
    for path in process::stdout(&mut git)?.split_terminator('\0') {
        let full = root.join(path);
        // A file that is deleted but not yet in a commit is still listed.
        if full.exists() {
            let text = std::fs::read_to_string(&full).map_err(|e| Error::io("read", &full, e))?;
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn apply(rule: fn(&str, &str) -> Vec<String>) -> Result<Outcome, Error> {
    let files = files()?;
    Ok(Outcome::of(files.iter().flat_map(|file| rule(&file.path, &file.text)).collect()))
}

/// Files are short.
pub(super) fn lengths() -> Result<Outcome, Error> {
    let mut findings = Vec::new();
    for File { path, text } in files()? {
        let lines = text.lines().count();
        if lines > rules::TOO_LONG {
            findings.push(format!("{path}: {lines} lines, at most {}", rules::TOO_LONG));
        } else if lines > rules::LONG {
            println!("warning: {path}: {lines} lines; look for the second noun");
        }
    }
    Ok(Outcome::of(findings))
}

/// `unsafe` stands in the listed files only.
pub(super) fn unsafe_code() -> Result<Outcome, Error> {
    apply(rules::unsafe_code)
}

/// Lints are switched off with a reason only.
pub(super) fn reasons() -> Result<Outcome, Error> {
    apply(rules::reasons)
}

/// Files and modules have names that say something.
pub(super) fn names() -> Result<Outcome, Error> {
    apply(rules::names)
}

/// Nothing is left for later.
pub(super) fn finished() -> Result<Outcome, Error> {
    apply(rules::finished)
}
