//! Random operations in a container against a model of its files.
//!
//! Kernel objects: an overlay and what a shell does in it. Invariant: the list of changes is the difference of two trees
//! that the model alone has made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ampoule::Root;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::layers::{builder, ended, lines};
use super::times;
use crate::oracle::fixture::{self, Rootfs};

/// What is at a path below `/t`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Directory {
        mode: u32,
    },
    /// Its content, or what a link says; never the same twice.
    File(String),
}

type Files = BTreeMap<PathBuf, Entry>;

/// One thing that is done to a path, or between two.
#[derive(Clone, Debug)]
enum Operation {
    Write,
    Append,
    Link,
    Remove,
    MakeDirectory,
    ChangeMode,
    Move(usize),
}

const NAMES: [&str; 14] = [
    "a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "d/e/b", "d/e/f", "d/e/f/a", "g", "g/a", "g/e",
    "g/e/a",
];

/// A model and the script that does the same.
struct Model {
    files: Files,
    script: String,
    written: usize,
}

impl Model {
    fn is_directory(&self, path: &Path) -> bool {
        path == Path::new("") || matches!(self.files.get(path), Some(Entry::Directory { .. }))
    }

    fn unique(&mut self) -> String {
        self.written += 1;
        format!("new{}", self.written)
    }

    fn remove(&mut self, path: &Path) {
        self.script += &format!("rm -rf {}\n", path.display());
        self.files.retain(|other, _| !other.starts_with(path));
    }

    /// Makes room for something that is no directory; false if there is no place for it.
    fn vacate(&mut self, path: &Path) -> bool {
        if !path.parent().is_some_and(|parent| self.is_directory(parent)) {
            return false;
        }
        if self.is_directory(path) {
            self.remove(path);
        }
        true
    }

    fn apply(&mut self, path: &Path, operation: &Operation) {
        let at = path.display();
        match operation {
            Operation::Write if self.vacate(path) => {
                let text = self.unique();
                // A link is replaced, not written through.
                self.script += &format!("rm -f {at}; echo {text} > {at}\n");
                self.files.insert(path.to_owned(), Entry::File(text));
            }
            Operation::Append => {
                let text = self.unique();
                if let Some(Entry::File(content)) = self.files.get_mut(path) {
                    content.push_str(&text);
                    self.script +=
                        &format!("[ -L {at} ] && ln -sfn {text} {at} || echo {text} >> {at}\n");
                }
            }
            Operation::Link if self.vacate(path) => {
                let text = self.unique();
                self.script += &format!("ln -sfn {text} {at}\n");
                self.files.insert(path.to_owned(), Entry::File(text));
            }
            Operation::Remove if self.files.contains_key(path) => self.remove(path),
            Operation::MakeDirectory if self.vacate(path) && !self.is_directory(path) => {
                self.script += &format!("rm -f {at}; mkdir {at}\n");
                self.files.insert(path.to_owned(), Entry::Directory { mode: 0o755 });
            }
            Operation::ChangeMode => self.change_mode(path),
            Operation::Move(to) => self.rename(path, Path::new(NAMES[to % NAMES.len()])),
            _ => {}
        }
    }

    fn change_mode(&mut self, path: &Path) {
        if let Some(Entry::Directory { mode }) = self.files.get_mut(path) {
            *mode = if *mode == 0o755 { 0o711 } else { 0o755 };
            self.script += &format!("chmod {mode:o} {}\n", path.display());
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let Some(Entry::File(_)) = self.files.get(from) else { return };
        if from == to || !self.vacate(to) {
            return;
        }
        // What was moved away may have been the place itself.
        let Some(moved) = self.files.remove(from) else { return };
        self.script += &format!("mv {} {}\n", from.display(), to.display());
        self.files.insert(to.to_owned(), moved);
        // Otherwise a file that comes back is one that never went for the model.
        self.apply(to, &Operation::Append);
    }
}

/// The changes from one state to another.
fn difference(before: &Files, after: &Files) -> Vec<String> {
    let mut changes: Vec<(PathBuf, char)> = Vec::new();
    for (path, entry) in after {
        match before.get(path) {
            None => changes.push((path.clone(), 'A')),
            Some(was) if was != entry => changes.push((path.clone(), 'M')),
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        let parent = path.parent().expect("a relative path");
        let stays = matches!(after.get(parent), Some(Entry::Directory { .. }));
        if stays || parent == Path::new("") {
            changes.push((path.clone(), 'D'));
        }
    }
    changes.sort();
    changes.into_iter().map(|(path, letter)| format!("{letter} /t/{}", path.display())).collect()
}

/// The layers, and what they show below `/t`.
fn layers() -> ([Rootfs; 3], Files) {
    let lowest = fixture::rootfs()
        .with_file("t/a", "a", 0o644)
        .with_file("t/d/a", "da", 0o644)
        .with_file("t/d/e/a", "dea", 0o644)
        .with_file("t/d/e/f/a", "defa", 0o644)
        .with_file("t/g/a", "ga", 0o644);
    let middle = fixture::empty_rootfs()
        .with_file("t/d/b", "db", 0o644)
        .with_file("t/d/e/b", "deb", 0o644)
        .with_file("t/g/e/a", "gea", 0o644);
    let top = fixture::empty_rootfs().with_file("t/d/a", "top", 0o644);
    let file = |path: &str, text: &str| (PathBuf::from(path), Entry::File(text.to_owned()));
    let directory = |path: &str| (PathBuf::from(path), Entry::Directory { mode: 0o755 });
    let files = [
        file("a", "a"),
        directory("d"),
        file("d/a", "top"),
        file("d/b", "db"),
        directory("d/e"),
        file("d/e/a", "dea"),
        file("d/e/b", "deb"),
        directory("d/e/f"),
        file("d/e/f/a", "defa"),
        directory("g"),
        file("g/a", "ga"),
        directory("g/e"),
        file("g/e/a", "gea"),
    ];
    ([top, middle, lowest], files.into())
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Write),
        Just(Operation::Append),
        Just(Operation::Link),
        Just(Operation::Remove),
        Just(Operation::MakeDirectory),
        Just(Operation::ChangeMode),
        any::<usize>().prop_map(Operation::Move),
    ]
}

pub(crate) fn changes_are_what_a_model_says() {
    let (layers, files) = layers();
    let place = fixture::empty_rootfs();
    let cases = u32::try_from(times(16, 300)).expect("a small number");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let operations = prop::collection::vec((0..NAMES.len(), operation()), 1..25);
    let mut runner = TestRunner::new(config);
    let number = std::cell::Cell::new(0);
    let outcome = runner.run(&(operations, any::<bool>()), |(operations, in_memory)| {
        let mut model =
            Model { files: files.clone(), script: "set -e; cd /t\n".to_owned(), written: 0 };
        for (name, operation) in &operations {
            model.apply(Path::new(NAMES[*name]), operation);
        }
        number.set(number.get() + 1);
        let root = match in_memory {
            true => Root::Ephemeral { size: 1 << 20 },
            false => Root::Persistent(place.at(format!("upper{}", number.get()))),
        };
        let mut container = ended(builder(&layers).root(root), &model.script);
        let changes = container.changes().expect("a list");
        prop_assert_eq!(lines(&changes), difference(&files, &model.files), "{}", model.script);
        container.discard().expect("nothing is in the way");
        prop_assert_eq!(container.changes().expect("a list"), []);
        Ok(())
    });
    outcome.expect("the list and the model are the same");
}
