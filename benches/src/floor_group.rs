//! The calls of the floor that give its child a group with limits: those of a recipe, before all others.
//!
//! Touches no kernel object; [`crate::floor`] makes the calls. Invariant: the child joins v1 groups before anything
//! else, and is born in the group of v2, as with the library.

use std::os::fd::RawFd;

use crate::floor_recipe::{Argument, Recipe, Stage, int, unsigned};
use crate::system_call::{CLOSE, MKDIRAT, OPENAT, UNLINKAT, WRITE};

/// How a process gets into a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It writes itself into `cgroup.procs` (v1).
    Joins,
    /// It is cloned into it (v2).
    Born,
}

/// One directory of the group.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The directory above, which stays open.
    pub above: RawFd,
    /// How the child gets into it.
    pub way: Way,
    /// Files with what is written to each.
    pub writes: Vec<(&'static str, String)>,
}

/// A recipe that makes the group `name` in these directories, has the child in it, and removes it.
pub fn recipe(name: &str, directories: &[Directory]) -> Recipe {
    let mut recipe = Recipe::new(0);
    for directory in directories {
        let (above, path) = (int(directory.above), recipe.text(name));
        recipe.call(Stage::Before, MKDIRAT, &[above, path, unsigned(0o755)]);
    }
    for directory in directories {
        for (file, text) in &directory.writes {
            let file =
                open(&mut recipe, directory.above, &format!("{name}/{file}"), libc::O_WRONLY);
            write(&mut recipe, Stage::Before, file, text);
            recipe.call(Stage::Before, CLOSE, &[file]);
        }
    }
    for directory in directories {
        let open = match directory.way {
            Way::Joins => {
                let path = format!("{name}/cgroup.procs");
                let procs = open(&mut recipe, directory.above, &path, libc::O_WRONLY);
                write(&mut recipe, Stage::Child, procs, "0");
                procs
            }
            Way::Born => {
                let group = open(&mut recipe, directory.above, name, libc::O_DIRECTORY);
                recipe.clone_into(group);
                group
            }
        };
        recipe.call(Stage::After, CLOSE, &[open]);
        let (above, path) = (int(directory.above), recipe.text(name));
        recipe.call(Stage::After, UNLINKAT, &[above, path, int(libc::AT_REMOVEDIR)]);
    }
    recipe
}

fn open(recipe: &mut Recipe, above: RawFd, path: &str, flags: i32) -> Argument {
    let path = recipe.text(path);
    recipe.call(Stage::Before, OPENAT, &[int(above), path, int(flags | libc::O_CLOEXEC)])
}

fn write(recipe: &mut Recipe, stage: Stage, file: Argument, text: &str) {
    let length = Argument::Value(text.len() as u64);
    let text = recipe.text(text);
    recipe.call(stage, WRITE, &[file, text, length]);
}
