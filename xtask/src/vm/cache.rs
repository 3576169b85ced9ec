//! What was downloaded, built or booted before: `$XDG_CACHE_HOME/ampoule/vm`, outside the
//! repository and its target directory.
//!
//! An entry is a directory named after what it is and a hash of everything that went into it, so
//! that a changed script or package list makes a new one. Invariant: an entry that is there is
//! complete, because it is built under a lock beside its place and then renamed.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::namespace;
use crate::error::Error;
use crate::process;

/// How long an entry stays that nobody uses.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);

/// The directory of all entries.
pub(crate) struct Cache {
    dir: PathBuf,
}

/// Something in the cache; nobody removes it while this value lives.
pub(crate) struct Entry {
    dir: PathBuf,
    key: String,
    _held: File,
}

/// Everything that an entry depends on, as a hash.
pub(crate) struct Recipe {
    what: &'static str,
    about: String,
    hasher: DefaultHasher,
}

impl Recipe {
    /// A recipe for `what`, which names the entry; `about` is shown to people.
    pub(crate) fn of(what: &'static str, about: impl Into<String>) -> Self {
        let about = about.into();
        let mut hasher = DefaultHasher::new();
        (what, &about).hash(&mut hasher);
        Self { what, about, hasher }
    }

    /// One more thing that the entry depends on.
    pub(crate) fn and(mut self, part: impl Hash) -> Self {
        part.hash(&mut self.hasher);
        self
    }

    /// The text of a file, or of all files below a directory, with their names.
    pub(crate) fn and_files(mut self, path: &Path) -> Result<Self, Error> {
        let mut files = Vec::new();
        walk(path, &mut files)?;
        files.sort();
        for file in files {
            let bytes = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
            (file.strip_prefix(path).ok(), bytes).hash(&mut self.hasher);
        }
        Ok(self)
    }

    fn key(&self) -> String {
        format!("{:016x}", self.hasher.finish())
    }
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(|e| Error::io("list", path, e))? {
        walk(&entry.map_err(|e| Error::io("list", path, e))?.path(), files)?;
    }
    Ok(())
}

impl Cache {
    /// The caller's cache; makes the directory.
    pub(crate) fn open() -> Result<Self, Error> {
        let named =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let base = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
        let dir = base.ok_or(Error::absent("XDG_CACHE_HOME and no HOME"))?.join("ampoule/vm");
        std::fs::create_dir_all(&dir).map_err(|e| Error::io("make", &dir, e))?;
        Ok(Self { dir })
    }

    /// The entry of a recipe, which `build` makes in the given directory if it is not there. Says
    /// on standard error which of the two it was. Others who want the same entry wait.
    pub(crate) fn entry(
        &self,
        recipe: &Recipe,
        build: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Entry, Error> {
        let (what, about, key) = (recipe.what, &recipe.about, recipe.key());
        let dir = self.dir.join(format!("{what}-{key}"));
        let lock = self.dir.join(format!("{what}-{key}.lock"));
        let held = File::create(&lock).map_err(|e| Error::io("open", &lock, e))?;
        let wait = |operation| {
            flock(&held, operation).map_err(|errno| Error::io("lock", &lock, errno.into()))
        };
        wait(FlockOperation::LockShared)?;
        if !dir.is_dir() {
            wait(FlockOperation::LockExclusive)?;
        }
        if dir.is_dir() {
            eprintln!("cached: {what} {about} ({key})");
        } else {
            eprintln!("building: {what} {about} ({key})");
            let begin = Instant::now();
            self.build(&dir, build)?;
            eprintln!("built: {what} {about} ({key}) in {:.1} s", begin.elapsed().as_secs_f64());
        }
        held.set_modified(SystemTime::now()).map_err(|e| Error::io("touch", &lock, e))?;
        wait(FlockOperation::LockShared)?;
        Ok(Entry { dir, key, _held: held })
    }

    fn build(
        &self,
        dir: &Path,
        build: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.remove_unused()?;
        let new = dir.with_extension("new");
        remove(&new)?;
        std::fs::create_dir(&new).map_err(|e| Error::io("make", &new, e))?;
        build(&new)?;
        std::fs::rename(&new, dir).map_err(|e| Error::io("rename", &new, e))
    }

    /// Removes what was not used for long and is not in use.
    fn remove_unused(&self) -> Result<(), Error> {
        let failed = |e| Error::io("list", &self.dir, e);
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            let lock = entry.map_err(failed)?.path();
            let age = lock.metadata().and_then(|meta| meta.modified()).map(|time| time.elapsed());
            let old = matches!(age, Ok(Ok(age)) if age > UNUSED);
            if !old || lock.extension().is_none_or(|extension| extension != "lock") {
                continue;
            }
            let held = File::open(&lock).map_err(|e| Error::io("open", &lock, e))?;
            if flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok() {
                remove(&lock.with_extension(""))?;
            }
        }
        Ok(())
    }
}

impl Entry {
    /// A file of the entry.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What entries that are made of this one depend on.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// Removes a directory, also one in which a user namespace left files of subordinate ids.
fn remove(dir: &Path) -> Result<(), Error> {
    if !dir.is_dir() || std::fs::remove_dir_all(dir).is_ok() {
        return Ok(());
    }
    let mut command: Command = namespace::command("rm");
    let status = process::status(command.arg("-rf").arg(dir))?;
    if status.success() { Ok(()) } else { Err(Error::exit(&command, status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let key = |parts: &[&str]| {
            let recipe = Recipe::of("image", "x");
            parts.iter().fold(recipe, |recipe, part| recipe.and(part)).key()
        };
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["b", "a"]));
        assert_ne!(key(&["ab"]), key(&["a", "b"]));
    }

    #[test]
    fn an_entry_is_built_once_and_a_failed_one_not_kept() {
        let top = tempfile::tempdir().expect("a directory");
        let cache = Cache { dir: top.path().to_owned() };
        let recipe = Recipe::of("image", "x");
        let failed = cache.entry(&recipe, |_| Err(Error::absent("thing")));
        assert!(failed.is_err());
        let write = |dir: &Path| {
            std::fs::write(dir.join("file"), "1").map_err(|e| Error::io("write", dir, e))
        };
        drop(cache.entry(&recipe, write).expect("built"));
        let again = cache.entry(&recipe, |_| Err(Error::absent("thing"))).expect("cached");
        assert_eq!(std::fs::read_to_string(again.path("file")).expect("the file"), "1");
    }
}
