//! The steps that cargo's own tools do: lock file, rustfmt, clippy, rustdoc.

use super::Outcome;
use crate::error::Error;
use crate::workspace::{self, cargo};

/// Workspaces of their own inside the tree.
const EXCLUDED: &[&str] = &["benches/peers", "fuzz"];

/// The lock file is there and fits the manifests.
pub(super) fn lock() -> Result<Outcome, Error> {
    let mut command = cargo("metadata");
    command.args(["--locked", "--format-version", "1"]).stdout(std::process::Stdio::null());
    Outcome::of_command(&mut command)
}

/// `cargo fmt --check` in each workspace.
pub(super) fn fmt() -> Result<Outcome, Error> {
    let mut outcome = Outcome::of_command(cargo("fmt").args(["--all", "--check"]))?;
    for dir in EXCLUDED {
        let manifest = workspace::root().join(dir).join("Cargo.toml");
        if manifest.is_file() {
            let mut command = cargo("fmt");
            command.arg("--check").arg("--manifest-path").arg(manifest);
            outcome = outcome.and(|| Outcome::of_command(&mut command))?;
        }
    }
    Ok(outcome)
}

/// clippy over everything, and over the library as most users build it and as the smallest that there is.
pub(super) fn clippy() -> Result<Outcome, Error> {
    if let Some(finding) = threshold_finding()? {
        return Ok(Outcome::Failed(vec![finding]));
    }
    // incompatible_msrv finds what the standard library has only since a later version.
    let deny = ["--", "-D", "warnings", "-D", "clippy::incompatible_msrv"];
    let mut all = cargo("clippy");
    all.args(["--workspace", "--all-targets"]).args(workspace::features()).args(deny);
    let library = |features: &[&str]| {
        let mut library = cargo("clippy");
        Outcome::of_command(
            library.args(["--package", "ampoule", "--lib"]).args(features).args(deny),
        )
    };
    let all = Outcome::of_command(&mut all)?;
    all.and(|| library(&[]))?.and(|| library(&["--no-default-features"]))
}

/// `too_many_lines` only bites with the threshold of our `clippy.toml`.
fn threshold_finding() -> Result<Option<String>, Error> {
    let path = workspace::root().join("clippy.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "too-many-lines-threshold").then(|| value.trim().parse().ok())?
    });
    let fine = value.is_some_and(|lines: u32| lines <= 60);
    let finding = || "clippy.toml: too-many-lines-threshold must be 60 or less".to_owned();
    Ok((!fine).then(finding))
}

/// rustdoc without a warning.
pub(super) fn docs() -> Result<Outcome, Error> {
    let mut command = cargo("doc");
    command.args(["--no-deps", "--workspace"]).args(workspace::features());
    Outcome::of_command(command.env("RUSTDOCFLAGS", "-D warnings"))
}
