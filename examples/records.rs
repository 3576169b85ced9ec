//! A directory of things that are written down: each has a directory with one JSON document, and is found by its name,
//! its id, or the beginning of that.
//!
//! Kernel objects: the directory, with a lock of flock(2). Invariant: the document is written last and removed first, so
//! that what is found is whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::Failure;

const DOCUMENT: &str = "container.json";

/// What is written down.
pub trait Record: Serialize + DeserializeOwned {
    /// 64 hexadecimal digits.
    fn id(&self) -> &str;

    /// What its user calls it.
    fn name(&self) -> &str;

    /// When it was made.
    fn created(&self) -> SystemTime;
}

/// The directory.
#[derive(Debug)]
pub struct Records<T> {
    path: PathBuf,
    of: PhantomData<T>,
}

impl<T: Record> Records<T> {
    /// Opens it, and makes it if there is none.
    ///
    /// # Errors
    /// What mkdir(2) answered.
    pub fn open(path: PathBuf) -> Result<Self, Failure> {
        fs::create_dir_all(&path)?;
        Ok(Self { path, of: PhantomData })
    }

    /// Nobody else has the lock while it is held.
    ///
    /// # Errors
    /// What open(2) or flock(2) answered.
    pub fn lock(&self) -> Result<File, Failure> {
        let directory = File::open(&self.path)?;
        rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))?;
        Ok(directory)
    }

    /// A new id, and its directory, which is not there yet.
    ///
    /// # Errors
    /// What getrandom(2) answered.
    pub fn fresh(&self) -> Result<(String, PathBuf), Failure> {
        let mut random = [0; 32];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = self.path.join(&id);
        Ok((id, directory))
    }

    /// Everything that is written down, the newest first.
    ///
    /// # Errors
    /// What reading answered; a document that is none.
    pub fn all(&self) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Without the document it is being made or removed.
            if let Ok(text) = fs::read(entry?.path().join(DOCUMENT)) {
                all.push(serde_json::from_slice::<T>(&text)?);
            }
        }
        all.sort_by_key(|record| std::cmp::Reverse(record.created()));
        Ok(all)
    }

    /// What a word means: a name, an id, or the beginning of one.
    ///
    /// # Errors
    /// As [`Records::all`]; a word that means nothing, or several.
    pub fn find(&self, word: &OsStr) -> Result<T, Failure> {
        let word = &*word.to_string_lossy();
        let (named, mut begun): (Vec<T>, Vec<T>) =
            self.all()?.into_iter().partition(|record| record.name() == word);
        begun.retain(|record| record.id().starts_with(word) && !word.is_empty());
        match (named.into_iter().next(), begun.pop()) {
            (Some(record), _) => Ok(record),
            (None, Some(record)) if begun.is_empty() => Ok(record),
            (None, Some(_)) => Err(format!("{word}: more than one id begins so").into()),
            (None, None) => Err(format!("{word}: there is no such container").into()),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// What writing answered.
    pub fn write(&self, record: &T) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(record)?;
        Ok(fs::write(self.path.join(record.id()).join(DOCUMENT), text)?)
    }

    /// Forgets it; its directory stays, which may hold more.
    ///
    /// # Errors
    /// What unlink(2) answered.
    pub fn forget(&self, id: &str) -> Result<PathBuf, Failure> {
        let directory = self.path.join(id);
        fs::remove_file(directory.join(DOCUMENT))?;
        Ok(directory)
    }
}
