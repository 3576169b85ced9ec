//! The ioctls of namespace files (nsfs): what a namespace is, who owns it, what it belongs to.
//!
//! Kernel objects: descriptors of `/proc/PID/ns/*`. Manual: ioctl_ns(2), NS_GET_USERNS and
//! NS_GET_PARENT since Linux 4.9, NS_GET_NSTYPE and NS_GET_OWNER_UID since 4.11.
//!
//! Invariant: nothing is changed; each descriptor that the kernel returns is close-on-exec and owned.
#![expect(unsafe_code, reason = "rustix and nix have no safe call for the nsfs ioctls")]

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `_IO(0xb7, 0x1)`, the same number on every architecture that encodes `_IOC_NONE` as 0.
const NS_GET_USERNS: c_ulong = 0xb701;
const NS_GET_PARENT: c_ulong = 0xb702;
const NS_GET_NSTYPE: c_ulong = 0xb703;
const NS_GET_OWNER_UID: c_ulong = 0xb704;

/// Opens the user namespace that owns the namespace `ns`; for a user namespace, its parent.
///
/// # Errors
/// EPERM when that user namespace is outside the caller's own (also for the initial one's parent),
/// ENOTTY when `ns` is not a namespace file.
pub fn owning_user_namespace(ns: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(ns, NS_GET_USERNS)
}

/// Opens the parent of the PID or user namespace `ns`.
///
/// # Errors
/// EINVAL when `ns` is of a kind without parents, EPERM when the parent is outside the caller's
/// own namespace, ENOTTY when `ns` is not a namespace file.
pub fn parent(ns: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(ns, NS_GET_PARENT)
}

/// The kind of the namespace `ns`, as one `CLONE_NEW*` flag.
///
/// # Errors
/// ENOTTY when `ns` is not a namespace file.
pub fn kind(ns: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the request takes no argument and `ns` is an open descriptor for the whole call.
    let answer = unsafe { libc::ioctl(ns.as_raw_fd(), request(NS_GET_NSTYPE)) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// The user who made the user namespace `user_ns`, as seen from the caller's user namespace.
///
/// # Errors
/// EINVAL when `user_ns` is a namespace of another kind, ENOTTY when it is not a namespace file.
pub fn owner_uid(user_ns: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t to the address, which is valid for writes of that size;
    // `user_ns` is an open descriptor for the whole call.
    let answer =
        unsafe { libc::ioctl(user_ns.as_raw_fd(), request(NS_GET_OWNER_UID), &raw mut uid) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(uid) }
}

/// A request that answers with a new descriptor.
fn related(ns: BorrowedFd<'_>, number: c_ulong) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument and `ns` is an open descriptor for the whole call.
    let answer: c_int = unsafe { libc::ioctl(ns.as_raw_fd(), request(number)) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a non-negative answer is a new descriptor (the kernel sets O_CLOEXEC) that nobody
    // else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}

/// The type of a request number differs between C libraries (`unsigned long`, `int`).
fn request(number: c_ulong) -> libc::Ioctl {
    number as libc::Ioctl
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    fn own(name: &str) -> File {
        File::open(format!("/proc/self/ns/{name}")).unwrap()
    }

    #[test]
    fn tells_the_kind() {
        let table = [("mnt", libc::CLONE_NEWNS), ("net", libc::CLONE_NEWNET)];
        for (name, flag) in table {
            assert_eq!(kind(own(name).as_fd()).unwrap(), flag.unsigned_abs());
        }
        let not_a_namespace = File::open("/proc/self/status").unwrap();
        let refused = kind(not_a_namespace.as_fd()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ENOTTY));
    }

    #[test]
    fn finds_the_owner_of_a_namespace() {
        let owner = owning_user_namespace(own("uts").as_fd()).unwrap();
        assert_eq!(kind(owner.as_fd()).unwrap(), libc::CLONE_NEWUSER.unsigned_abs());
        owner_uid(owner.as_fd()).unwrap();
        let flags = rustix::io::fcntl_getfd(&owner).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let ours = own("user").metadata().unwrap().ino();
        assert_eq!(File::from(owner).metadata().unwrap().ino(), ours);
    }

    #[test]
    fn refuses_the_wrong_kind() {
        let parent_of_net = parent(own("net").as_fd()).unwrap_err();
        assert_eq!(parent_of_net.raw_os_error(), Some(libc::EINVAL));
        let owner_of_net = owner_uid(own("net").as_fd()).unwrap_err();
        assert_eq!(owner_of_net.raw_os_error(), Some(libc::EINVAL));
    }
}
