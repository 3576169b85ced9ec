//! Where a layer goes: hashed, compressed, hashed again.
//!
//! Kernel objects: none of its own. Invariant: both digests cover exactly what was written.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::Diff;
use crate::digest::{Digest, Digester};
use crate::error::{Error, Fact, errno_of};
use crate::media_type::Compression;

/// The name and length of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Hashes what goes through it.
pub(crate) struct Hashed<W> {
    digester: Digester,
    inner: W,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.digester.update(bytes.get(..len).unwrap_or(bytes));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

enum Compressor<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

/// A layer that is being written.
pub(crate) struct Output<W: Write> {
    digester: Digester,
    compressor: Compressor<Hashed<W>>,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(diff: &Diff, inner: W) -> Result<Self, Error> {
        let inner = Hashed { digester: Digester::new(diff.algorithm), inner };
        let compressor = match diff.compression {
            Compression::Uncompressed => Compressor::Plain(inner),
            Compression::Gzip => {
                let level = flate2::Compression::new(diff.level.unwrap_or(6).min(9));
                // Neither a time nor a name in the header: the same bytes every time.
                Compressor::Gzip(Box::new(GzEncoder::new(inner, level)))
            }
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                let level = i32::try_from(diff.level.unwrap_or(3).clamp(1, 22)).unwrap_or(3);
                let encoder = zstd::stream::write::Encoder::new(inner, level).and_then(|mut it| {
                    it.include_checksum(true)?;
                    // What every reader takes; see RFC 8878, 3.1.1.1.2.
                    it.window_log(23)?;
                    Ok(it)
                });
                Compressor::Zstd(Box::new(encoder.map_err(|error| failed(&error))?))
            }
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => return Err(Fact::Compression { name: "zstd" }.into()),
        };
        Ok(Self { digester: Digester::new(diff.algorithm), compressor })
    }

    /// Bytes of the uncompressed layer so far.
    pub(crate) fn position(&self) -> u64 {
        self.digester.len()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.digester.update(bytes);
        let written = match &mut self.compressor {
            Compressor::Plain(writer) => writer.write_all(bytes),
            Compressor::Gzip(writer) => writer.write_all(bytes),
            #[cfg(feature = "zstd")]
            Compressor::Zstd(writer) => writer.write_all(bytes),
        };
        written.map_err(|error| failed(&error))
    }

    /// Ends the stream: the contents of the blob and of the uncompressed layer.
    pub(crate) fn finish(self) -> Result<(Content, Content), Error> {
        let finished = match self.compressor {
            Compressor::Plain(writer) => Ok(writer),
            Compressor::Gzip(writer) => writer.finish(),
            #[cfg(feature = "zstd")]
            Compressor::Zstd(writer) => writer.finish(),
        };
        let flushed = finished.and_then(|mut hashed| {
            hashed.flush()?;
            Ok(hashed)
        });
        let hashed = flushed.map_err(|error| failed(&error))?;
        Ok((content(hashed.digester), content(self.digester)))
    }
}

fn content(digester: Digester) -> Content {
    let size = digester.len();
    Content { digest: digester.finish(), size }
}

/// The output failed: with an error of this crate, which comes back as it is, or with another one.
fn failed(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => error.clone(),
        None => Fact::System { operation: "write", path: None, errno: errno_of(error) }.into(),
    }
}
