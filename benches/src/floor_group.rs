//! The calls of the floor that give its child a group: those of a recipe, before all others.
//!
//! Touches the directory of the own group, which it opens; [`crate::floor`] makes the calls. Invariant: the child joins v1 groups before anything
//! else, and is born in the group of v2, as with the library.

use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::cgroups::hierarchy::{Hierarchies, Version};
use crate::failure::Failure;
use crate::floor_recipe::{Argument, OWN_NAME, Recipe, Stage, int, unsigned};
use crate::system_call::{CLOSE, MKDIRAT, OPENAT, UNLINKAT, WRITE};

/// How a process gets into a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It writes itself into `tasks` (v1).
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
                let path = format!("{name}/tasks");
                let tasks = open(&mut recipe, directory.above, &path, libc::O_WRONLY);
                write(&mut recipe, Stage::Child, tasks, "0");
                tasks
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

/// A recipe that makes a group without limits in the own v2 group, has the child born in it, and removes it: what the
/// library does for every container. Without cgroup v2 it has no calls.
///
/// # Errors
/// When the own group cannot be found or opened.
pub fn unlimited() -> Result<Recipe, Failure> {
    let mut recipe = Recipe::new(0);
    let hierarchies = Hierarchies::here("")?;
    let Some(own) = hierarchies.iter().find(|one| one.version == Version::V2) else {
        return Ok(recipe);
    };
    let above = recipe.descriptor(directory(&own.own)?);
    let name = Argument::Scratch(OWN_NAME);
    recipe.call(Stage::Before, MKDIRAT, &[above, name, unsigned(0o755)]);
    let flags = int(libc::O_DIRECTORY | libc::O_CLOEXEC);
    let group = recipe.call(Stage::Before, OPENAT, &[above, name, flags]);
    recipe.clone_into(group);
    recipe.call(Stage::After, CLOSE, &[group]);
    recipe.call(Stage::After, UNLINKAT, &[above, name, int(libc::AT_REMOVEDIR)]);
    Ok(recipe)
}

fn directory(path: &Path) -> Result<OwnedFd, Failure> {
    let opened = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|errno| Failure::file("open", path)(errno.into()))
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
