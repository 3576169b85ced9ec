//! Bundles: a directory with `config.json` in it, and usually the root file system.
//!
//! Kernel objects: two files. Invariant: a bundle is written whole or not at all, and reading one neither waits (for the
//! writer of a FIFO) nor takes more memory than a configuration needs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::document::Document;
use crate::error::{Error, Result};
use crate::read::DOCUMENT_MAX;

/// The name of the configuration in a bundle.
pub const CONFIG_JSON: &str = "config.json";

/// A directory and the configuration in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    directory: PathBuf,
    document: Document,
}

impl Bundle {
    /// A bundle that is to be in this directory; nothing is written before [`save`](Self::save).
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, document: Document) -> Self {
        Self { directory: directory.into(), document }
    }

    /// Reads the configuration in this directory.
    ///
    /// # Errors
    /// As [`Document::parse`]; [`NotFound`](crate::ErrorKind::NotFound) and [`Denied`](crate::ErrorKind::Denied);
    /// [`NotAFile`](crate::ErrorKind::NotAFile) for a directory, device, FIFO or socket.
    pub fn load(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        let document = Document::parse(&bytes_of(&directory.join(CONFIG_JSON))?)?;
        Ok(Self { directory, document })
    }

    /// Writes the configuration; a reader sees the old one or this one. The directory has to be there.
    ///
    /// # Errors
    /// As [`Document::to_json`]; [`NotFound`](crate::ErrorKind::NotFound), [`Denied`](crate::ErrorKind::Denied) or
    /// [`System`](crate::ErrorKind::System) where the file cannot be written. Nothing is left of it then.
    pub fn save(&self) -> Result<()> {
        let json = self.document.to_json()?;
        let (file, path) = new_file(&self.directory)?;
        let written = write(file, json.as_bytes()).and_then(|()| {
            let target = self.directory.join(CONFIG_JSON);
            std::fs::rename(&path, target)
        });
        if let Err(error) = written {
            // What matters is why it could not be written.
            drop(std::fs::remove_file(&path));
            return Err(Error::system("write", &path, &error));
        }
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(|error| Error::system("fsync", &self.directory, &error))
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The configuration.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The configuration, to be changed.
    pub fn document_mut(&mut self) -> &mut Document {
        &mut self.document
    }

    /// Where the root file system is: `root.path`, which starts at the directory of the bundle.
    #[must_use]
    pub fn root(&self) -> Option<PathBuf> {
        let root = self.document.spec().root().as_ref()?;
        Some(self.directory.join(root.path()))
    }
}

/// How many names for a new file are tried; only somebody who guesses them can take them.
const TRIES: u32 = 16;

fn new_file(directory: &Path) -> Result<(File, PathBuf)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let own = rustix::process::getpid().as_raw_pid();
    let mut tried = 0;
    loop {
        let path = directory.join(format!(".{CONFIG_JSON}.{own}.{tried}"));
        match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644)) {
            Ok(file) => return Ok((file.into(), path)),
            Err(rustix::io::Errno::EXIST) if tried < TRIES => tried += 1,
            Err(errno) => return Err(Error::system("open", &path, &errno.into())),
        }
    }
}

fn write(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let failed = |operation| move |error: io::Error| Error::system(operation, path, &error);
    // NONBLOCK: a FIFO without a writer is opened, and then refused.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(file.map_err(io::Error::from).map_err(failed("open"))?);
    let metadata = file.metadata().map_err(failed("fstat"))?;
    if !metadata.is_file() {
        return Err(Error::not_a_file(path));
    }
    let mut bytes = Vec::new();
    let most = DOCUMENT_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(failed("read"))?;
    Ok(bytes)
}
