//! Writing the content of a file.
//!
//! Kernel objects: one regular file. Invariant: holes are never written, and the file has exactly
//! the size that the member says.

use std::io::BufRead;
use std::os::fd::BorrowedFd;

use rustix::fs;
use rustix::io::{self, Errno};

use crate::unpack::format::members::Members;
use crate::unpack::format::sparse::SparseMap;
use crate::unpack::trouble::Trouble;

/// Writes all of the current member's content.
pub(crate) fn write_all<R: BufRead>(
    fd: BorrowedFd<'_>,
    members: &mut Members<R>,
    size: u64,
) -> Result<(), Trouble> {
    members.content(size, |mut bytes| {
        while !bytes.is_empty() {
            match io::write(fd, bytes) {
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Trouble::System("write", errno)),
            }
        }
        Ok(())
    })
}

/// Writes the pieces of a sparse file where they belong.
pub(crate) fn write_pieces<R: BufRead>(
    fd: BorrowedFd<'_>,
    members: &mut Members<R>,
    map: &SparseMap,
    size: u64,
) -> Result<(), Trouble> {
    for segment in map.segments() {
        let mut offset = segment.offset;
        members.content(segment.len, |mut bytes| {
            while !bytes.is_empty() {
                match io::pwrite(fd, bytes, offset) {
                    Ok(len) => {
                        bytes = bytes.get(len..).unwrap_or_default();
                        offset += len as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(Trouble::System("pwrite", errno)),
                }
            }
            Ok(())
        })?;
    }
    fs::ftruncate(fd, size).map_err(Trouble::of("ftruncate"))
}
