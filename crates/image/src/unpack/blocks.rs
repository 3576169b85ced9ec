//! Blocks of bytes on their way from one thread to the next.
//!
//! Kernel objects: none. Invariant: at most [`IN_FLIGHT`] blocks wait in a channel; whoever stops
//! reading stops whoever writes.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 256 << 10;

/// Blocks that wait in one channel.
const IN_FLIGHT: usize = 8;

/// A block; shared, because one thread hashes what another one writes.
pub(crate) type Block = Arc<Vec<u8>>;

/// What is sent: a block, or the error that ends the stream.
pub(crate) type Sent = io::Result<Block>;

/// A bounded channel of blocks.
pub(crate) fn channel() -> (SyncSender<Sent>, BlockReader) {
    let (sender, receiver) = sync_channel(IN_FLIGHT);
    (sender, BlockReader { receiver, current: Block::default(), at: 0 })
}

/// Reads what comes through a channel; its end is the end of the stream.
pub(crate) struct BlockReader {
    receiver: Receiver<Sent>,
    current: Block,
    at: usize,
}

impl BlockReader {
    /// What is left of the current block, or the next one, or `None` at the end.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<Block>> {
        if self.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let block = std::mem::take(&mut self.current);
        match std::mem::take(&mut self.at) {
            0 => Ok(Some(block)),
            at => Ok(Some(Arc::new(block.get(at..).unwrap_or_default().to_vec()))),
        }
    }
}

impl BufRead for BlockReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.current.len() {
            self.at = 0;
            match self.receiver.recv() {
                Ok(block) => self.current = block?,
                Err(_) => {
                    self.current = Block::default();
                    break;
                }
            }
        }
        Ok(self.current.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.current.len().min(self.at + amount);
    }
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

/// Fills a new block from `stream`; `None` at its end.
pub(crate) fn read_block(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut block = vec![0; BLOCK];
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok((filled > 0).then_some(block))
}
