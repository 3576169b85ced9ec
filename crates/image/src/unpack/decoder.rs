//! Decompressing a layer: gzip of any number of members, zstd of any number of frames.
//!
//! Kernel objects: none. Invariant: a decoder reads to the end of the stream, and takes nothing
//! there that is not compressed data.

// flate2 with zlib-rs, measured on a layer of 280 MB: 0.55 s of CPU time, miniz_oxide 0.74 s, zlib 0.84 s. libdeflate
// does not stream.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use crate::media_type::Compression;

impl Compression {
    /// What the first bytes of a layer say; four are enough.
    #[must_use]
    pub fn of_magic(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Uncompressed,
        }
    }
}

/// Reads what was compressed.
pub(crate) enum Decoder<R: BufRead> {
    Gzip(Box<MultiGzDecoder<R>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::read::Decoder<'static, R>),
}

/// The logarithm of the largest window: 8 MiB, as RFC 8878 recommends.
#[cfg(feature = "zstd")]
const WINDOW_LOG_MAX: u32 = 23;

impl<R: BufRead> Decoder<R> {
    /// A decoder of `stream`, or `stream` itself where nothing is to be decoded.
    pub(crate) fn new(compression: Compression, stream: R) -> io::Result<Result<Self, R>> {
        match compression {
            Compression::Uncompressed => Ok(Err(stream)),
            Compression::Gzip => Ok(Ok(Self::Gzip(Box::new(MultiGzDecoder::new(stream))))),
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(stream)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Ok(Ok(Self::Zstd(decoder)))
            }
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut R {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
