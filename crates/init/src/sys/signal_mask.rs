//! The calling thread's signal mask, for a thread that is started in the host for a moment.
#![expect(
    unsafe_code,
    reason = "pthread_sigmask has no safe wrapper among this crate's dependencies"
)]

use std::mem::MaybeUninit;

/// Puts a mask back.
struct Restore(libc::sigset_t);

impl Drop for Restore {
    fn drop(&mut self) {
        // SAFETY: the mask that this thread had, as the kernel gave it; nothing is written.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Runs with the signals of the host's handlers blocked in this thread; a thread that `body` starts keeps them blocked, so
/// that no handler of the host ever runs in it. The two signals that the C library uses itself stay open, or
/// `setuid(2)` of another thread would wait.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut old = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: fills the set, which is a valid place for one.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: both are valid sets; with these arguments the call cannot fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) };
    // SAFETY: zeroed is a valid value of this plain structure, and the call has filled it.
    let _restore = Restore(unsafe { old.assume_init() });
    body()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        u64::from_str_radix(line.expect("a mask").trim(), 16).expect("a number")
    }

    #[test]
    fn a_thread_inherits_the_mask_and_the_caller_gets_its_own_back() {
        let before = blocked();
        let inside = with_signals_blocked(|| std::thread::spawn(blocked)).join().expect("a thread");
        assert_eq!(blocked(), before);
        for signal in [libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGALRM, 64] {
            assert_ne!(inside & 1 << (signal - 1), 0, "{signal}");
        }
        for own in [32, 33] {
            assert_eq!(inside & 1 << (own - 1), 0, "{own}");
        }
    }
}
