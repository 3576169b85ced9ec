//! The oldest Rust that the crates promise to build with.

use std::process::{Command, Stdio};

use super::Outcome;
use crate::error::Error;
use crate::workspace::{Metadata, Package};
use crate::{process, workspace};

/// One rust-version and one edition in all members, and no newer one in what they depend on.
pub(super) fn declared() -> Result<Outcome, Error> {
    let members = Metadata::members()?.packages;
    let promised = promise(&members)?;
    let mut findings = Vec::new();
    for package in &members {
        if package.rust_version.as_ref() != Some(&promised) {
            findings.push(format!("{}: rust-version is not {promised}", package.name));
        }
        if package.edition != "2024" {
            findings.push(format!("{}: edition is not 2024", package.name));
        }
    }
    for package in &Metadata::locked_tree()?.packages {
        let needed = package.rust_version.as_deref().unwrap_or("0");
        if numbers(needed) > numbers(&promised) {
            findings.push(format!("{} {} needs Rust {needed}", package.name, package.version));
        }
    }
    Ok(match findings.is_empty() {
        true => Outcome::Passed(format!("Rust {promised}")),
        false => Outcome::Failed(findings),
    })
}

fn promise(members: &[Package]) -> Result<String, Error> {
    let library = members.iter().find(|package| package.name == "ampoule");
    let promised = library.and_then(|package| package.rust_version.clone());
    promised.ok_or(Error::absent("rust-version in the package ampoule"))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// `cargo check` with the promised toolchain.
pub(super) fn msrv() -> Result<Outcome, Error> {
    let promised = promise(&Metadata::members()?.packages)?;
    let check = ["cargo", "check", "--workspace", "--target-dir", "target/msrv"];
    let check = [&check, workspace::features()].concat();
    let mut rustup = Command::new("rustup");
    rustup.args(["run", &promised]).args(&check).current_dir(workspace::root());
    // What our own cargo has set belongs to another toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        rustup.env_remove(variable);
    }
    if is_installed(&promised) {
        return Outcome::of_command(&mut rustup);
    }
    let install = format!("rustup toolchain install {promised} --profile minimal");
    let remedy = format!("{install} && rustup run {promised} {}", check.join(" "));
    let reason = format!("no Rust {promised}; clippy's incompatible_msrv stands in");
    Ok(Outcome::NotRun { reason, remedy })
}

fn is_installed(version: &str) -> bool {
    if process::find("rustup").is_none() {
        return false;
    }
    let mut which = Command::new("rustup");
    which.args(["which", "--toolchain", version, "cargo"]).env("RUSTUP_AUTO_INSTALL", "0");
    let quiet = which.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.88") < numbers("1.100"));
        assert!(numbers("1.88.1") > numbers("1.88"));
    }
}
