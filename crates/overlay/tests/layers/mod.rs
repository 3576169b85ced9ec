//! Layers in a temporary directory, and what an overlay of them shows from outside.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

pub mod scenes;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ampoule_overlay::{Change, ChangeKind, MountedOverlay, Overlay};

/// Layers `0`, `1` and so on, the uppermost first, and an upper directory beside them.
pub struct Layers {
    pub dir: tempfile::TempDir,
    pub count: usize,
}

impl Layers {
    /// Layers, each with the files that are listed for it; a name that ends with `/` is a directory.
    pub fn new(layers: &[&[(&str, &str)]]) -> Self {
        // Not a tmpfs: those of older kernels have no attributes of users (6.6) and no mapped ids (6.3).
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let layers_of = Self { dir, count: layers.len() };
        for (number, files) in layers.iter().enumerate() {
            fs::create_dir(layers_of.layer(number)).unwrap();
            for (name, content) in *files {
                let path = layers_of.layer(number).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                match name.ends_with('/') {
                    true => fs::create_dir_all(path).unwrap(),
                    false => fs::write(path, content).unwrap(),
                }
            }
        }
        layers_of
    }

    pub fn layer(&self, number: usize) -> PathBuf {
        self.dir.path().join(number.to_string())
    }

    pub fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    /// The overlay with its upper layer.
    pub fn overlay(&self) -> Overlay {
        self.read_only().upper(self.upper())
    }

    pub fn read_only(&self) -> Overlay {
        Overlay::new((0..self.count).map(|number| self.layer(number)))
    }
}

/// The path by which this process reaches the tree.
pub fn at(mounted: &MountedOverlay, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{path}", mounted.merged().as_raw_fd()))
}

pub fn read(mounted: &MountedOverlay, path: &str) -> String {
    fs::read_to_string(at(mounted, path)).unwrap()
}

/// The changes as short lines: `A`, `M` or `D`, and the path.
pub fn lines(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| format!("{} {}", letter(change.kind), change.path.display()))
        .collect()
}

pub fn letter(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        _ => 'D',
    }
}

/// What is in a tree: type, mode and content of each path.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut rest = vec![PathBuf::new()];
    while let Some(dir) = rest.pop() {
        for entry in fs::read_dir(root.join(&dir)).unwrap() {
            let name = dir.join(entry.unwrap().file_name());
            let path = root.join(&name);
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_dir() {
                rest.push(name.clone());
                String::new()
            } else if meta.is_symlink() {
                format!("{:?}", path.read_link().unwrap())
            } else if meta.is_file() {
                fs::read_to_string(&path).unwrap()
            } else {
                String::new()
            };
            found.insert(name, format!("{:o} {content}", meta.permissions().mode()));
        }
    }
    found
}

/// The changes from one snapshot to another, as [`lines`] gives them.
pub fn difference(
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
) -> Vec<String> {
    let is_dir = |path: &Path| {
        path == Path::new("") || after.get(path).is_some_and(|state| state.starts_with("4"))
    };
    let mut changes = Vec::new();
    for (path, state) in after {
        match before.get(path) {
            None => changes.push((path, 'A')),
            Some(was) if was != state => changes.push((path, 'M')),
            Some(_) => {}
        }
    }
    let gone = |path: &&PathBuf| !after.contains_key(*path) && is_dir(path.parent().unwrap());
    changes.extend(before.keys().filter(gone).map(|path| (path, 'D')));
    changes.sort();
    changes.iter().map(|(path, letter)| format!("{letter} /{}", path.display())).collect()
}

/// Mounts, children and descriptors of this process: equal before and after.
pub fn unchanged<T>(work: impl FnOnce() -> T) -> T {
    let look = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let children = fs::read_to_string("/proc/thread-self/children").unwrap();
        (mounts, children)
    };
    let before = look();
    let result = work();
    assert_eq!(look(), before);
    result
}
