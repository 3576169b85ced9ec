//! The threads of an unpacking: read and hash, decompress, hash again, and the caller's own, which
//! writes.
//!
//! Kernel objects: threads, which all end before the call does. Invariant: both digests cover every
//! byte of the stream, or there is an error; no thread waits for one that has ended.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::blocks::{Block, BlockReader, Sent, channel, read_block};
use super::decoder::Decoder;
use super::trouble::Trouble;
use crate::digest::{Algorithm, Digest, Digester};
use crate::error::{Error, Fact};
use crate::media_type::Compression;

/// The name and length of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// How a stream is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// `None`: what its first bytes say.
    pub(crate) compression: Option<Compression>,
    pub(crate) blob: Algorithm,
    pub(crate) diff: Algorithm,
}

/// Both contents of a layer, and what was made of it.
pub(crate) struct Done<T> {
    pub(crate) blob: Content,
    pub(crate) diff: Content,
    pub(crate) result: T,
}

/// Reads `stream` to its end, decompresses it for `consume`, and hashes both sides.
pub(crate) fn run<R: Read + Send, T>(
    stream: R,
    reading: Reading,
    consume: impl FnOnce(BlockReader) -> Result<T, Error>,
) -> Result<Done<T>, Error> {
    std::thread::scope(|scope| {
        let (compressed_out, compressed) = channel();
        let (plain_out, plain) = channel();
        let (hash_out, hash_in) = sync_channel(2);
        let read = spawn(scope, "layer-read", move || read(stream, &compressed_out, reading.blob))?;
        let decode = spawn(scope, "layer-decode", move || {
            decode(compressed, reading, &Outputs { plain: plain_out, hash: hash_out })
        })?;
        let hash = spawn(scope, "layer-hash", move || hash(&hash_in, reading.diff))?;
        let result = consume(plain);
        let (blob, diff) = (joined(read), joined(hash));
        let is_plain = joined(decode) == Path::Plain;
        let same = is_plain && reading.blob == reading.diff;
        Ok(Done { result: result?, blob, diff: if same { blob } else { diff } })
    })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    let spawned = Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    spawned.map_err(|error| Error::call("clone", crate::error::errno_of(&error)))
}

fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Reads to the end and hashes.
fn read(mut stream: impl Read, out: &SyncSender<Sent>, algorithm: Algorithm) -> Content {
    let mut digester = Digester::new(algorithm);
    loop {
        let sent = match read_block(&mut stream) {
            Ok(None) => break,
            Ok(Some(block)) => {
                digester.update(&block);
                out.send(Ok(Block::new(block)))
            }
            Err(error) => out.send(Err(stream_error(error))),
        };
        if sent.is_err() {
            break;
        }
    }
    let size = digester.len();
    Content { digest: digester.finish(), size }
}

/// An error of the stream, so marked that a decoder's own errors can be told from it.
fn stream_error(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(_) => error,
        None => Error::call("read", crate::error::errno_of(&error)).into(),
    }
}

/// What `decode` had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Plain,
    Decoded,
}

struct Outputs {
    plain: SyncSender<Sent>,
    hash: SyncSender<Block>,
}

impl Outputs {
    /// `false` where nobody listens any more.
    fn send(&self, block: Block) -> bool {
        self.hash.send(Block::clone(&block)).is_ok() && self.plain.send(Ok(block)).is_ok()
    }

    fn fail(&self, error: io::Error) {
        // Nobody listens any more: then nobody wants to know.
        drop(self.plain.send(Err(error)));
    }
}

fn decode(mut compressed: BlockReader, reading: Reading, out: &Outputs) -> Path {
    let compression = match (reading.compression, compressed.fill_buf()) {
        (_, Err(error)) => {
            out.fail(error);
            return Path::Decoded;
        }
        (Some(compression), _) => compression,
        (None, Ok(bytes)) => Compression::of_magic(bytes),
    };
    match Decoder::new(compression, compressed) {
        Err(_) => {
            let error = Fact::Compression { name: "zstd" };
            out.fail(Error::from(error).into());
            Path::Decoded
        }
        Ok(Ok(decoder)) => {
            decode_blocks(decoder, out);
            Path::Decoded
        }
        Ok(Err(stream)) => pass_blocks(stream, out, reading),
    }
}

fn decode_blocks(mut decoder: Decoder<BlockReader>, out: &Outputs) {
    loop {
        match read_block(&mut decoder) {
            Ok(Some(block)) => {
                if !out.send(Block::new(block)) {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => return out.fail(decoder_error(error)),
        }
    }
    match decoder.get_mut().fill_buf() {
        Ok(&[]) => {}
        Ok(_) => out.fail(Error::layer(None, 0, Trouble::AfterTheEnd).into()),
        Err(error) => out.fail(error),
    }
}

/// An error of the stream as it is, or what the decoder found wrong.
pub(crate) fn decoder_error(error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        return error;
    }
    let trouble = match error.kind() {
        io::ErrorKind::UnexpectedEof => Trouble::Truncated,
        _ => Trouble::Decoder(crate::error::clipped(&error.to_string())),
    };
    Error::layer(None, 0, trouble).into()
}

fn pass_blocks(mut stream: BlockReader, out: &Outputs, reading: Reading) -> Path {
    loop {
        match stream.next_block() {
            Ok(Some(block)) => {
                let hashed =
                    reading.blob == reading.diff || out.hash.send(Block::clone(&block)).is_ok();
                if !hashed || out.plain.send(Ok(block)).is_err() {
                    return Path::Plain;
                }
            }
            Ok(None) => return Path::Plain,
            Err(error) => {
                out.fail(error);
                return Path::Plain;
            }
        }
    }
}

fn hash(blocks: &Receiver<Block>, algorithm: Algorithm) -> Content {
    let mut digester = Digester::new(algorithm);
    for block in blocks {
        digester.update(&block);
    }
    let size = digester.len();
    Content { digest: digester.finish(), size }
}
