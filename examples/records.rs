//! Containers that are written down: each has a directory with one JSON document, and is found by its name,
//! its id, or the beginning of that.
//!
//! Kernel objects: the directory, with a lock of flock(2). Invariant: the document is written last and removed first, so
//! that what is found is whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arguments::Failure;

const DOCUMENT: &str = "container.json";

/// What everything that is written down has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Named {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What its user calls it: the beginning of the id unless another name was said.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// Where it is.
    pub directory: PathBuf,
}

impl Named {
    /// The beginning of the id, as it is shown.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..12).unwrap_or_default()
    }
}

/// The directory.
#[derive(Debug)]
pub struct Records<T> {
    path: PathBuf,
    of: PhantomData<T>,
}

impl<T: Deref<Target = Named> + Serialize + DeserializeOwned> Records<T> {
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

    /// A new id with a name that nothing else has; its directory is not there yet.
    ///
    /// # Errors
    /// As [`Records::all`]; a name that something has; what getrandom(2) answered.
    pub fn fresh(&self, name: Option<String>) -> Result<Named, Failure> {
        let mut random = [0; 32];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = name.unwrap_or_else(|| id[..12].to_owned());
        if self.all()?.iter().any(|record| record.name == name) {
            return Err(format!("{name}: a container has this name already").into());
        }
        Ok(Named { directory: self.path.join(&id), id, name, created: SystemTime::now() })
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
        all.sort_by_key(|record| std::cmp::Reverse(record.created));
        Ok(all)
    }

    /// What a word means: a name, an id, or the beginning of one.
    ///
    /// # Errors
    /// As [`Records::all`]; a word that means nothing, or several.
    pub fn find(&self, word: &OsStr) -> Result<T, Failure> {
        let word = &*word.to_string_lossy();
        let (named, mut begun): (Vec<T>, Vec<T>) =
            self.all()?.into_iter().partition(|record| record.name == word);
        begun.retain(|record| record.id.starts_with(word) && !word.is_empty());
        match (named.into_iter().next(), begun.pop()) {
            (Some(record), _) => Ok(record),
            (None, Some(record)) if begun.is_empty() => Ok(record),
            (None, Some(_)) => Err(format!("{word}: more than one id begins so").into()),
            (None, None) => Err(format!("{word}: there is no such container").into()),
        }
    }

    /// Makes its directory, has it filled, and writes it down; nothing is left when one of these fails.
    ///
    /// # Errors
    /// As what fills it; what mkdir(2) or writing answered.
    pub fn make(
        &self,
        mut record: T,
        fill: impl FnOnce(&mut T) -> Result<(), Failure>,
    ) -> Result<T, Failure> {
        let directory = record.directory.clone();
        fs::create_dir(&directory)?;
        let made = fill(&mut record).and_then(|()| {
            let text = serde_json::to_vec_pretty(&record)?;
            Ok(fs::write(directory.join(DOCUMENT), text)?)
        });
        if made.is_err() {
            fs::remove_dir_all(&directory)?;
        }
        made.map(|()| record)
    }

    /// Forgets it; its directory stays, which may hold more.
    ///
    /// # Errors
    /// What unlink(2) answered.
    pub fn forget(&self, record: &T) -> Result<(), Failure> {
        Ok(fs::remove_file(record.directory.join(DOCUMENT))?)
    }
}
