//! The crate graph: a crate depends on lower levels only, so siblings never see each other.

use super::Outcome;
use crate::error::Error;
use crate::workspace::{DependencyKind, Metadata, Package};

/// The levels, highest first. A new crate gets its place here.
const LEVELS: &[&[&str]] = &[
    &["ampoule"],
    &[
        "ampoule-ns",
        "ampoule-overlay",
        "ampoule-seccomp",
        "ampoule-selinux",
        "ampoule-cgroups",
        "ampoule-net",
        "ampoule-image",
    ],
    &["ampoule-init", "ampoule-spec"],
];

/// The step.
pub(super) fn run() -> Result<Outcome, Error> {
    Ok(Outcome::of(findings(&Metadata::members()?.packages)))
}

fn level(name: &str) -> Option<usize> {
    LEVELS.iter().rev().position(|names| names.contains(&name)).map(|index| index + 1)
}

fn findings(packages: &[Package]) -> Vec<String> {
    let published = packages.iter().filter(|package| package.published);
    published.flat_map(|package| findings_of(package, packages)).collect()
}

fn findings_of(package: &Package, all: &[Package]) -> Vec<String> {
    let Some(own) = level(&package.name) else {
        return vec![format!("{}: is not in the table of levels", package.name)];
    };
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let Some(other) = all.iter().find(|other| other.name == dependency.name) else {
            continue;
        };
        // cargo leaves an unpublished dev-dependency out of the package.
        if !other.published && dependency.kind == DependencyKind::Dev {
            continue;
        }
        if level(&other.name).is_none_or(|lower| lower >= own) {
            findings.push(format!("{} must not depend on {}", package.name, other.name));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, needs: &[&str]) -> Package {
        let edge =
            |name: &&str| Dependency { name: (*name).to_owned(), kind: DependencyKind::Build };
        Package {
            name: name.to_owned(),
            version: String::new(),
            dir: std::path::PathBuf::new(),
            rust_version: None,
            edition: String::new(),
            published: name.starts_with("ampoule"),
            description: None,
            license: None,
            readme: None,
            has_documentation: false,
            dependencies: needs.iter().map(edge).collect(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn downwards_is_allowed() {
        let all = [
            package("ampoule", &["ampoule-ns", "ampoule-init", "serde"]),
            package("ampoule-ns", &["ampoule-init"]),
            package("ampoule-init", &["libc"]),
            package("xtask", &["ampoule"]),
        ];
        assert_eq!(findings(&all), Vec::<String>::new());
    }

    #[test]
    fn sideways_and_upwards_are_not() {
        let all = [
            package("ampoule-ns", &["ampoule-overlay"]),
            package("ampoule-overlay", &[]),
            package("ampoule-init", &["ampoule-ns", "xtask"]),
            package("ampoule-new", &[]),
            package("xtask", &[]),
        ];
        assert_eq!(findings(&all).len(), 4);
    }
}
