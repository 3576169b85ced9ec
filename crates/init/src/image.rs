//! Writes the images that the embedded program maps: bytes, and the words to which their address is added.
//!
//! Kernel objects: sealed memfds (memfd_create(2)). Invariant: a text or structure is reached only through an
//! offset that this writer gave out.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::above_stdio;
use crate::error::{Error, ErrorKind};

/// An image in the making.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    relocations: Vec<u32>,
}

impl Image {
    /// Starts with room for a header and what follows it directly.
    pub(crate) fn with_head(len: usize) -> Self {
        Self { bytes: vec![0; len], relocations: Vec::new() }
    }

    /// The next offset as the layout stores it.
    fn end(&self) -> Result<u32, Error> {
        u32::try_from(self.bytes.len())
            .map_err(|_| Error::new(ErrorKind::ProgramTooLarge, "more than 4 GiB of data"))
    }

    /// Replaces bytes at the start.
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Adds bytes at a multiple of eight; gives their offset.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<u32, Error> {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.end()?;
        self.bytes.extend_from_slice(bytes);
        self.end().map(|_| at)
    }

    /// Adds a text with its NUL.
    pub(crate) fn add_text(&mut self, text: &CString) -> Result<u32, Error> {
        let at = self.end()?;
        self.bytes.extend_from_slice(text.as_bytes_with_nul());
        self.end().map(|_| at)
    }

    /// Adds a vector of addresses of texts, ended by a null.
    pub(crate) fn add_texts(&mut self, texts: &[CString]) -> Result<u32, Error> {
        let offsets =
            texts.iter().map(|text| self.add_text(text)).collect::<Result<Vec<_>, _>>()?;
        let at = self.add(&vec![0; 8 * (texts.len() + 1)])?;
        for (index, offset) in offsets.into_iter().enumerate() {
            self.relocate(at as usize + 8 * index, offset);
        }
        Ok(at)
    }

    /// Adds a `struct sock_fprog`, which holds how many instructions there are, eight bytes each, and their address.
    pub(crate) fn add_filter(&mut self, instructions: &[u8]) -> Result<u32, Error> {
        let count = u16::try_from(instructions.len() / 8).map_err(|_| {
            Error::new(ErrorKind::ProgramTooLarge, "a filter of more than 65535 instructions")
        })?;
        let offset = self.add(instructions)?;
        let at = self.add(&u128::from(count).to_le_bytes())?;
        self.relocate(at as usize + 8, offset);
        Ok(at)
    }

    /// Makes the word at `at` the address of `offset`.
    pub(crate) fn relocate(&mut self, at: usize, offset: u32) {
        self.put(at, &u64::from(offset).to_le_bytes());
        self.relocations.extend(u32::try_from(at));
    }

    /// Adds the relocation table; gives its offset and length.
    pub(crate) fn add_relocations(&mut self) -> Result<(u32, u32), Error> {
        let table: Vec<u8> = self.relocations.iter().flat_map(|at| at.to_le_bytes()).collect();
        let count = u32::try_from(self.relocations.len()).unwrap_or(u32::MAX);
        Ok((self.add(&table)?, count))
    }

    /// Its length so far.
    pub(crate) fn len(&self) -> Result<u32, Error> {
        self.end()
    }

    /// Puts the image into a memfd; a shared one is sealed for ever.
    pub(crate) fn store(&self, name: &'static str, sealing: Sealing) -> Result<OwnedFd, Error> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = above_stdio(memfd(name, flags)?)?;
        write_all(&fd, &self.bytes, name)?;
        if sealing == Sealing::Sealed {
            let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
            fcntl_add_seals(&fd, seals)
                .map_err(|errno| Error::host("fcntl(F_ADD_SEALS)", errno))?;
        }
        Ok(fd)
    }
}

/// Whether a memfd can change after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// It cannot: many launches share it.
    Sealed,
    /// It could, but one launch owns it.
    Unsealed,
}

/// Makes a memfd; the flag that says «not executable» is left out where the kernel does not know it.
fn memfd(name: &'static str, flags: MemfdFlags) -> Result<OwnedFd, Error> {
    let made = memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL);
    match made {
        Err(Errno::INVAL) => memfd_create(name, flags),
        other => other,
    }
    .map_err(|errno| Error::host("memfd_create", errno))
}

/// Refuses what `RLIMIT_FSIZE` does not let this process write.
pub(crate) fn check_size_limit(len: usize, name: &'static str) -> Result<(), Error> {
    let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
    if len as u64 > limit { Err(Error::new(ErrorKind::FileSizeLimit, name)) } else { Ok(()) }
}

/// Writes everything, after making sure that the kernel would not end this process for it (`SIGXFSZ`).
pub(crate) fn write_all(fd: &OwnedFd, bytes: &[u8], name: &'static str) -> Result<(), Error> {
    check_size_limit(bytes.len(), name)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(fd, rest) {
            Ok(0) => return Err(Error::host("write to a memfd", Errno::IO)),
            Ok(written) => rest = rest.get(written..).unwrap_or(&[]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::host("write to a memfd", errno)),
        }
    }
    Ok(())
}
