//! Building the peers that are Rust crates. Touches `benches/peers/target`.
//!
//! Invariant: they are built each time; cargo knows whether there is anything to do.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds them and returns their binary.
///
/// # Errors
/// What cargo says, as a sentence for the rows that need them.
#[expect(clippy::print_stderr, reason = "the first build takes a minute, and the user waits")]
pub fn build() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let target = directory.join("target");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("building the peers in {}", directory.display());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(directory.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status();
    match status {
        Ok(status) if status.success() => Ok(target.join("release/ampoule-bench-peers")),
        Ok(status) => Err(format!("cargo build of benches/peers ended with {status}")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}
