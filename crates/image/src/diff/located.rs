//! One file of the tree, found and opened: by this process, or where it may not by one with other ids.
//!
//! Kernel objects: descriptors. Invariant: what is opened is what was found, below the root, and no link is followed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::ids::read::{MOST, NAME, Reader};
use crate::unpack::tree::directories::{DIRECTORY, open_beneath};
use crate::unpack::trouble::Trouble;

/// Where files are found.
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    reader: Option<Reader<'a>>,
}

/// A file that was found.
pub(super) enum Located<'p> {
    /// A name in a directory.
    Here(OwnedFd, &'p [u8]),
    /// In a directory that this process may not search: a descriptor that names it (`O_PATH`).
    There(OwnedFd),
}

/// Whether only others may.
fn is_refused(errno: Errno) -> bool {
    matches!(errno, Errno::ACCESS | Errno::PERM)
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, reader: Option<Reader<'a>>) -> Self {
        Self { root, reader }
    }

    /// The root itself.
    pub(super) fn root(&mut self) -> Result<OwnedFd, Trouble> {
        match (open_beneath(self.root, b"", DIRECTORY), &mut self.reader) {
            (Err(errno), Some(reader)) if is_refused(errno) => {
                reader.open(b"", std::iter::empty(), DIRECTORY)
            }
            (opened, _) => opened,
        }
        .map_err(Trouble::of("openat2"))
    }

    /// Finds the first path; the others come next in the same directory.
    pub(super) fn find<'p>(
        &mut self,
        paths: &'p [Vec<u8>],
    ) -> Result<(Located<'p>, Stat), Trouble> {
        let path = paths.first().map(Vec::as_slice).unwrap_or_default();
        let (parent, last) = super::walk::split(path);
        let found = open_beneath(self.root, parent, DIRECTORY).and_then(|parent| {
            let stat = fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok((Located::Here(parent, last), stat))
        });
        match (found, &mut self.reader) {
            (Err(errno), Some(reader)) if is_refused(errno) => {
                let others = paths.iter().skip(1).cloned();
                let fd = reader.open(path, others, NAME).map_err(Trouble::of("openat2"))?;
                let stat = fs::fstat(&fd).map_err(Trouble::of("fstat"))?;
                Ok((Located::There(fd), stat))
            }
            (found, _) => found.map_err(Trouble::of("fstatat")),
        }
    }

    /// Opens what was found at the first path.
    pub(super) fn open(
        &mut self,
        located: &Located<'_>,
        paths: &[Vec<u8>],
        flags: OFlags,
    ) -> Result<OwnedFd, Trouble> {
        let opened = match located {
            Located::Here(parent, last) => fs::openat(parent, *last, flags, Mode::empty()),
            // The descriptor is no link itself.
            Located::There(fd) => {
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                fs::open(path, flags.difference(OFlags::NOFOLLOW), Mode::empty())
            }
        };
        match (opened, &mut self.reader) {
            (Err(errno), Some(reader)) if is_refused(errno) => {
                let path = paths.first().map(Vec::as_slice).unwrap_or_default();
                let kind =
                    if flags == DIRECTORY { FileType::Directory } else { FileType::RegularFile };
                let others = paths.iter().skip(1);
                let alike: Vec<_> =
                    others.filter(|path| reader.wants(path, kind)).take(MOST).cloned().collect();
                reader.open(path, alike, flags)
            }
            (opened, _) => opened,
        }
        .map_err(Trouble::of("openat"))
    }
}

impl Located<'_> {
    /// Where a link leads to.
    pub(super) fn target(&self) -> Result<Vec<u8>, Trouble> {
        let target = match self {
            Self::Here(parent, last) => fs::readlinkat(parent, *last, Vec::new()),
            Self::There(fd) => fs::readlinkat(fd.as_fd(), "", Vec::new()),
        };
        Ok(target.map_err(Trouble::of("readlinkat"))?.into_bytes())
    }
}
