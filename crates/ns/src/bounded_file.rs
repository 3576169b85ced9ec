//! Reading small files that somebody else may have prepared.
//!
//! Kernel objects: file descriptors. Invariant: only regular files are read, never more bytes
//! than allowed, and no FIFO or terminal can block or adopt the host.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Error, Reason, Result};

/// How such a file is opened.
pub(crate) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Reads a file of the host; a missing one is empty.
pub(crate) fn read_host(path: &Path, max: usize) -> Result<Vec<u8>> {
    match rustix::fs::open(path, READ, Mode::empty()) {
        Ok(file) => read_open(file, path, max),
        Err(Errno::NOENT) => Ok(Vec::new()),
        Err(errno) => Err(Error::at("open", path, errno)),
    }
}

/// Reads an open regular file of at most `max` bytes from its start.
pub(crate) fn read_open(file: OwnedFd, path: &Path, max: usize) -> Result<Vec<u8>> {
    let stat = rustix::fs::fstat(&file).map_err(|errno| Error::at("fstat", path, errno))?;
    require_regular(&stat, path, max)?;
    let content = read_prefix(file, max.saturating_add(1));
    let content = content.map_err(|errno| Error::at("read", path, errno))?;
    if content.len() > max { Err(Error::file(path, Reason::TooLarge)) } else { Ok(content) }
}

/// Reads the first `max` bytes of an open file.
pub(crate) fn read_prefix(file: OwnedFd, max: usize) -> Result<Vec<u8>, Errno> {
    // Most of what is read fits, with room to see the end in the same call.
    let mut content = Vec::with_capacity(max.min(4 << 10));
    let limit = u64::try_from(max).unwrap_or(u64::MAX);
    let read = File::from(file).take(limit).read_to_end(&mut content);
    read.map(|_| content).map_err(|error| errno_of(&error))
}

/// Refuses what is not a regular file of at most `max` bytes.
pub(crate) fn require_regular(stat: &Stat, path: &Path, max: usize) -> Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::file(path, Reason::NotRegular));
    }
    let fits = usize::try_from(stat.st_size).is_ok_and(|size| size <= max);
    if fits { Ok(()) } else { Err(Error::file(path, Reason::TooLarge)) }
}

/// The errno of an [`std::io::Error`] that a system call made.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn kind(path: &Path, max: usize) -> ErrorKind {
        read_host(path, max).unwrap_err().kind()
    }

    #[test]
    fn reads_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(read_host(&path, 4).unwrap(), b"");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read_host(&path, 4).unwrap(), b"1234");
        assert_eq!(kind(&path, 3), ErrorKind::UnsuitableFile);
        File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        assert_eq!(kind(&path, 4 << 20), ErrorKind::UnsuitableFile);
    }

    #[test]
    fn reads_files_that_hide_their_size_only_up_to_the_limit() {
        assert!(read_host(Path::new("/proc/self/status"), 1 << 20).unwrap().len() > 100);
        assert_eq!(kind(Path::new("/proc/self/status"), 10), ErrorKind::UnsuitableFile);
    }

    #[test]
    fn refuses_what_is_not_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/zero")] {
            assert_eq!(kind(path, 100), ErrorKind::UnsuitableFile, "{}", path.display());
        }
    }
}
