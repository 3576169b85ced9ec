//! Messages of the setup and the control socket.
//!
//! Kernel objects: none. Invariant: a message has exactly [`RECORD_LEN`] bytes.

use super::{RECORD_LEN, u32_at, u64_at};

/// What a control record says.
pub mod record {
    /// A step failed: `step`, `errno`, `aux`.
    pub const ERROR: u32 = 1;
    /// The first process exists; its pidfd comes along. `a` is its id.
    pub const FIRST: u32 = 2;
    /// The payload is about to be executed.
    pub const EXECING: u32 = 3;
    /// A stage ended: `aux` is the stage, `a` the monotonic time in nanoseconds.
    pub const MARK: u32 = 4;
    /// A descriptor comes along; `aux` says which.
    pub const FD: u32 = 5;
    /// The payload ended: `aux` is the cause, `errno` the wait status, then the resource usage.
    pub const STATUS: u32 = 6;
    /// The reaper runs without payload.
    pub const IDLE: u32 = 7;
    /// The launcher made the setup and the control socket; the host's ends come along.
    pub const SOCKETS: u32 = 8;
    /// The launcher goes on as this process; its pidfd comes along. `a` is its id.
    pub const RELAY: u32 = 9;
    /// The first process waits at a gate; the host lets it go on with the same record.
    pub const GATE: u32 = 10;
    /// Everything is done but the program's start, which waits for `GO`.
    pub const HELD: u32 = 11;
    /// Host to reaper: send signal `aux` to the payload.
    pub const SIGNAL: u32 = 16;
    /// Host to reaper: send signal `aux` to every process.
    pub const SIGNAL_ALL: u32 = 17;
    /// Host to reaper of an idle container: end.
    pub const STOP: u32 = 18;
    /// Host to reaper: send a descriptor; `aux` says which ([`open`](super::super::open)). The answer is `FD` or `ERROR`.
    pub const OPEN: u32 = 19;
    /// Host to reaper: kill the payload and all its descendants, then end.
    pub const END: u32 = 20;
    /// Whoever starts a held launch: go on, and report here what comes of it.
    pub const GO: u32 = 21;
    /// Host to a held launch: from now on wait for those who connect to the listening socket that comes along, and do
    /// not end with this socket.
    pub const KEEP: u32 = 22;
    /// Host to a held launch: the descriptor that comes along is the payload's of the number `aux`.
    pub const PUT: u32 = 23;
    /// Host to a held launch: the image that comes along is the launch, in place of the one it was started with.
    pub const LAUNCH: u32 = 24;
}

/// One message of the setup or the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says ([`record`]).
    pub kind: u32,
    /// The step concerned.
    pub step: u32,
    /// An errno or a wait status.
    pub errno: i32,
    /// Depends on the kind.
    pub aux: u32,
    /// Depends on the kind: first the most used word, then the resource usage.
    pub words: [u64; 14],
}

impl Record {
    /// A record without words.
    #[must_use]
    pub const fn new(kind: u32, step: u32, errno: i32, aux: u32) -> Self {
        Self { kind, step, errno, aux, words: [0; 14] }
    }

    /// The error number, or `EIO` where the other side sent what no kernel answers.
    #[must_use]
    pub const fn error_number(&self) -> i32 {
        const EIO: i32 = 5;
        if self.errno > 0 && self.errno < 4096 { self.errno } else { EIO }
    }

    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        out[0..4].copy_from_slice(&self.kind.to_le_bytes());
        out[4..8].copy_from_slice(&self.step.to_le_bytes());
        out[8..12].copy_from_slice(&self.errno.to_le_bytes());
        out[12..16].copy_from_slice(&self.aux.to_le_bytes());
        for (to, word) in out[16..].chunks_exact_mut(8).zip(self.words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Reads a record; anything but exactly [`RECORD_LEN`] bytes is refused.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != RECORD_LEN {
            return None;
        }
        let mut words = [0; 14];
        for (i, word) in words.iter_mut().enumerate() {
            *word = u64_at(bytes, 16 + 8 * i)?;
        }
        let errno = i32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
        Some(Self {
            kind: u32_at(bytes, 0)?,
            step: u32_at(bytes, 4)?,
            errno,
            aux: u32_at(bytes, 12)?,
            words,
        })
    }
}
