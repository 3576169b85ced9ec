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

/// One message with all that came along.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// The record, if the bytes are one.
    pub(crate) record: Option<Record>,
    /// Its descriptors.
    pub(crate) fds: Vec<OwnedFd>,
}

/// What a socket has to say.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Message),
    Closed,
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
    Ok(match incoming(socket)? {
        Incoming::Closed => Received::Closed,
        Incoming::Nothing => Received::Nothing,
        Incoming::Message(message) => match message.record {
            Some(record) => Received::Record(record, message.fds.into_iter().next()),
            None => Received::Junk,
        },
    })
}

/// As [`receive`], with every descriptor.
pub(crate) fn incoming(socket: &OwnedFd) -> Result<Incoming, Error> {
    match message(socket) {
        // Said once when the other side closed without reading our last request; its own last record comes after.
        Err(Errno::CONNRESET) => message(socket),
        other => other,
    }
    .or_else(|errno| match errno {
        Errno::AGAIN | Errno::INTR => Ok(Incoming::Nothing),
        Errno::CONNRESET => Ok(Incoming::Closed),
        errno => Err(Error::host("recvmsg", errno)),
    })
}

/// One recvmsg(2).
fn message(socket: &OwnedFd) -> Result<Incoming, Errno> {
    // One byte more than a record, so that a longer message shows.
    let mut bytes = [0; RECORD_LEN + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let len = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?.bytes;
    let mut message = Message { record: Record::decode(&bytes[..len]), ..Message::default() };
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = ancillary {
            message.fds.extend(fds);
        }
    }
    Ok(if len == 0 { Incoming::Closed } else { Incoming::Message(message) })
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
