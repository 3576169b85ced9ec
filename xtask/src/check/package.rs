//! What goes to the registry: metadata, and packages that cargo can make.

use std::collections::BTreeSet;

use super::Outcome;
use crate::error::Error;
use crate::process;
use crate::workspace::{Metadata, Package, cargo};

/// Files that each package carries.
const CARRIED: &[&str] =
    &["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"];

/// Each published package says what it is.
pub(super) fn metadata() -> Result<Outcome, Error> {
    let members = Metadata::members()?;
    Ok(Outcome::of(members.published().flat_map(missing_metadata).collect()))
}

fn missing_metadata(package: &Package) -> Vec<String> {
    let readme = package.readme.as_ref().is_some_and(|file| package.dir.join(file).is_file());
    let facts = [
        ("description", package.description.is_some()),
        ("license of the workspace", package.license.as_deref() == Some("MIT OR Apache-2.0")),
        ("readme that exists", readme),
        ("documentation or package.metadata.docs.rs", package.has_documentation),
    ];
    let missing = facts.into_iter().filter(|(_, there)| !there);
    missing.map(|(what, _)| format!("{}: no {what}", package.name)).collect()
}

/// cargo makes all packages together, and each carries what it must.
pub(super) fn run() -> Result<Outcome, Error> {
    let members = Metadata::members()?;
    let mut findings = Vec::new();
    let mut together = cargo("package");
    together.args(["--no-verify", "--allow-dirty"]);
    for package in members.published() {
        let mut list = cargo("package");
        list.args(["--list", "--allow-dirty", "--package", &package.name]);
        let listed = process::stdout(&mut list)?;
        let listed: BTreeSet<&str> = listed.lines().collect();
        let missing = CARRIED.iter().filter(|file| !listed.contains(**file));
        findings.extend(missing.map(|file| format!("{}: does not carry {file}", package.name)));
        together.args(["--package", &package.name]);
    }
    Outcome::of(findings).and(|| Outcome::of_command(&mut together))
}
