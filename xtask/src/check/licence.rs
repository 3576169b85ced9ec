//! Licences: our own check of the default dependency tree, and cargo-deny where it is installed.

use std::collections::BTreeSet;

use super::Outcome;
use crate::error::Error;
use crate::workspace::cargo;
use crate::{process, workspace};

/// SPDX identifiers that a dependency may have; the same list is in `deny.toml`.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Every crate that users of the default features link has a permissive licence.
pub(super) fn run() -> Result<Outcome, Error> {
    let triple = workspace::host_triple()?;
    let mut tree = cargo("tree");
    tree.args(["--locked", "--package", "ampoule", "--edges", "normal", "--target", &triple]);
    let text = process::stdout(tree.args(["--prefix", "none", "--format", "{p}|{l}"]))?;
    // A crate that stands in the tree more than once is marked so from the second time on.
    let crates: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let findings: Vec<String> = crates.iter().filter_map(|line| finding(line)).collect();
    let note = format!("{} crates in the default tree of ampoule", crates.len());
    Ok(if findings.is_empty() { Outcome::Passed(note) } else { Outcome::Failed(findings) })
}

fn finding(line: &str) -> Option<String> {
    let (package, licence) = line.rsplit_once('|').unwrap_or((line, ""));
    (!is_permissive(licence)).then(|| format!("{package}: licence `{licence}`"))
}

/// Whether an SPDX expression can be met with permissive licences only; a malformed one cannot.
fn is_permissive(expression: &str) -> bool {
    // The slash of old manifests means OR.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> Option<bool> {
    let mut fine = all_of(words)?;
    while take(words, "OR") {
        fine |= all_of(words)?;
    }
    Some(fine)
}

fn all_of(words: &mut &[&str]) -> Option<bool> {
    let mut fine = one(words)?;
    while take(words, "AND") {
        fine &= one(words)?;
    }
    Some(fine)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let fine = any_of(words)?;
        return take(words, ")").then_some(fine);
    }
    let (name, rest) = words.split_first()?;
    *words = rest;
    let mut full = (*name).to_owned();
    if take(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        full += &format!(" WITH {exception}");
        *words = rest;
    }
    Some(PERMISSIVE.contains(&full.as_str()))
}

fn take(words: &mut &[&str], wanted: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == wanted => {
            *words = rest;
            true
        }
        _ => false,
    }
}

/// `cargo deny check` over all features and targets.
pub(super) fn deny() -> Result<Outcome, Error> {
    if process::find("cargo-deny").is_none() {
        let remedy = "cargo install --locked cargo-deny && cargo deny check".to_owned();
        return Ok(Outcome::NotRun { reason: "cargo-deny is not installed".to_owned(), remedy });
    }
    Outcome::of_command(cargo("deny").arg("check"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-2.0 AND MIT OR ISC",
        ] {
            assert!(is_permissive(good), "{good}");
        }
    }

    #[test]
    fn what_is_not_permissive_is_refused() {
        for bad in [
            "",
            "MPL-2.0",
            "MIT AND GPL-3.0",
            "(MIT",
            "MIT)",
            "MIT OR",
            "Apache-2.0 WITH Other-exception",
            "MIT MIT",
        ] {
            assert!(!is_permissive(bad), "{bad}");
        }
    }
}
