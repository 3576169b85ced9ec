//! A netlink socket: several messages in one send, one answer for each.
//!
//! Kernel objects: one socket, of the network namespace in which it was made, wherever the process is that uses it.
//! Manual: netlink(7). Invariant: when a call returns, every answer to it has been read.

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use crate::error::{Error, Result};

/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;

/// More than the kernel puts into one part of a dump.
const BUFFER: usize = 64 << 10;

/// The kernel answers in the same call; past this an answer was lost.
const LIMIT: Duration = Duration::from_secs(10);

/// One message to send, with what it does and to what, for its error.
#[derive(Debug)]
pub(crate) struct Request<T> {
    pub(crate) message: NetlinkMessage<T>,
    pub(crate) operation: &'static str,
    pub(crate) object: String,
    /// An error that counts as success.
    pub(crate) tolerated: Option<Errno>,
}

impl<T: NetlinkSerializable> Request<T> {
    /// A message with its flags; an answer is asked for.
    pub(crate) fn new(operation: &'static str, object: impl ToString, body: T, flags: u16) -> Self {
        let mut message =
            NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(body));
        message.header.flags = flags | NLM_F_REQUEST | NLM_F_ACK;
        Self { message, operation, object: object.to_string(), tolerated: None }
    }

    /// Counts an error as success.
    pub(crate) fn tolerate(mut self, errno: Errno) -> Self {
        self.tolerated = Some(errno);
        self
    }

    /// Asks for no answer, as the marks around a batch.
    pub(crate) fn unanswered(mut self) -> Self {
        self.message.header.flags &= !NLM_F_ACK;
        self
    }

    fn is_answered(&self) -> bool {
        self.message.header.flags & NLM_F_ACK != 0
    }

    fn error(&self, errno: Errno) -> Error {
        Error::system(self.operation, &self.object, errno)
    }
}

/// A message of the kernel: its type and what follows its header.
pub(crate) type Answer = (u16, Vec<u8>);

/// The socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Links, addresses, routes (rtnetlink(7)) of the caller's network namespace.
    pub(crate) fn route() -> Result<Self> {
        // Protocol 0.
        Self::open(None)
    }

    /// Packet filters of the caller's network namespace.
    pub(crate) fn netfilter() -> Result<Self> {
        Self::open(Some(NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol);
        Self::of(fd.map_err(|errno| Error::system("socket", "AF_NETLINK", errno))?)
    }

    /// One that was made elsewhere.
    pub(crate) fn of(fd: OwnedFd) -> Result<Self> {
        set_socket_timeout(&fd, Timeout::Recv, Some(LIMIT))
            .map_err(|errno| Error::system("setsockopt", "SO_RCVTIMEO", errno))?;
        Ok(Self { fd, sequence: 1 })
    }

    /// Sends all in one message and reads the answers. The kernel does not stop at one that fails.
    ///
    /// # Errors
    /// The first that failed.
    pub(crate) fn send<T: NetlinkSerializable + Debug>(
        &mut self,
        mut requests: Vec<Request<T>>,
    ) -> Result<()> {
        let first = self.sequence;
        let mut bytes = Vec::new();
        for request in &mut requests {
            self.encode(&mut request.message, &mut bytes);
        }
        let whole = requests.first().map_or("send", |request| request.operation);
        send(&self.fd, &bytes, SendFlags::empty())
            .map_err(|errno| Error::system(whole, "", errno))?;
        self.acknowledged(&requests, first)
    }

    /// Asks for a list; gives the answers of the kernel.
    pub(crate) fn dump<T: NetlinkSerializable + Debug>(
        &mut self,
        mut request: Request<T>,
    ) -> Result<Vec<Answer>> {
        request.message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        self.encode(&mut request.message, &mut bytes);
        send(&self.fd, &bytes, SendFlags::empty()).map_err(|errno| request.error(errno))?;
        let mut answers = Vec::new();
        loop {
            for (kind, of, payload) in self.receive().map_err(|errno| request.error(errno))? {
                match kind {
                    _ if of != sequence => {}
                    ERROR | DONE => match code(&payload) {
                        Some(errno) => return Err(request.error(errno)),
                        None => return Ok(answers),
                    },
                    _ => answers.push((kind, payload)),
                }
            }
        }
    }

    /// Asks for one object; nothing if it is not there.
    pub(crate) fn ask<T: NetlinkSerializable + Debug>(
        &mut self,
        mut request: Request<T>,
        missing: Errno,
    ) -> Result<Option<Vec<u8>>> {
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        self.encode(&mut request.message, &mut bytes);
        send(&self.fd, &bytes, SendFlags::empty()).map_err(|errno| request.error(errno))?;
        let mut found = None;
        loop {
            for (kind, of, payload) in self.receive().map_err(|errno| request.error(errno))? {
                match kind {
                    _ if of != sequence => {}
                    ERROR => match code(&payload) {
                        None => return Ok(found),
                        Some(errno) if errno == missing => return Ok(None),
                        Some(errno) => return Err(request.error(errno)),
                    },
                    _ => found = Some(payload),
                }
            }
        }
    }

    fn encode<T: NetlinkSerializable + Debug>(
        &mut self,
        message: &mut NetlinkMessage<T>,
        bytes: &mut Vec<u8>,
    ) {
        message.header.sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        message.finalize();
        let start = bytes.len();
        // Each begins at a multiple of four.
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        if let Some(place) = bytes.get_mut(start..) {
            message.serialize(place);
        }
    }

    /// Reads until every request is answered, or one of a batch without an own answer failed.
    fn acknowledged<T: NetlinkSerializable>(
        &mut self,
        requests: &[Request<T>],
        first: u32,
    ) -> Result<()> {
        let mut open = requests.iter().filter(|request| request.is_answered()).count();
        let mut failed = None;
        while open > 0 {
            let answers =
                self.receive().map_err(|errno| Error::system("recv", "netlink", errno))?;
            for (kind, of, payload) in answers {
                let index = usize::try_from(of.wrapping_sub(first)).unwrap_or(usize::MAX);
                let Some(request) = requests.get(index).filter(|_| kind == ERROR) else { continue };
                let errno = code(&payload).filter(|errno| request.tolerated != Some(*errno));
                if let Some(errno) = errno {
                    failed.get_or_insert_with(|| request.error(errno));
                }
                match request.is_answered() {
                    true => open -= 1,
                    // A batch that is refused as a whole: nothing follows.
                    false => open = 0,
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// One datagram, taken apart: type, sequence number, payload.
    fn receive(&self) -> Result<Vec<(u16, u32, Vec<u8>)>, Errno> {
        let mut buffer = vec![0_u8; BUFFER];
        let (read, _) = loop {
            match recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        Ok(split(buffer.get(..read).unwrap_or_default()))
    }
}

/// The errno of an answer; none is success.
fn code(payload: &[u8]) -> Option<Errno> {
    let bytes = payload.first_chunk().copied().unwrap_or_default();
    let code = i32::from_ne_bytes(bytes);
    (code != 0).then(|| Errno::from_raw_os_error(code.saturating_neg()))
}

/// The messages of a datagram; what is cut off at its end is left out.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<(u16, u32, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some(header) = bytes.get(..HEADER) {
        let number = |at: usize| {
            let field = header.get(at..).and_then(|rest| rest.first_chunk());
            u32::from_ne_bytes(field.copied().unwrap_or_default())
        };
        let length = usize::try_from(number(0)).unwrap_or(usize::MAX);
        let kind = u16::try_from(number(4) & 0xffff).unwrap_or_default();
        let Some(payload) = bytes.get(HEADER..length) else { break };
        messages.push((kind, number(8), payload.to_vec()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_datagram_is_taken_apart() {
        let mut bytes = vec![0_u8; 40];
        bytes[0] = 17;
        bytes[4] = 2;
        bytes[8] = 9;
        bytes[20] = 16;
        assert_eq!(split(&bytes), [(2, 9, vec![0]), (0, 0, Vec::new())]);
        assert_eq!(split(&bytes[..16]), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart(bytes: Vec<u8>) {
            prop_assert!(split(&bytes).len() <= bytes.len() / HEADER);
        }
    }
}
