//! What happens to a system call.
//!
//! Kernel objects: the return values of a filter (seccomp(2), `SECCOMP_RET_…`). Invariant: an action and its return
//! value are the same thing in two spellings, for errors up to [`Action::ERRNO_MAX`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// The whole process dies of SIGSYS (Linux 4.14).
    KillProcess,
    /// The calling thread dies of SIGSYS; the others go on without it, which few programs survive.
    KillThread,
    /// The thread gets SIGSYS, which it can handle.
    Trap,
    /// The call fails with this error number and is not made; 0 means that it seems to succeed.
    Errno(u16),
    /// A listener decides (seccomp_unotify(2), Linux 5.0); without one the call fails with ENOSYS.
    Notify,
    /// A tracer decides and is told this number (ptrace(2), `PTRACE_O_TRACESECCOMP`); without one the call fails with
    /// ENOSYS.
    Trace(u16),
    /// The call is made, and logged (Linux 4.14).
    Log,
    /// The call is made.
    Allow,
}

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

impl Action {
    /// The highest error number; the kernel takes a higher one for this one.
    pub const ERRNO_MAX: u16 = 4095;
    /// The call fails with `EPERM`.
    pub const NOT_PERMITTED: Self = Self::Errno(1);
    /// The call fails with `ENOSYS`, as on a kernel that does not have it; programs then fall back to older calls.
    pub const NOT_IMPLEMENTED: Self = Self::Errno(38);

    /// What a filter returns for it.
    #[must_use]
    pub const fn return_value(self) -> u32 {
        match self {
            Self::KillProcess => KILL_PROCESS,
            Self::KillThread => KILL_THREAD,
            Self::Trap => TRAP,
            Self::Errno(number) => ERRNO | number as u32,
            Self::Notify => USER_NOTIF,
            Self::Trace(number) => TRACE | number as u32,
            Self::Log => LOG,
            Self::Allow => ALLOW,
        }
    }

    /// The action of a filter's return value; a value that the kernel does not know ends the process there, as here.
    #[must_use]
    pub const fn from_return_value(value: u32) -> Self {
        let [low, high, _, _] = value.to_le_bytes();
        let data = u16::from_le_bytes([low, high]);
        match value & 0xffff_0000 {
            KILL_THREAD => Self::KillThread,
            TRAP => Self::Trap,
            ERRNO => Self::Errno(data),
            USER_NOTIF => Self::Notify,
            TRACE => Self::Trace(data),
            LOG => Self::Log,
            ALLOW => Self::Allow,
            _ => Self::KillProcess,
        }
    }

    /// Whether the call is made without anybody being asked.
    #[must_use]
    pub const fn permits(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }
}

/// Error numbers that filters use, with their names.
const ERRNOS: [(u16, &str); 12] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (19, "ENODEV"),
    (22, "EINVAL"),
    (38, "ENOSYS"),
    (95, "EOPNOTSUPP"),
    (97, "EAFNOSUPPORT"),
    (125, "ECANCELED"),
];

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillProcess => out.write_str("kill process"),
            Self::KillThread => out.write_str("kill thread"),
            Self::Trap => out.write_str("trap"),
            Self::Errno(number) => match ERRNOS.iter().find(|(known, _)| known == number) {
                Some((_, name)) => out.write_str(name),
                None => write!(out, "error {number}"),
            },
            Self::Notify => out.write_str("notify"),
            Self::Trace(number) => write!(out, "trace {number}"),
            Self::Log => out.write_str("log"),
            Self::Allow => out.write_str("allow"),
        }
    }
}
