//! Sources: where an image comes from, and how one is chosen and checked on its way.
//!
//! Kernel objects: none. Invariant: nothing of a source is believed before its digest was checked,
//! except for the descriptor of the root, which is what the user asked for.

mod files;
pub(crate) mod layout;
mod layout_directory;
mod resolve;

use std::io::Read;

use crate::descriptor::Descriptor;
use crate::digest::Digester;
use crate::document::{self, DOCUMENT_MAX};
use crate::error::{Error, Flaw, Result};
pub use layout_directory::LayoutDirectory;
pub use resolve::{Resolved, resolve};

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

/// Reads a whole blob and hands its bytes on, while its size and digest are checked; what was
/// handed on is worth nothing if this fails.
pub(crate) fn stream(
    source: &dyn Source,
    blob: &Descriptor,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    const WHAT: &str = "blob";
    let mut reader = source.open(blob, 0)?;
    let mut digester = Digester::new(blob.digest.algorithm());
    each_chunk(&mut *reader, |bytes| {
        digester.update(bytes);
        if digester.len() > blob.size {
            return Err(Error::size(WHAT, blob.digest, blob.size, digester.len()));
        }
        take(bytes)
    })?;
    if digester.len() != blob.size {
        return Err(Error::size(WHAT, blob.digest, blob.size, digester.len()));
    }
    let found = digester.finish();
    if found == blob.digest { Ok(()) } else { Err(Error::mismatch(WHAT, blob.digest, found)) }
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
