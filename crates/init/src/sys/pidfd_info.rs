//! `PIDFD_GET_INFO`: the exit status of a process that somebody else reaped (Linux 6.15).
#![expect(unsafe_code, reason = "the ioctl has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct pidfd_info`, first published version (64 bytes).
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xff, 11, 64 bytes)`.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;

/// The wait status of an ended process, as `wait4(2)` gives it.
///
/// # Errors
/// `ENOTTY` or `EINVAL` before Linux 6.15; `ENODATA` here when the process has not ended.
pub(crate) fn exit_status(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
    // SAFETY: the number encodes this structure's size, and the kernel writes no more than that.
    if unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if info.mask & PIDFD_INFO_EXIT == 0 {
        return Err(io::Error::from_raw_os_error(libc::ENODATA));
    }
    Ok(info.exit_code)
}
