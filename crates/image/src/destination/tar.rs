//! Tar files with documents and blobs: the same bytes for the same content.
//!
//! Kernel objects: one file. Invariant: everything has time 0, owner 0 and one mode.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tar::Header;

use super::pending_file::PendingFile;
use super::root_tar::beside;
use crate::error::{Error, Result};
use crate::source::each_chunk;

/// The size of a header, and what contents are filled up to.
const BLOCK: u64 = 512;

/// A tar file that is being written.
#[derive(Debug)]
pub(super) struct TarFile {
    file: PendingFile,
}

impl TarFile {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let temporary = beside(path);
        Ok(Self { file: PendingFile::create(temporary, path.to_owned())? })
    }

    /// Adds a file whose size is found out by reading it.
    pub(super) fn add(&mut self, name: &str, content: &mut dyn Read) -> Result<()> {
        let start = self.seek(SeekFrom::Current(0))?;
        self.file.write(header(name, 0)?.as_bytes())?;
        let mut size = 0_u64;
        let file = &mut self.file;
        each_chunk(content, |bytes| {
            size = size.saturating_add(bytes.len() as u64);
            file.write(bytes)
        })?;
        let padding = usize::try_from(size.wrapping_neg() % BLOCK).unwrap_or(0);
        self.file.write(vec![0; padding].as_slice())?;
        let end = self.seek(SeekFrom::Current(0))?;
        self.seek(SeekFrom::Start(start))?;
        self.file.write(header(name, size)?.as_bytes())?;
        self.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.file.seek(to).map_err(|error| self.file.failed("lseek", &error))
    }

    /// Ends the archive and gives it its name.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.file.write(&[0; 1024])?;
        self.file.finish()
    }
}

fn header(name: &str, size: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(|error| Error::io("tar", Path::new(name), &error))?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(header)
}
