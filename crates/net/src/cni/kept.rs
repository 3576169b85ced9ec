//! What plugins have to delete, on disk until they have.
//!
//! Kernel objects: a directory beside the state of the host's networks, with two files for each container that was
//! added: `NAME.chain` says how it is deleted; `NAME.input` is the standard input of its plugins, and locked (flock(2)).
//! Invariant: no plugin runs before its chain is on disk. The lock is held by the process that added the container and,
//! with the input, by each plugin of it that runs: where nobody has it, nobody else will delete, and nobody adds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::plugins::Chain;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::random::{hexadecimal, random};
use crate::store::Store;

/// The version of the format.
const FORMAT: u32 = 1;

/// Longer files are not read: a configuration, and an answer.
const BYTES_MAX: u64 = 8 << 20;

const CHAIN: &str = "chain";
const INPUT: &str = "input";

/// A chain on disk that this process alone may delete.
#[derive(Debug)]
pub(super) struct Kept {
    store: Store,
    name: String,
    /// Locked.
    input: Mutex<File>,
}

/// What a file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    chain: Chain,
    /// Of the last plugin that answered.
    answer: Option<Map<String, Value>>,
}

/// Where it is, for the state of networks in this directory.
pub(super) fn store(directory: &Path) -> Store {
    let mut path = directory.as_os_str().to_owned();
    path.push("-cni");
    Store::at(PathBuf::from(path))
}

impl Kept {
    /// Writes down that a chain begins.
    pub(super) fn begin(store: Store, chain: &Chain) -> Result<Self> {
        let name = hexadecimal(random()?);
        let locked = store.lock()?;
        let path = file(&store, &name, INPUT);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let opened = options.open(&path).map_err(|error| Error::io("open", &path, &error))?;
        let kept = Self { store, name, input: Mutex::new(opened) };
        if kept.take()? == Taken::No {
            return Err(Error::at("flock", &path, Errno::AGAIN));
        }
        kept.note(chain, None)?;
        drop(locked);
        Ok(kept)
    }

    /// Writes down what a plugin answered.
    pub(super) fn note(&self, chain: &Chain, answer: Option<&Answer>) -> Result<()> {
        let answer = answer.map(|answer| answer.raw.clone());
        let record = Record { format: FORMAT, chain: chain.clone(), answer };
        let path = file(&self.store, &self.name, CHAIN);
        let bytes = serde_json::to_vec(&record).map_err(|_| damaged(&path))?;
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&new).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|error| Error::io("write", &new, &error))?;
        fs::rename(&new, &path).map_err(|error| Error::io("rename", &path, &error))
    }

    /// The standard input of a plugin that reads this.
    pub(super) fn input(&self, bytes: &[u8]) -> Result<OwnedFd> {
        let path = file(&self.store, &self.name, INPUT);
        let failed = |error: io::Error| Error::io("write", &path, &error);
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.set_len(0).map_err(failed)?;
        input.rewind().map_err(failed)?;
        input.write_all(bytes).map_err(failed)?;
        input.rewind().map_err(failed)?;
        input.try_clone().map(OwnedFd::from).map_err(failed)
    }

    /// Forgets a chain that has been deleted.
    pub(super) fn remove(self) -> Result<()> {
        // The input last: with it, the others are found.
        for kind in ["new", CHAIN, INPUT] {
            let path = file(&self.store, &self.name, kind);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("unlink", &path, &error));
                }
                _ => {}
            }
        }
        tidy(&self.store)
    }

    fn take(&self) -> Result<Taken> {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        match flock(&*input, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Taken::Yes),
            Err(Errno::AGAIN) => Ok(Taken::No),
            Err(errno) => Err(Error::at("flock", &file(&self.store, &self.name, INPUT), errno)),
        }
    }

    /// What is to be deleted; nothing where no plugin was called yet.
    fn read(&self) -> Result<Option<Record>> {
        let path = file(&self.store, &self.name, CHAIN);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("stat", &path, &error)),
            Ok(found) if found.len() > BYTES_MAX => return Err(damaged(&path)),
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
        let record: Record = serde_json::from_slice(&bytes).map_err(|_| damaged(&path))?;
        (record.format == FORMAT).then_some(Some(record)).ok_or_else(|| damaged(&path))
    }

    /// Has it deleted; says whose it was.
    fn delete(self) -> Result<Option<String>> {
        let Some(record) = self.read()? else { return self.remove().map(|()| None) };
        record.chain.delete_gone(record.answer.as_ref(), &self)?;
        self.remove().map(|()| Some(record.chain.request.container))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
}

/// Has the plugins delete what killed processes have added; says which containers these were. What fails is tried again
/// the next time, and does not keep the others from it.
pub(crate) fn reconcile(directory: &Path) -> Result<Vec<String>> {
    let store = store(directory);
    if !store.directory().exists() {
        return Ok(Vec::new());
    }
    let (mut containers, mut failed) = (Vec::new(), Vec::new());
    for kept in abandoned(&store)? {
        match kept.delete() {
            Ok(container) => containers.extend(container),
            Err(error) => failed.push(error),
        }
    }
    tidy(&store)?;
    Error::several(failed).map_or(Ok(containers), Err)
}

/// The chains that nobody holds. They are looked for under the lock of the directory: a new one is locked within it.
fn abandoned(store: &Store) -> Result<Vec<Kept>> {
    let directory = store.directory();
    let failed = |error: io::Error| Error::io("read", directory, &error);
    let _locked = store.lock()?;
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let (Some(name), true) = (name, path.extension().is_some_and(|kind| kind == INPUT)) else {
            continue;
        };
        let input = match OpenOptions::new().read(true).write(true).open(&path) {
            // Its owner has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| Error::io("open", &path, &error))?,
        };
        let kept = Kept { store: store.clone(), name: name.to_owned(), input: Mutex::new(input) };
        if kept.take()? == Taken::Yes {
            found.push(kept);
        }
    }
    Ok(found)
}

/// Removes the directory when nothing is in it.
fn tidy(store: &Store) -> Result<()> {
    store.lock()?.save()
}

fn file(store: &Store, name: &str, kind: &str) -> PathBuf {
    store.directory().join(format!("{name}.{kind}"))
}

fn damaged(path: &Path) -> Error {
    Error::text(ErrorKind::DamagedState, path.display(), Reason::Damaged)
}
