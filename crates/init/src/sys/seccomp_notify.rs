//! The listener of a system-call filter: receiving calls and answering them.
//!
//! Kernel objects: the descriptor that `SECCOMP_FILTER_FLAG_NEW_LISTENER` makes. Manual: seccomp_unotify(2), Linux 5.0.
//! Invariant: what the kernel writes is as long as it said; no pointer of the caller is followed here.
#![expect(unsafe_code, reason = "the ioctls of seccomp_unotify(2) have no safe wrapper")]

use std::ffi::{c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const GET_NOTIF_SIZES: c_uint = 3;

const NOTIF_RECV: u64 = 0xc050_2100;
const NOTIF_SEND: u64 = 0xc018_2101;
const NOTIF_ID_VALID: u64 = 0x4008_2102;
const NOTIF_ADDFD: u64 = 0x4018_2103;

/// The kernel makes the call itself (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`, Linux 5.5).
pub const CONTINUE: u32 = 1;
/// The descriptor gets the number that is asked for (`SECCOMP_ADDFD_FLAG_SETFD`, Linux 5.9).
pub const SET_FD: u32 = 1;
/// The call is answered with the descriptor's number at once (`SECCOMP_ADDFD_FLAG_SEND`, Linux 5.14).
pub const SEND: u32 = 2;

/// A call that waits (`struct seccomp_notif`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// What the call is named by in answers.
    pub id: u64,
    /// The calling thread in the listener's pid namespace; 0 when it is not there.
    pub pid: u32,
    /// None so far.
    pub flags: u32,
    /// The call's number.
    pub number: i32,
    /// The entry (`AUDIT_ARCH_…`).
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// The call's arguments.
    pub args: [u64; 6],
}

/// What the call gives (`struct seccomp_notif_resp`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Which call.
    pub id: u64,
    /// Its result.
    pub value: i64,
    /// A negative error number, or 0.
    pub error: i32,
    /// [`CONTINUE`], with neither of the others.
    pub flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// Waits for a call.
///
/// # Errors
/// `ENOENT` when the caller has gone meanwhile, `EINTR`; `EINVAL` when the kernel's structure has another length.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    check_sizes()?;
    let mut notification = Notification::default();
    // SAFETY: the kernel writes a structure of the length that was checked; it has to be zero before.
    unsafe { ioctl(listener, NOTIF_RECV, (&raw mut notification).cast()) }?;
    Ok(notification)
}

/// Whether a call still waits.
///
/// # Errors
/// `ENOENT` when it does not.
pub fn check(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let mut id = id;
    // SAFETY: the kernel reads one word, which is there.
    unsafe { ioctl(listener, NOTIF_ID_VALID, (&raw mut id).cast()) }.map(drop)
}

/// Answers a call.
///
/// # Errors
/// `ENOENT` when it does not wait any more, `EINPROGRESS` when it was answered.
pub fn respond(listener: BorrowedFd<'_>, response: Response) -> io::Result<()> {
    let mut response = response;
    // SAFETY: the kernel reads a structure of 24 bytes, which is there.
    unsafe { ioctl(listener, NOTIF_SEND, (&raw mut response).cast()) }.map(drop)
}

/// Gives the caller a copy of a descriptor; `flags` are [`SET_FD`] (with `target`) and [`SEND`], `target_flags` is
/// `O_CLOEXEC` or 0. The answer is its number there.
///
/// # Errors
/// `ENOENT` when the call does not wait any more, `EINPROGRESS` when it was answered, `EBUSY` when it ended without
/// taking the descriptor, `EMFILE` when the caller has no number left.
pub fn add_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    source: BorrowedFd<'_>,
    (flags, target, target_flags): (u32, u32, u32),
) -> io::Result<i32> {
    let source = source.as_raw_fd().unsigned_abs();
    let mut add = AddFd { id, flags, source, target, target_flags };
    // SAFETY: the kernel reads a structure of 24 bytes, which is there.
    unsafe { ioctl(listener, NOTIF_ADDFD, (&raw mut add).cast()) }
}

/// The kernel may have longer structures than these one day; it would write all of its own.
fn check_sizes() -> io::Result<()> {
    let mut sizes = [0_u16; 3];
    // SAFETY: the kernel writes three words of 16 bits, which are there.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_NOTIF_SIZES, 0, sizes.as_mut_ptr()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let ours = [size_of::<Notification>(), size_of::<Response>()];
    let fits = sizes.iter().zip(ours).all(|(theirs, ours)| usize::from(*theirs) == ours);
    if fits { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
}

/// # Safety
/// `argument` points to what the request reads or writes.
unsafe fn ioctl(fd: BorrowedFd<'_>, request: u64, argument: *mut u8) -> io::Result<c_int> {
    // SAFETY: the caller's promise; the descriptor is open as long as it is borrowed.
    let answer = unsafe { libc::syscall(libc::SYS_ioctl, fd.as_raw_fd(), request, argument) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(c_int::try_from(answer).unwrap_or(c_int::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn layouts_are_the_kernels() {
        check_sizes().unwrap();
        assert_eq!(size_of::<AddFd>(), 24);
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        let file = File::open("/dev/null").unwrap();
        let file = file.as_fd();
        let refused = |answer: io::Result<()>| answer.unwrap_err().raw_os_error();
        assert_eq!(refused(receive(file).map(drop)), Some(libc::ENOTTY));
        assert_eq!(refused(check(file, 1)), Some(libc::ENOTTY));
        assert_eq!(refused(respond(file, Response::default())), Some(libc::ENOTTY));
        assert_eq!(refused(add_fd(file, 1, file, (0, 0, 0)).map(drop)), Some(libc::ENOTTY));
    }
}
