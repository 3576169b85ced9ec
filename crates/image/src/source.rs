//! Sources: where an image comes from, and how one is chosen and checked on its way.
//!
//! Kernel objects: none. Invariant: nothing of a source is believed before its digest was checked,
//! except for the descriptor of the root, which is what the user asked for.

mod archive;
pub(crate) mod docker_archive;
mod files;
pub(crate) mod layout;
mod resolve;
mod spool;

use std::io::Read;

use crate::descriptor::Descriptor;
use crate::digest::Digester;
use crate::document::{self, DOCUMENT_MAX};
use crate::error::{Error, Flaw, Result};
pub use docker_archive::DockerArchive;
pub use layout::Layout;
pub use resolve::{Resolved, resolve};
pub use spool::Spool;

/// One image somewhere: in a layout, an archive, a registry, a store.
///
/// Layers are read from several threads at once. Whoever implements it need not check digests or
/// sizes: whoever reads does.
pub trait Source: Sync {
    /// The image's manifest or index.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or
    /// [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous), and what reading it gives.
    fn root(&self) -> Result<Descriptor>;

    /// A blob's bytes, from byte `offset` on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and what reading it gives.
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>>;
}

/// A document of a source: bounded, and with the digest that was promised.
///
/// # Errors
///
/// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for one larger than
/// [`DOCUMENT_MAX`], [`ErrorKind::DigestMismatch`](crate::ErrorKind::DigestMismatch),
/// [`ErrorKind::SizeMismatch`](crate::ErrorKind::SizeMismatch), and what the source gives.
pub fn fetch(source: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>> {
    const WHAT: &str = "document";
    if descriptor.size > DOCUMENT_MAX {
        return Err(Error::document(WHAT, Flaw::TooLarge(descriptor.size)));
    }
    let mut bytes = Vec::new();
    let limit = descriptor.size.saturating_add(1);
    let read = source.open(descriptor, 0)?.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Error::stream("read", error))?;
    document::verify(WHAT, &bytes, &descriptor.digest, descriptor.size)?;
    Ok(bytes)
}

/// How many bytes are moved at once.
pub(crate) const CHUNK: usize = 256 << 10;

/// A blob that is in memory.
fn in_memory(bytes: &[u8], offset: u64) -> Box<dyn Read + Send + '_> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    Box::new(bytes.get(start..).unwrap_or_default())
}

/// Reads a blob and checks it: its end is an error if its size or its digest is wrong, so that what
/// was read before is worth nothing.
pub(crate) struct Checked<'a> {
    reader: Box<dyn Read + Send + 'a>,
    blob: Descriptor,
    digester: Option<Digester>,
}

impl<'a> Checked<'a> {
    pub(crate) fn open(source: &'a dyn Source, blob: &Descriptor) -> Result<Self> {
        let digester = Some(Digester::new(blob.digest.algorithm()));
        Ok(Self { reader: source.open(blob, 0)?, blob: blob.bare(), digester })
    }

    fn check(&mut self) -> Result<()> {
        // After its end a stream is asked again by some readers.
        let Some(digester) = self.digester.take() else { return Ok(()) };
        let Descriptor { digest, size, .. } = self.blob;
        if digester.len() != size {
            return Err(Error::size("blob", digest, size, digester.len()));
        }
        let found = digester.finish();
        if found == digest { Ok(()) } else { Err(Error::mismatch("blob", digest, found)) }
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.reader.read(buffer)?;
        let Descriptor { digest, size, .. } = self.blob;
        if let Some(digester) = &mut self.digester {
            digester.update(buffer.get(..read).unwrap_or_default());
            if digester.len() > size {
                return Err(Error::size("blob", digest, size, digester.len()).into());
            }
        }
        if read == 0 {
            self.check()?;
        }
        Ok(read)
    }
}

/// Reads to the end.
pub(crate) fn each_chunk(
    reader: &mut dyn Read,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::stream("read", error)),
        };
        take(buffer.get(..read).unwrap_or_default())?;
    }
}
