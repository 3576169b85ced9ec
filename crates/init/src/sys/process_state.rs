//! Facts about this process that decide whether a launch may start at all.
#![expect(unsafe_code, reason = "getauxval and sigaction queries have no safe wrapper")]

/// Whether the kernel started this process in secure mode (set-user-id, file capabilities; getauxval(3)).
#[must_use]
pub fn is_secure() -> bool {
    // SAFETY: getauxval only reads the auxiliary vector; a missing entry gives 0.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether children are reaped by the kernel at once because `SIGCHLD` is ignored (sigaction(2), `SA_NOCLDWAIT`).
#[must_use]
pub fn children_are_discarded() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a query with a valid place for the answer.
    let asked = unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed is a valid value of this plain structure, and the call may have filled it.
    let action = unsafe { action.assume_init() };
    asked == 0
        && (action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0)
}
