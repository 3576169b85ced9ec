//! Named files that a source is made of: a directory's, without leaving it.
//!
//! Kernel objects: a directory and regular files below it, opened with openat2(2). Invariant: no
//! link leads out of the directory, and nothing but a regular file is read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::document::DOCUMENT_MAX;
use crate::error::{Error, Flaw, Result};

/// A directory with files.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::at("open", path, errno))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens a regular file at an offset; returns its length, too.
    pub(crate) fn file(&self, name: &str, offset: u64) -> Result<(File, u64)> {
        let path = self.path.join(name);
        let failed = |errno| Error::at("openat2", &path, errno);
        // A FIFO would block, a device could do anything.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = loop {
            match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), resolve) {
                // Something was renamed meanwhile.
                Err(Errno::AGAIN) => {}
                opened => break opened.map_err(failed)?,
            }
        };
        let stat = rustix::fs::fstat(&opened).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(Errno::INVAL));
        }
        let mut file = File::from(opened);
        file.seek(SeekFrom::Start(offset)).map_err(|error| Error::io("lseek", &path, &error))?;
        Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// A whole file, if it is no larger than a document.
    pub(crate) fn document(&self, what: &'static str, name: &str) -> Result<Vec<u8>> {
        let (file, size) = self.file(name, 0)?;
        if size > DOCUMENT_MAX {
            return Err(Error::document(what, Flaw::TooLarge(size)));
        }
        let mut bytes = Vec::new();
        file.take(DOCUMENT_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", &self.path.join(name), &error))?;
        Ok(bytes)
    }
}
