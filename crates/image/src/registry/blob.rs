//! A blob as a stream that survives broken connections.
//!
//! Kernel objects: one connection at a time. Invariant: a byte of the blob is given out once, in order, and never more
//! of them than the descriptor says.

use std::fmt;
use std::io::{self, Read};

use ureq::BodyReader;

use super::http::{self, Answer};
use super::trouble::Trouble;
use super::{Registry, pull};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// The bytes of a blob.
pub struct BlobReader<'a> {
    registry: &'a Registry,
    path: String,
    scope: String,
    size: u64,
    offset: u64,
    body: Option<BodyReader<'static>>,
    /// Attempts since a byte came.
    attempts: u32,
}

impl fmt::Debug for BlobReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, size, offset, .. } = self;
        write!(f, "BlobReader({path}, {offset} of {size} bytes)")
    }
}

impl<'a> BlobReader<'a> {
    pub(super) fn open(
        registry: &'a Registry,
        repository: &str,
        digest: &Digest,
        (size, offset): (u64, u64),
    ) -> Result<Self> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let scope = pull(repository);
        let mut reader = Self { registry, path, scope, size, offset, body: None, attempts: 0 };
        reader.connect()?;
        Ok(reader)
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Asks for what has not been read yet.
    fn connect(&mut self) -> Result<()> {
        let (registry, offset, size) = (self.registry, self.offset, self.size);
        let body = registry.patiently(&self.path, || {
            let mut request = registry.request("GET", &self.path, &self.scope)?;
            // Compressed once more, neither size nor offset would mean anything.
            request.headers.push(("accept-encoding", "identity".to_owned()));
            if offset > 0 {
                request.headers.push(("range", format!("bytes={offset}-")));
            }
            let answer = http::checked(registry.send(&request)?)?;
            let skipped = start_of(&answer, offset)?;
            // One byte more, so that a blob that is longer than promised shows.
            let limit = size.saturating_add(1);
            let mut body = answer.into_body().into_with_config().limit(limit).reader();
            skip(&mut body, skipped)?;
            Ok(body)
        })?;
        self.body = Some(body);
        Ok(())
    }

    fn broken(&self) -> Error {
        let trouble = Trouble::Broken { attempts: self.attempts, offset: self.offset };
        self.registry.error(&self.path, trouble)
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(body) = &mut self.body else {
                self.connect().map_err(io::Error::from)?;
                continue;
            };
            match body.read(buffer) {
                Ok(0) if self.offset >= self.size => return Ok(0),
                Ok(count) if count > 0 => {
                    self.offset += count as u64;
                    self.attempts = 0;
                    return Ok(count);
                }
                // It ended too early, or broke.
                Ok(_) | Err(_) => {
                    self.body = None;
                    self.attempts += 1;
                    if self.attempts >= self.registry.options.attempts {
                        return Err(self.broken().into());
                    }
                    let pause =
                        http::back_off(&self.registry.options, &Trouble::Stalled, self.attempts);
                    std::thread::sleep(pause);
                }
            }
        }
    }
}

/// How many bytes of an answer stand before the offset that was asked for.
fn start_of(answer: &Answer, offset: u64) -> Result<u64, Trouble> {
    if answer.status().as_u16() != 206 {
        // A registry that does not know ranges begins at the beginning.
        return Ok(offset);
    }
    let range = answer.headers().get("content-range").and_then(|value| value.to_str().ok());
    let start = range
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split('-').next())
        .and_then(|text| text.parse::<u64>().ok());
    match start {
        Some(start) if start <= offset => Ok(offset - start),
        _ => Err(Trouble::Header("Content-Range")),
    }
}

fn skip(body: &mut impl Read, count: u64) -> Result<(), Trouble> {
    let skipped = io::copy(&mut body.take(count), &mut io::sink());
    match skipped.map_err(|error| http::from_io(&error))? {
        all if all == count => Ok(()),
        _ => Err(Trouble::Stalled),
    }
}
