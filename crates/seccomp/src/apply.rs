//! Loading a filter into this program, for programs that confine themselves.
//!
//! Kernel objects: no_new_privs and the filters of a thread (prctl(2), seccomp(2)). Invariant: these functions are the
//! exception to the promise that nothing changes in the host's process, and nothing else in this crate is one.

use std::os::fd::OwnedFd;

use ampoule_init::sys::seccomp::load;

use crate::compiled::Compiled;
use crate::error::{Error, ErrorKind, Result};

const TSYNC: u32 = 1;
const NEW_LISTENER: u32 = 1 << 3;
/// A thread with a filter of its own is an error, not an answer (Linux 5.7).
const TSYNC_ESRCH: u32 = 1 << 4;

const ESRCH: i32 = 3;

/// Which threads get a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    This,
    All,
}

impl Compiled {
    /// Loads it for the rest of this thread's life, and for threads and processes that it starts from now on.
    ///
    /// **This changes the calling thread**: the filter, and no_new_privs, which it needs. Neither can be undone; filters
    /// that were loaded before stay, and the stricter answer counts.
    ///
    /// # Errors
    /// [`Listener`](ErrorKind::Listener) for a filter that notifies;
    /// [`Unsupported`](ErrorKind::Unsupported) or [`System`](ErrorKind::System) when the kernel does not take it.
    pub fn apply_to_this_thread(&self) -> Result<()> {
        self.apply(Threads::This)
    }

    /// Loads it for the rest of this process's life, in all its threads at once.
    ///
    /// **This changes the whole process**, as [`apply_to_this_thread`](Self::apply_to_this_thread) does a thread.
    ///
    /// # Errors
    /// As above; [`OtherThread`](ErrorKind::OtherThread) when another thread has a filter that this one has not. Then
    /// nothing but no_new_privs of this thread has changed.
    pub fn apply_to_this_process(&self) -> Result<()> {
        self.apply(Threads::All)
    }

    /// As [`apply_to_this_thread`](Self::apply_to_this_thread), for a filter that notifies; gives the listener, for
    /// [`Listener`](crate::notify::Listener), which is close-on-exec. Another thread or process has to serve it: this thread now waits for its answers.
    ///
    /// # Errors
    /// [`Listener`](ErrorKind::Listener) for a filter that does not notify, else as above;
    /// [`System`](ErrorKind::System) with `EBUSY` when this thread's filters have a listener already.
    pub fn apply_with_listener(&self) -> Result<OwnedFd> {
        if !self.notifies() {
            return Err(Error::listener(false));
        }
        self.load(self.flags().bits() & !TSYNC | NEW_LISTENER)?.ok_or(Error::listener(true))
    }

    fn apply(&self, threads: Threads) -> Result<()> {
        if self.notifies() {
            return Err(Error::listener(true));
        }
        let flags = self.flags().bits() & !TSYNC;
        let flags = if threads == Threads::All { flags | TSYNC | TSYNC_ESRCH } else { flags };
        self.load(flags).map(drop)
    }

    fn load(&self, flags: u32) -> Result<Option<OwnedFd>> {
        rustix::thread::set_no_new_privs(true)
            .map_err(|errno| Error::system("prctl(PR_SET_NO_NEW_PRIVS)", &errno.into()))?;
        load(&self.program().words(), flags).map_err(|error| {
            Error::system("seccomp(SECCOMP_SET_MODE_FILTER)", &error)
                .meaning(ESRCH, ErrorKind::OtherThread)
        })
    }
}
