//! The names of the groups that the bench makes, and removing what is left of them.
//!
//! Touches directories of cgroupfs, by their names only. Invariant: no group is removed that is not of a bench that has
//! ended, or of this one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::hierarchy::Hierarchies;
use crate::failure::Failure;

/// How the directory of every run begins.
const PREFIX: &str = "ampoule-bench-cgroups-";
/// How often a busy group is tried again: its last process has just ended.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// The directory of the run that process `bench` leads: it has all groups of the run.
pub fn place(bench: u32) -> String {
    format!("{PREFIX}{bench}")
}

/// Removes the groups in the directory of the run whose name begins with `prefix`.
///
/// # Errors
/// [`Failure::LeftBehind`] when some stay.
pub fn sweep(hierarchies: &Hierarchies, prefix: &str) -> Result<(), Failure> {
    let mut names = Vec::new();
    for path in hierarchies.iter().flat_map(|one| directories(&one.place, prefix)) {
        if let Err(error) = remove(&path) {
            names.push(format!("{} ({error})", path.display()));
        }
    }
    if names.is_empty() { Ok(()) } else { Err(Failure::LeftBehind { names }) }
}

/// Removes what runs left that were killed together with all their workers.
///
/// # Errors
/// As [`sweep`], or when a directory cannot be removed.
pub fn sweep_ended(hierarchies: &Hierarchies) -> Result<(), Failure> {
    let places = hierarchies.iter().flat_map(|one| directories(&one.mount, PREFIX));
    let names: BTreeSet<String> = places
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| has_ended(name))
        .collect();
    for name in names {
        let hierarchies = Hierarchies::here(&name)?;
        sweep(&hierarchies, "")?;
        for place in hierarchies.iter().map(|one| &one.place) {
            remove(place).map_err(Failure::file("remove", place))?;
        }
    }
    Ok(())
}

/// Whether the bench of this directory is gone.
fn has_ended(place: &str) -> bool {
    let bench = place.strip_prefix(PREFIX).and_then(|number| number.parse::<u32>().ok());
    bench.is_some_and(|bench| !Path::new("/proc").join(bench.to_string()).exists())
}

/// The directories in `above` whose name begins with `prefix`.
fn directories(above: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(above).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir())
            && entry.file_name().to_string_lossy().starts_with(prefix)
    });
    named.map(|entry| entry.path()).collect()
}

fn remove(path: &Path) -> std::io::Result<()> {
    for _ in 1..TRIES {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => thread::sleep(PAUSE),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    fs::remove_dir(path)
}

/// Sweeps when it is dropped, so also when something panics.
#[derive(Debug)]
pub struct Sweeper<'a> {
    /// Where.
    pub hierarchies: &'a Hierarchies,
    /// What.
    pub prefix: String,
}

impl Drop for Sweeper<'_> {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        if let Err(failure) = sweep(self.hierarchies, &self.prefix) {
            eprintln!("{failure}");
        }
    }
}
