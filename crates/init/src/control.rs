//! The two sockets between the host and init, and the records on them.
//!
//! Kernel objects: `SOCK_SEQPACKET` pairs (unix(7)). Invariant: whatever arrives is hostile until it has been decoded: a
//! record has one length, a descriptor is owned the moment that it arrives, and nothing else is read.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags,
    SocketType, recvmsg, send, socketpair,
};

use crate::above_stdio;
use crate::error::Error;
use crate::wire::{RECORD_LEN, Record};

/// What came over a socket.
#[derive(Debug)]
pub enum Received {
    /// A record, perhaps with a descriptor.
    Record(Record, Option<OwnedFd>),
    /// Bytes that are no record.
    Junk,
    /// The other side closed.
    Closed,
    /// Nothing is there yet.
    Nothing,
}

/// A pair of connected sockets.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    let (host, init) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| Error::host("socketpair", errno))?;
    Ok((above_stdio(host)?, above_stdio(init)?))
}

/// Receives what is there, without waiting.
///
/// # Errors
/// What recvmsg(2) answered, but `EAGAIN`, `EINTR` and `ECONNRESET`.
pub fn receive(socket: &OwnedFd) -> Result<Received, Error> {
    // One byte more than a record, so that a longer message shows.
    let mut bytes = [0; RECORD_LEN + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
    let len = match got {
        Ok(message) => message.bytes,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Nothing),
        Err(Errno::CONNRESET) => return Ok(Received::Closed),
        Err(errno) => return Err(Error::host("recvmsg", errno)),
    };
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if len == 0 {
        return Ok(Received::Closed);
    }
    Ok(Record::decode(&bytes[..len]).map_or(Received::Junk, |record| Received::Record(record, fd)))
}

/// Sends a request; a reaper that has ended is not an error.
///
/// # Errors
/// What send(2) answered, but `EPIPE` and `ECONNRESET`.
pub fn request(socket: &OwnedFd, record: &Record) -> Result<(), Error> {
    match send(socket, &record.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(errno) => Err(Error::host("send", errno)),
    }
}
