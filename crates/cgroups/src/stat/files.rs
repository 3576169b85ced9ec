//! Reading the files of a group's directory.
//!
//! Kernel objects: files of cgroupfs, opened below the descriptor of a group's directory. Invariant:
//! nothing is parsed here, at most [`SIZE_MAX`] bytes of a file are read, no descriptor is kept.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// What the first read of a file may bring. All files but `memory.stat`, `io.stat` and
/// `rdma.current` of large machines are shorter than that.
const SIZE_FIRST: usize = 4096;
/// No file of a group is that long.
const SIZE_MAX: usize = 1 << 20;

/// A group's directory, and in whose language its files are.
#[derive(Clone, Copy, Debug)]
pub enum Dir<'a> {
    /// A directory of a v1 hierarchy.
    V1(BorrowedFd<'a>),
    /// A directory of the v2 hierarchy.
    V2(BorrowedFd<'a>),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::V1(fd) | Self::V2(fd) => *fd,
        }
    }
}

/// Reads files into one buffer that is used again.
#[derive(Debug)]
pub(crate) struct Files {
    buffer: Vec<u8>,
    /// Names are relative to what stands here, the group's name and a slash.
    path: String,
    prefix: usize,
    /// How many were there.
    found: usize,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; SIZE_FIRST], path: String::new(), prefix: 0, found: 0 }
    }

    /// For the files of this group, from the directory above it: that saves opening the group's own.
    pub(crate) fn below(group: &str) -> Self {
        let path = format!("{group}/");
        Self { prefix: path.len(), path, ..Self::new() }
    }

    /// How many of the files that were asked for were there.
    pub(crate) fn found(&self) -> usize {
        self.found
    }

    /// The text of `name` in `dir`; `None` where the kernel does not have the file (an older kernel, a
    /// controller that is not on, pressure switched off).
    pub(crate) fn read(&mut self, dir: impl AsFd, name: &str) -> Result<Option<&str>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.path.truncate(self.prefix);
        self.path.push_str(name);
        let file = match rustix::fs::openat(dir, self.path.as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(Error::at("openat", Path::new(name), errno)),
        };
        self.found += 1;
        match self.read_open(&file) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(Error::at("read", Path::new(name), errno)),
        }
    }

    /// The text of an open file from its start.
    ///
    /// The kernel makes such a file's text as one record, so that a read which leaves room in the
    /// buffer has brought all of it.
    pub(crate) fn read_open(&mut self, file: impl AsFd) -> Result<&str, Errno> {
        let mut length = 0;
        loop {
            let offset = u64::try_from(length).unwrap_or(u64::MAX);
            let free = self.buffer.get_mut(length..).unwrap_or_default();
            let room = free.len();
            length += rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut *free, offset))?;
            if length < self.buffer.len() || room == 0 || self.buffer.len() >= SIZE_MAX {
                return Ok(valid(self.buffer.get(..length).unwrap_or_default()));
            }
            self.buffer.resize(self.buffer.len().saturating_mul(4), 0);
        }
    }
}

/// The part of the bytes before the first that is not UTF-8; the kernel writes ASCII.
pub(crate) fn valid(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let (good, _) = bytes.split_at(error.valid_up_to());
            std::str::from_utf8(good).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn long_files_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let handle = File::open(dir.path()).unwrap();
        let mut files = Files::new();
        for size in [0, 1, SIZE_FIRST - 1, SIZE_FIRST, SIZE_FIRST + 1, 5 * SIZE_FIRST] {
            std::fs::write(dir.path().join("f"), "x".repeat(size)).unwrap();
            assert_eq!(files.read(&handle, "f").unwrap().unwrap().len(), size);
        }
        std::fs::write(dir.path().join("f"), vec![b'x'; 2 * SIZE_MAX]).unwrap();
        assert_eq!(files.read(&handle, "f").unwrap().unwrap().len(), SIZE_MAX);
    }

    #[test]
    fn missing_files_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let handle = File::open(dir.path()).unwrap();
        assert_eq!(Files::new().read(&handle, "absent").unwrap(), None);
        let error = Files::new().read(&handle, "/dev/null/x").unwrap_err();
        assert_eq!(error.errno(), Some(20));
    }

    #[test]
    fn bytes_that_are_no_text_end_it() {
        assert_eq!(valid(b"a 1\n\xff\xfeb 2"), "a 1\n");
    }
}
