//! The listener of a filter that notifies: calls that wait until somebody outside decides.
//!
//! Kernel objects: the listener's descriptor (seccomp_unotify(2)), `/proc/TID/mem`. Invariant: memory is read only while
//! the call is known to wait, so that it is the caller's and not that of a later thread with the same number.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use ampoule_init::sys::seccomp_notify::{self as sys, CONTINUE, Response, SEND, SET_FD};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::action::Action;
use crate::arch::Arch;
use crate::bpf::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::syscall;

const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const EINPROGRESS: i32 = 115;
const O_CLOEXEC: u32 = 0o2_000_000;
/// No page is smaller, so that a read up to a multiple of it is whole or nothing.
const PAGE: u64 = 4096;

/// The listener of a filter that notifies.
///
/// For an event loop it is a descriptor: readable when a call waits, hung up when nobody has the filter any more; what is
/// there then is taken by [`receive`](Self::receive) with a zero time, which does not wait. tokio's `AsyncFd` holds one.
/// While it is open, each notified call waits for its answer; when it is closed, they fail with `ENOSYS`.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// What the kernel names it by.
    pub id: u64,
    /// The calling thread as the listener's pid namespace numbers it; 0 when it is not in there.
    pub thread: u32,
    /// The call. Pointers among its arguments are the caller's: see [`Listener::read_memory`].
    pub call: Data,
}

/// What [`Listener::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A call waits.
    Request(Request),
    /// None came in time.
    TimedOut,
    /// Nobody has the filter any more, so that none will ever come.
    NobodyLeft,
}

/// The number under which the caller gets a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Number {
    /// The lowest one that is free.
    Free,
    /// This one; what has it is closed.
    Exactly(u32),
}

/// Whether the caller's descriptor outlives an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnExec {
    /// It is closed.
    Close,
    /// It stays open.
    Keep,
}

impl Request {
    /// The call's name, if it is known.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        syscall::name(Arch::of(self.call.arch, self.call.number)?, self.call.number)
    }
}

impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.0
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// For event loops that want a number, such as tokio's `AsyncFd`.
impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Listener {
    /// Waits for a call, for ever or for this long. With a zero time it only looks, for event loops.
    ///
    /// # Errors
    /// [`System`](ErrorKind::System) when the descriptor is no listener.
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Received> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            // The kernel waits for a call even when nobody is left, so that this looks first.
            let ready = self.wait(end)?;
            if ready.contains(PollFlags::IN) {
                match sys::receive(self.as_fd()) {
                    Ok(notification) => return Ok(Received::Request(request(&notification))),
                    // The caller was killed between both calls.
                    Err(error) if matches!(error.raw_os_error(), Some(ENOENT | EINTR)) => {}
                    Err(error) => return Err(failed("SECCOMP_IOCTL_NOTIF_RECV", &error)),
                }
            } else if ready.is_empty() {
                return Ok(Received::TimedOut);
            } else {
                return Ok(Received::NobodyLeft);
            }
        }
    }

    fn wait(&self, end: Option<Instant>) -> Result<PollFlags> {
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(self, PollFlags::IN)];
            match poll(&mut fds, left.as_ref()) {
                Ok(_) => return Ok(fds[0].revents()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("poll", &errno.into())),
            }
        }
    }

    /// Checks that a call still waits: its thread may have been killed, and its number given to another one.
    ///
    /// # Errors
    /// [`CallerGone`](ErrorKind::CallerGone) when it does not.
    pub fn check(&self, request: &Request) -> Result<()> {
        sys::check(self.as_fd(), request.id)
            .map_err(|error| failed("SECCOMP_IOCTL_NOTIF_ID_VALID", &error))
    }

    /// Reads all of `buffer` from the caller's memory. What is read can be changed by other threads of the caller at any
    /// time: decide on the copy, and make the call on the copy.
    ///
    /// # Errors
    /// [`CallerGone`](ErrorKind::CallerGone) when the call does not wait any more; [`Denied`](ErrorKind::Denied) when
    /// the caller may not be traced by this process; [`System`](ErrorKind::System) for an address that is not mapped.
    pub fn read_memory(&self, request: &Request, address: u64, buffer: &mut [u8]) -> Result<()> {
        let memory = self.memory(request)?;
        let read = memory.read_exact_at(buffer, address);
        // What was read is only worth something if the caller was there all the time.
        self.check(request)?;
        read.map_err(|error| Error::system("read the caller's memory", &error))
    }

    /// Reads a text up to its NUL from the caller's memory, such as a path, of up to `max` bytes; see
    /// [`read_memory`](Self::read_memory).
    ///
    /// # Errors
    /// As above; [`System`](ErrorKind::System) with `ENAMETOOLONG` for a longer one.
    pub fn read_text(&self, request: &Request, address: u64, max: usize) -> Result<CString> {
        let memory = self.memory(request)?;
        let mut bytes = Vec::new();
        let read = read_to_nul(&memory, address, max, &mut bytes);
        self.check(request)?;
        read.map_err(|error| Error::system("read the caller's memory", &error))?;
        let too_long = || Error::system("read a text", &Errno::NAMETOOLONG.into());
        CString::from_vec_with_nul(bytes).map_err(|_| too_long())
    }

    fn memory(&self, request: &Request) -> Result<File> {
        let memory = File::open(format!("/proc/{}/mem", request.thread));
        // First of all: the file may be that of a later thread.
        self.check(request)?;
        memory.map_err(|error| Error::system("open the caller's memory", &error))
    }

    /// Lets the kernel make the call (Linux 5.5).
    ///
    /// This decides nothing about what pointers point to, as that can be changed until the kernel reads it: only what a
    /// filter allows anyway, or what numbers among the arguments decide, may be let through.
    ///
    /// # Errors
    /// [`CallerGone`](ErrorKind::CallerGone) when it does not wait any more.
    pub fn proceed(&self, request: &Request) -> Result<()> {
        self.respond(Response { id: request.id, flags: CONTINUE, ..Response::default() })
    }

    /// Ends the call with this result.
    ///
    /// # Errors
    /// As above.
    pub fn answer(&self, request: &Request, value: i64) -> Result<()> {
        self.respond(Response { id: request.id, value, ..Response::default() })
    }

    /// Lets the call fail with this error number; 0 and numbers above 4095 count as `EINVAL`.
    ///
    /// # Errors
    /// As above.
    pub fn refuse(&self, request: &Request, errno: u16) -> Result<()> {
        let errno = if (1..=Action::ERRNO_MAX).contains(&errno) { errno } else { 22 };
        self.respond(Response { id: request.id, error: -i32::from(errno), ..Response::default() })
    }

    fn respond(&self, response: Response) -> Result<()> {
        sys::respond(self.as_fd(), response)
            .map_err(|error| failed("SECCOMP_IOCTL_NOTIF_SEND", &error))
    }

    /// Gives the caller a copy of a descriptor while its call goes on waiting; the answer is its number there (Linux 5.9).
    ///
    /// # Errors
    /// As above; [`System`](ErrorKind::System) with `EMFILE` when the caller has no number left.
    pub fn add_fd(
        &self,
        request: &Request,
        fd: BorrowedFd<'_>,
        number: Number,
        on_exec: OnExec,
    ) -> Result<i32> {
        self.add(request, fd, (number, on_exec), 0)
    }

    /// Gives the caller a copy of a descriptor, and ends its call with the number of it, both or neither (Linux 5.14).
    ///
    /// # Errors
    /// As above.
    pub fn answer_with_fd(
        &self,
        request: &Request,
        fd: BorrowedFd<'_>,
        on_exec: OnExec,
    ) -> Result<i32> {
        self.add(request, fd, (Number::Free, on_exec), SEND)
    }

    fn add(
        &self,
        request: &Request,
        fd: BorrowedFd<'_>,
        place: (Number, OnExec),
        flags: u32,
    ) -> Result<i32> {
        let (flags, target) = match place.0 {
            Number::Free => (flags, 0),
            Number::Exactly(number) => (flags | SET_FD, number),
        };
        let on_exec = if place.1 == OnExec::Close { O_CLOEXEC } else { 0 };
        sys::add_fd(self.as_fd(), request.id, fd, (flags, target, on_exec))
            .map_err(|error| failed("SECCOMP_IOCTL_NOTIF_ADDFD", &error))
    }
}

fn failed(operation: &'static str, error: &std::io::Error) -> Error {
    // An answered call that its thread has not seen yet is in progress.
    let error = Error::system(operation, error).meaning(ENOENT, ErrorKind::CallerGone);
    error.meaning(EINPROGRESS, ErrorKind::CallerGone)
}

fn request(from: &sys::Notification) -> Request {
    let call = Data {
        number: from.number.cast_unsigned(),
        arch: from.arch,
        instruction_pointer: from.instruction_pointer,
        args: from.args,
    };
    Request { id: from.id, thread: from.pid, call }
}

/// Reads up to and with a NUL, or `max` bytes, page by page, as the next page may not be there.
fn read_to_nul(
    memory: &File,
    address: u64,
    max: usize,
    bytes: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut at = address;
    while bytes.len() < max {
        let in_page = usize::try_from(PAGE - at % PAGE).unwrap_or(max);
        let mut chunk = vec![0; in_page.min(max - bytes.len())];
        memory.read_exact_at(&mut chunk, at)?;
        if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
            bytes.extend(chunk.iter().take(end + 1));
            return Ok(());
        }
        at = at.checked_add(chunk.len() as u64).ok_or(Errno::FAULT)?;
        bytes.append(&mut chunk);
    }
    Ok(())
}
