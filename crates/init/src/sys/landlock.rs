//! Which version of Landlock's interface the kernel has.
#![expect(unsafe_code, reason = "no safe wrapper asks for the version alone")]

use std::io;

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const VERSION: libc::c_uint = 1;

/// The version, 1 or more (landlock_create_ruleset(2)).
///
/// # Errors
/// `ENOSYS` where the kernel has no Landlock, `EOPNOTSUPP` where it was not enabled at boot; another where a filter
/// forbids to ask.
pub fn abi() -> io::Result<u32> {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no structure; its address must be null and its length 0.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}
