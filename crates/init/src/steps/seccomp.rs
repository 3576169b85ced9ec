//! The step that loads a system-call filter.

use crate::step::{Arg, Step};

/// What the embedded program calls between the load of a filter that stands right before
/// [`exec`](super::launch::exec) and the payload's first instruction: the tie to a reaper, the report, the exec, and the
/// report and the end when that fails.
pub const CALLS_OF_EXEC: [&str; 5] = ["prctl", "getppid", "sendmsg", "execve", "exit_group"];

/// What it calls, too, when the exec fails, and does without if that is refused with an error; the process must not be
/// killed for it, as the failed exec would then not be told.
pub const CALLS_OF_FAILED_EXEC: [&str; 1] = ["statx"];

/// `SECCOMP_SET_MODE_FILTER`.
const SET_MODE_FILTER: u64 = 1;

/// Loads a filter of these instructions, each one a `struct sock_filter` in native byte order, for all that the process does from here on (seccomp(2));
/// `flags` are `SECCOMP_FILTER_FLAG_…`.
///
/// It needs no_new_privs or `CAP_SYS_ADMIN`. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` the result is the listener, to be
/// saved; the payload's exec closes it.
#[must_use]
pub fn load_filter(instructions: &[u64], flags: u64, names: &str) -> Step {
    let count = instructions.len();
    let bytes = instructions.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let names = if names.is_empty() { "0" } else { names };
    let filter = Arg::Filter(bytes, format!("{count} instructions"));
    let args = vec![
        Arg::Named(SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER".to_owned()),
        Arg::Named(flags, names.to_owned()),
        filter,
    ];
    Step::call("seccomp", libc::SYS_seccomp, args)
}
