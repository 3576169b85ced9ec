//! A process by its pidfd: wait with a deadline, signal, reap.
//!
//! Kernel objects: one pidfd (pidfd_open(2), Linux 5.3; waiting by it since 5.4). Invariant: a process id is never
//! used to act on a process, so that a reused id is never hit.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};

/// A wait status as `wait4(2)` encodes it.
pub type WaitStatus = i32;

/// `__WALL`: also children that send no SIGCHLD.
const ALL_CHILDREN: u32 = 0x4000_0000;

/// Waits until a descriptor is readable or closed by its peer; false when the deadline passed.
///
/// # Errors
/// What poll(2) answered, but `EINTR`.
pub fn wait_readable(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<bool> {
    wait_any([(fd.as_fd(), Until::Readable)], deadline)
}

/// What ends a wait for a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// It can be read, or its peer has closed it.
    Readable,
    /// Its peer has closed it, whatever can be read.
    Closed,
}

/// Waits for one of the descriptors; false when the deadline passed.
pub(crate) fn wait_any<const N: usize>(
    fds: [(BorrowedFd<'_>, Until); N],
    deadline: Option<Instant>,
) -> io::Result<bool> {
    let polled = |(fd, until)| match until {
        Until::Readable => PollFd::from_borrowed_fd(fd, PollFlags::IN),
        Until::Closed => PollFd::from_borrowed_fd(fd, PollFlags::empty()),
    };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(&mut fds.map(polled), left.map(timespec).as_ref()) {
            Ok(ready) => return Ok(ready != 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A duration as the kernel takes it.
fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Sends a signal; a process that has ended already is not an error.
///
/// # Errors
/// `EPERM`, `EINVAL` as pidfd_send_signal(2).
pub fn signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Reaps an ended or ending child of this process and gives its status; blocks until it has ended.
///
/// Where somebody else reaped it (a foreign `waitpid(-1)`, an ignored `SIGCHLD`), the kernel is asked for
/// the status (Linux 6.15); `None` if it does not know.
///
/// # Errors
/// What waitid(2) answered, but `EINTR` and `ECHILD`.
pub fn reap(pidfd: &OwnedFd) -> io::Result<Option<WaitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(ALL_CHILDREN);
    loop {
        return match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Ok(status) => Ok(status.map(|status| encode(&status))),
            Err(Errno::INTR) => continue,
            Err(Errno::CHILD) => {
                wait_readable(pidfd, None)?;
                Ok(status_after_reaping(pidfd))
            }
            Err(errno) => Err(errno.into()),
        };
    }
}

/// The status of a process that somebody else reaped; a pidfd is readable a moment before the kernel has noted it.
fn status_after_reaping(pidfd: &OwnedFd) -> Option<WaitStatus> {
    for _ in 0..100 {
        match crate::sys::pidfd_info::exit_status(pidfd.as_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other.ok(),
        }
    }
    None
}

/// The status as `wait4(2)` would give it.
fn encode(status: &WaitIdStatus) -> WaitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal | if status.dumped() { 0x80 } else { 0 },
        (None, None) => 0,
    }
}

/// Kills a process and waits for its end, at most until the deadline; false if it has not ended by then.
///
/// # Errors
/// As [`signal`] and [`reap`].
pub fn end(pidfd: &OwnedFd, deadline: Instant) -> io::Result<bool> {
    signal(pidfd, Signal::KILL)?;
    if !wait_readable(pidfd, Some(deadline))? {
        return Ok(false);
    }
    reap(pidfd).map(|_| true)
}

/// Moves a descriptor above the standard streams: a host that closed one of them must not find ours there.
///
/// # Errors
/// What fcntl(2) answered (`EMFILE`).
pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?)
}
