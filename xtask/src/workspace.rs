//! Where the workspace is and what `cargo metadata` says about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::Error;
use crate::process;

/// The top directory of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.filter(|dir| dir.ends_with("xtask"));
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    own.parent().map(Path::to_owned).unwrap_or(own)
}

/// A `cargo` command in the top directory.
pub(crate) fn cargo(verb: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).arg(verb);
    command
}

/// All features of all packages, but those that need a C library that is not installed.
pub(crate) fn features() -> &'static [&'static str] {
    let there = |names: &[&str]| names.iter().all(|name| process::find(name).is_some());
    // The bindings of libselinux are made anew by each build, with clang.
    match (there(&["libseccomp.so"]), there(&["libselinux.so", "clang"])) {
        (true, true) => &["--all-features"],
        (true, false) => {
            &["--features", "ampoule/tokio,ampoule-examples/tokio,ampoule-seccomp/libseccomp"]
        }
        (false, true) => {
            &["--features", "ampoule/tokio,ampoule-examples/tokio,ampoule-selinux/libselinux"]
        }
        (false, false) => &["--features", "ampoule/tokio,ampoule-examples/tokio"],
    }
}

/// The host's target triple, from `rustc -vV`.
pub(crate) fn host_triple() -> Result<String, Error> {
    let text = process::stdout(Command::new("rustc").arg("-vV"))?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(ToOwned::to_owned).ok_or(Error::absent("host line in `rustc -vV`"))
}

/// The `target` directory of the workspace.
pub(crate) fn target_dir() -> Result<PathBuf, Error> {
    Ok(Metadata::members()?.target_dir)
}

/// What we need of `cargo metadata`.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// All packages that were asked for.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_dir: PathBuf,
}

/// One package, as far as the checks look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) dir: PathBuf,
    pub(crate) rust_version: Option<String>,
    pub(crate) edition: String,
    pub(crate) published: bool,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<String>,
    pub(crate) has_documentation: bool,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One edge of the crate graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
}

/// When a dependency is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    /// In the crate itself or its build script.
    Build,
    /// In tests, examples and benches only.
    Dev,
}

/// One thing that cargo can build of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
}

impl Metadata {
    /// The members of the workspace only.
    pub(crate) fn members() -> Result<Self, Error> {
        Self::of(cargo("metadata").args(["--no-deps", "--format-version", "1"]))
    }

    /// The members and everything they depend on, with the lock file as it is.
    pub(crate) fn locked_tree() -> Result<Self, Error> {
        Self::of(cargo("metadata").args(["--locked", "--format-version", "1"]))
    }

    /// The output of the given `cargo metadata` command.
    pub(crate) fn of(command: &mut Command) -> Result<Self, Error> {
        Self::parse(&process::stdout(command)?)
            .map_err(|source| Error::json("cargo metadata", source))
    }

    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_str(text)?;
        let packages = list(&value, "packages").map(Package::parse).collect();
        let target_dir = PathBuf::from(string(&value, "target_directory").unwrap_or_default());
        Ok(Self { packages, target_dir })
    }

    /// The packages that go to the registry.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published)
    }
}

impl Package {
    fn parse(value: &Value) -> Self {
        let manifest = PathBuf::from(string(value, "manifest_path").unwrap_or_default());
        let docs_rs = value.pointer("/metadata/docs/rs").is_some();
        Self {
            name: string(value, "name").unwrap_or_default(),
            version: string(value, "version").unwrap_or_default(),
            dir: manifest.parent().map(Path::to_owned).unwrap_or_default(),
            rust_version: string(value, "rust_version"),
            edition: string(value, "edition").unwrap_or_default(),
            published: value.get("publish").is_none_or(Value::is_null),
            description: string(value, "description"),
            license: string(value, "license"),
            readme: string(value, "readme"),
            has_documentation: docs_rs || string(value, "documentation").is_some(),
            dependencies: list(value, "dependencies").map(Dependency::parse).collect(),
            targets: list(value, "targets").map(Target::parse).collect(),
        }
    }
}

impl Dependency {
    fn parse(value: &Value) -> Self {
        let dev = string(value, "kind").as_deref() == Some("dev");
        let kind = if dev { DependencyKind::Dev } else { DependencyKind::Build };
        Self { name: string(value, "name").unwrap_or_default(), kind }
    }
}

impl Target {
    fn parse(value: &Value) -> Self {
        let kind = list(value, "kind").next().and_then(Value::as_str).unwrap_or_default();
        Self { name: string(value, "name").unwrap_or_default(), kind: kind.to_owned() }
    }
}

/// A program that a cargo build has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The target it was made of.
    pub(crate) target: Target,
    /// The package's directory.
    pub(crate) package_dir: PathBuf,
    /// The program.
    pub(crate) executable: PathBuf,
    /// Whether it has the test harness.
    pub(crate) is_test: bool,
}

/// Runs a cargo command that prints JSON messages, and returns the programs it made.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Artifact>, Error> {
    let text = process::stdout(command.arg("--message-format=json-render-diagnostics"))?;
    let mut artifacts = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let value = serde_json::from_str(line).map_err(|e| Error::json("cargo", e))?;
        artifacts.extend(Artifact::parse(&value));
    }
    Ok(artifacts)
}

impl Artifact {
    fn parse(value: &Value) -> Option<Self> {
        let executable = PathBuf::from(string(value, "executable")?);
        let manifest = PathBuf::from(string(value, "manifest_path")?);
        let is_test = value.pointer("/profile/test").and_then(Value::as_bool).unwrap_or(false);
        let target = Target::parse(value.get("target")?);
        Some(Self { target, package_dir: manifest.parent()?.to_owned(), executable, is_test })
    }
}

fn string(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(ToOwned::to_owned)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
