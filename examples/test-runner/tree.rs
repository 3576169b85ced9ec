//! What a test process reads and writes: the directories, found from its program and its environment.
//!
//! Touches the file system only to ask what is there. Invariant: `/` itself is never among them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directories of one test process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) current_dir: PathBuf,
    pub(crate) home: Option<PathBuf>,
    /// Shown read-only: workspace, target, dependencies, toolchain.
    pub(crate) read: Vec<PathBuf>,
    /// Shown writable.
    pub(crate) write: Vec<PathBuf>,
}

impl Tree {
    /// Looks; `variable` is the environment.
    pub(crate) fn find(
        program: &Path,
        current_dir: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = path("HOME");
        let package = path("CARGO_MANIFEST_DIR").unwrap_or_else(|| current_dir.to_owned());
        let cargo_home = path("CARGO_HOME").or_else(|| Some(home.as_ref()?.join(".cargo")));
        let mut read = vec![workspace(&package).to_owned(), current_dir.to_owned()];
        read.extend(program.parent().map(Path::to_owned));
        read.extend(target(program).map(Path::to_owned));
        // Sources only: what else is there are credentials and caches.
        read.extend(
            cargo_home
                .iter()
                .flat_map(|home| [home.join("registry/src"), home.join("git/checkouts")]),
        );
        read.extend(path("CARGO").as_deref().and_then(toolchain).map(Path::to_owned));
        read.extend(directories(variable("LD_LIBRARY_PATH")));
        read.extend(directories(variable("AMPOULE_RUNNER_BIND")));
        let mut write: Vec<PathBuf> = temporary(program).into_iter().collect();
        write.extend(directories(variable("AMPOULE_RUNNER_BIND_RW")));
        Self {
            current_dir: current_dir.to_owned(),
            home,
            read: outermost(read),
            write: write.into_iter().filter(|path| path.is_dir()).collect(),
        }
    }
}

/// The workspace that a package belongs to: the outermost directory whose manifest says that it is one.
fn workspace(package: &Path) -> &Path {
    let is_workspace = |directory: &&Path| {
        let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.trim_start().starts_with("[workspace"))
    };
    package.ancestors().find(is_workspace).unwrap_or(package)
}

/// The target directory that a program was built in.
fn target(program: &Path) -> Option<&Path> {
    program.ancestors().skip(1).find(|directory| directory.join("CACHEDIR.TAG").is_file())
}

/// Where integration tests may write: beside the profile's directory, `target/tmp` of `target/debug/deps/PROGRAM`.
fn temporary(program: &Path) -> Option<PathBuf> {
    let profile = program.parent()?.parent()?;
    Some(profile.parent()?.join("tmp")).filter(|_| target(program).is_some())
}

/// The toolchain that this cargo belongs to, if it is one of its own and not the system's.
fn toolchain(cargo: &Path) -> Option<&Path> {
    let directory = cargo.parent()?.parent()?;
    directory.join("lib/rustlib").is_dir().then_some(directory)
}

/// Existing directories without those that lie in another one, the outer before the inner.
fn outermost(mut directories: Vec<PathBuf>) -> Vec<PathBuf> {
    directories.retain(|directory| directory.parent().is_some() && directory.is_dir());
    directories.sort();
    directories.dedup_by(|inner, outer| inner.starts_with(outer));
    directories
}

/// The directories in a variable such as `PATH`.
fn directories(value: Option<OsString>) -> Vec<PathBuf> {
    let split = |value: OsString| std::env::split_paths(&value).collect::<Vec<_>>();
    value.map(split).unwrap_or_default().into_iter().filter(|path| path.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn everything_is_found_from_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in
            ["ws/a/src", "target/debug/deps", "target/tmp", "home/.cargo/registry/src", "libs"]
        {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("ws/Cargo.toml"), "[workspace]\nmembers = [\"a\"]\n").unwrap();
        fs::write(root.join("ws/a/Cargo.toml"), "[package]\n").unwrap();
        fs::write(root.join("target/CACHEDIR.TAG"), "").unwrap();
        let package = root.join("ws/a");
        let variable = |name: &str| match name {
            "HOME" => Some(root.join("home").into()),
            "CARGO_MANIFEST_DIR" => Some(package.clone().into()),
            "LD_LIBRARY_PATH" => Some(format!("{0}/libs:{0}/target/debug", root.display()).into()),
            _ => None,
        };
        let tree = Tree::find(&root.join("target/debug/deps/t-1"), &package, variable);
        let read: Vec<_> = tree.read.iter().map(|path| path.strip_prefix(root).unwrap()).collect();
        let expected = ["home/.cargo/registry/src", "libs", "target", "ws"].map(Path::new);
        assert_eq!(read, expected);
        assert_eq!(tree.write, [root.join("target/tmp")]);
        assert_eq!(tree.current_dir, package);
    }

    #[test]
    fn the_root_directory_is_never_shown() {
        assert_eq!(
            outermost(vec!["/".into(), "/usr/bin".into(), "/usr".into()]),
            [Path::new("/usr")]
        );
        let tree = Tree::find(Path::new("/true"), Path::new("/"), |_| None);
        assert!(tree.read.is_empty() && tree.write.is_empty());
    }
}
