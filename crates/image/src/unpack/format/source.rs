//! The bytes of a layer: blocks, contents, and what has been read so far.
//!
//! Kernel objects: none. Invariant: the number of bytes read never passes the quota.

use std::io::BufRead;

use super::header::BLOCK;
use crate::unpack::quotas::Quota;
use crate::unpack::trouble::Trouble;

/// A stream that counts.
pub(crate) struct Source<R> {
    stream: R,
    position: u64,
    limit: u64,
}

impl<R: BufRead> Source<R> {
    pub(crate) fn new(stream: R, limit: u64) -> Self {
        Self { stream, position: 0, limit }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Hands out the next bytes, at most `len`, and counts those that `take` says it took. `false`
    /// at the end of the stream.
    fn step(
        &mut self,
        len: u64,
        take: impl FnOnce(&[u8]) -> Result<(), Trouble>,
    ) -> Result<u64, Trouble> {
        let available = loop {
            match self.stream.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::stream(&error)),
                Ok(available) => break available,
            }
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(available.len());
        if self.limit.saturating_sub(self.position) < len as u64 {
            return Err(Trouble::Quota(Quota::Bytes, self.limit));
        }
        take(available.get(..len).unwrap_or(available))?;
        self.stream.consume(len);
        self.position = self.position.saturating_add(len as u64);
        Ok(len as u64)
    }

    /// The next `len` bytes, in pieces as they come.
    pub(crate) fn read(
        &mut self,
        mut len: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        while len > 0 {
            match self.step(len, &mut take)? {
                0 => return Err(Trouble::Truncated),
                step => len -= step,
            }
        }
        Ok(())
    }

    /// Passes `len` bytes over.
    pub(crate) fn skip(&mut self, len: u64) -> Result<(), Trouble> {
        self.read(len, |_| Ok(()))
    }

    /// The next block, or `None` at the end of the stream.
    pub(crate) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Trouble> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let rest = block.get_mut(filled..).unwrap_or_default();
            let wanted = rest.len() as u64;
            let step = self.step(wanted, |bytes| {
                rest.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                Ok(())
            })?;
            match (step, filled) {
                (0, 0) => return Ok(None),
                (0, _) => return Err(Trouble::Truncated),
                (step, _) => filled += usize::try_from(step).unwrap_or(BLOCK),
            }
        }
        Ok(Some(block))
    }

    /// `len` bytes in memory.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        self.read(len as u64, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads to the end of the stream, where nothing but zeros may stand.
    pub(crate) fn zeros_to_end(&mut self) -> Result<(), Trouble> {
        loop {
            let step = self.step(u64::MAX, |bytes| {
                let zeros = bytes.iter().all(|byte| *byte == 0);
                if zeros { Ok(()) } else { Err(Trouble::AfterTheEnd) }
            })?;
            if step == 0 {
                return Ok(());
            }
        }
    }
}

/// Bytes from the end of a content of `size` bytes to the next block.
pub(crate) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}
