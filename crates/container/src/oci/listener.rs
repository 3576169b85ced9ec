//! Who decides about the system calls of a container: the agent behind `linux.seccomp.listenerPath`.
//!
//! Kernel objects: a connection to a Unix socket (unix(7)). Invariant: the agent gets one message, with the listener and
//! the state that the specification asks for.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use ampoule_spec::Version;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Stage};

/// Where the listener of a filter is to be sent, and what with it.
///
/// The listener is [`Container::listener`](crate::Container::listener), or that of a process that joined
/// ([`Kept::send_listener`](crate::Kept::send_listener)). Calls that the filter asks about wait until the
/// agent answers, so it is sent right after the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SeccompListener {
    /// A Unix socket that an agent listens at.
    pub path: PathBuf,
    /// A text for the agent, which means nothing here.
    pub metadata: Option<String>,
}

impl SeccompListener {
    /// Sends it with the number of the payload's process, and the state of the container: the object that the
    /// specification calls so, as other runtimes print it.
    ///
    /// # Errors
    /// [`System`](crate::ErrorKind::System) or [`PermissionDenied`](crate::ErrorKind::PermissionDenied) when nobody listens
    /// there, or the connection ends.
    pub fn send(&self, listener: impl AsFd, pid: u32, state: &Value) -> Result<(), Error> {
        let mut message = json!({
            "ociVersion": Version::NEWEST.to_string(),
            "fds": ["seccompFd"],
            "pid": pid,
            "state": state,
        });
        if let (Some(metadata), Value::Object(message)) = (&self.metadata, &mut message) {
            message.insert("metadata".to_owned(), json!(metadata));
        }
        let agent = UnixStream::connect(&self.path)
            .map_err(|error| Error::io(Stage::Running, "connect to listenerPath", &error))?;
        send(&agent, message.to_string().as_bytes(), listener.as_fd())
            .map_err(|errno| Error::call(Stage::Running, "send to listenerPath", errno))
    }
}

/// The bytes, the descriptor with the first of them.
pub(super) fn send(agent: &UnixStream, mut bytes: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let fds = [fd];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let _fits = control.push(SendAncillaryMessage::ScmRights(&fds));
    while !bytes.is_empty() {
        let part = [IoSlice::new(bytes)];
        let sent = sendmsg(agent, &part, &mut control, SendFlags::NOSIGNAL)?;
        bytes = bytes.get(sent..).unwrap_or_default();
        control.clear();
    }
    Ok(())
}
