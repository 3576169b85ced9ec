//! Archives that are compressed as a whole: decompressed once into a file without a name.
//!
//! Kernel objects: one file that no directory lists, which is gone with its last descriptor.
//! Invariant: it is no larger than was allowed, and holds the whole archive.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{CHUNK, each_chunk};
use crate::error::{Error, Fact, Result};
use crate::media_type::Compression;
use crate::store::fresh_name;
use crate::unpack::Quotas;
use crate::unpack::decoder::Decoder;
use crate::unpack::pipeline::decoder_error;
use crate::unpack::quotas::Quota;
use crate::unpack::trouble::Trouble;

/// Where an archive that is compressed as a whole is decompressed to, and how large it may become.
///
/// The files of an archive are read in any order, which a compressed stream does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spool {
    /// A directory whose file system has the room. Default: `TMPDIR`, or `/var/tmp`, which unlike
    /// `/tmp` is seldom in memory.
    pub directory: PathBuf,
    /// Bytes of the decompressed archive. Default: 64 GiB, as a layer may have.
    pub bytes: u64,
}

impl Default for Spool {
    fn default() -> Self {
        let directory = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty());
        let directory = directory.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        Self { directory, bytes: Quotas::default().bytes }
    }
}

impl Spool {
    /// Decompresses `stream` to its end; what is after its end is an error.
    pub(super) fn decompress(&self, compression: Compression, stream: impl Read) -> Result<File> {
        let mut file = self.file()?;
        let stream = BufReader::with_capacity(CHUNK, stream);
        let Ok(Ok(decoder)) = Decoder::new(compression, stream) else {
            return Err(Fact::Compression { name: "zstd" }.into());
        };
        let mut decoder = Decoded(decoder);
        let mut written = 0_u64;
        each_chunk(&mut decoder, |bytes| {
            written = written.saturating_add(bytes.len() as u64);
            if written > self.bytes {
                return Err(Error::layer(None, 0, Trouble::Quota(Quota::Bytes, self.bytes)));
            }
            file.write_all(bytes).map_err(|error| Error::io("write", &self.directory, &error))
        })?;
        match decoder.0.get_mut().fill_buf() {
            Ok(&[]) => Ok(file),
            Ok(_) => Err(Error::layer(None, written, Trouble::AfterTheEnd)),
            Err(error) => Err(Error::stream("read", error)),
        }
    }

    /// A file that nobody else can open.
    pub(crate) fn file(&self) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let opened = rustix::fs::open(&self.directory, flags | OFlags::TMPFILE, mode);
        match opened {
            Ok(file) => Ok(file.into()),
            // File systems that cannot do it; kernels that do not know it say that it is a directory.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => self.removed_file(flags, mode),
            Err(errno) => Err(Error::at("open", &self.directory, errno)),
        }
    }

    /// The same for every file system: a name that is gone at once.
    fn removed_file(&self, flags: OFlags, mode: Mode) -> Result<File> {
        let path = self.directory.join(fresh_name(".ampoule-spool-"));
        let failed = |operation| {
            let path: &Path = &path;
            move |errno| Error::at(operation, path, errno)
        };
        let file = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode)
            .map_err(failed("open"))?;
        rustix::fs::unlinkat(CWD, &path, AtFlags::empty()).map_err(failed("unlink"))?;
        Ok(file.into())
    }
}

/// A decoder whose own errors say what is wrong with the archive.
struct Decoded<R: BufRead>(Decoder<R>);

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            None => decoder_error(error),
        })
    }
}
