//! Loading a system-call filter into this thread or process.
//!
//! Kernel objects: the filters of a thread (seccomp(2)). Invariant: the kernel copies the instructions before the call
//! returns; a listener that it makes is close-on-exec and owned.
//!
//! What a filter answers is as little a matter of memory safety as what a tracer does: both act from outside the
//! program. A filter that lets a call fail seemingly with success (an error number of 0) can break it all the same.
#![expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]

use std::ffi::{c_long, c_uint, c_ushort};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

const SET_MODE_FILTER: c_uint = 1;
const GET_ACTION_AVAIL: c_uint = 2;
const NEW_LISTENER: c_uint = 1 << 3;

/// `struct sock_fprog`.
#[repr(C)]
struct Filter {
    len: c_ushort,
    filter: *const u64,
}

/// Loads a filter of these instructions, each one a `struct sock_filter` in native byte order; `flags` are
/// `SECCOMP_FILTER_FLAG_…`. With `NEW_LISTENER` the answer is the listener.
///
/// Which threads it concerns is for the caller to tell the user: it stays for the rest of their lives.
///
/// # Errors
/// `EACCES` without `no_new_privs` and `CAP_SYS_ADMIN`; `EINVAL` for a program or flags that the kernel does not take;
/// `EBUSY` for a second listener; `ESRCH` with `TSYNC | TSYNC_ESRCH` when another thread has a filter of its own;
/// `ENOMEM` when a thread has too many filters.
pub fn load(instructions: &[u64], flags: u32) -> io::Result<Option<OwnedFd>> {
    let len = c_ushort::try_from(instructions.len());
    let len = len.map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let filter = Filter { len, filter: instructions.as_ptr() };
    // SAFETY: `filter` points to `len` instructions of eight bytes that outlive the call; the kernel only reads them.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const filter) };
    match answer {
        0 if flags & NEW_LISTENER == 0 => Ok(None),
        fd if fd >= 0 && flags & NEW_LISTENER != 0 => Ok(Some(owned(fd)?)),
        // Without TSYNC_ESRCH the kernel answers with the id of the thread that has a filter of its own.
        thread if thread > 0 => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the kernel knows an action (`SECCOMP_RET_…`).
///
/// # Errors
/// `ENOSYS` or `EINVAL` on a kernel without filters.
pub fn has_action(action: u32) -> io::Result<bool> {
    // SAFETY: the kernel reads one word, which is there.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) };
    match answer {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
            error => Err(error),
        },
    }
}

fn owned(fd: c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel's answer is a new descriptor (with O_CLOEXEC) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_filter_is_refused() {
        let refused = |instructions: &[u64]| load(instructions, 0).unwrap_err().raw_os_error();
        assert_eq!(refused(&[]), Some(libc::EINVAL));
        // A program without a return; without privilege the kernel says EACCES first.
        let errno = refused(&[0x20]);
        assert!(matches!(errno, Some(libc::EINVAL | libc::EACCES)), "{errno:?}");
        assert_eq!(refused(&vec![6; 70_000]), Some(libc::EINVAL));
    }

    #[test]
    fn the_kernel_says_which_actions_it_has() {
        assert!(has_action(0x7fff_0000).unwrap());
        assert!(!has_action(0x1234_0000).unwrap());
    }
}
