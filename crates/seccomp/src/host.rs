//! What a profile may depend on: the machine, its kernel, the capabilities that the program is given.
//!
//! Kernel objects: none are touched but by [`Host::this`], which calls uname(2). Invariant: a capability is one of the
//! kernel's, by its number.

use std::fmt;
use std::str::FromStr;

use crate::arch::Arch;

/// The kernel's names, by number (capabilities(7)).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The number of a capability such as `CAP_SYS_ADMIN`, in any case, with or without `CAP_`.
pub(crate) fn capability(name: &str) -> Option<u32> {
    let name = name
        .get(..4)
        .filter(|start| start.eq_ignore_ascii_case("CAP_"))
        .map_or(name, |_| &name[4..]);
    let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    u32::try_from(at).ok()
}

/// A kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kernel {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl FromStr for Kernel {
    type Err = NoKernel;

    /// Reads `5.14`, and what follows two numbers in uname(2)'s release, such as `5.14.0-70.el9`.
    fn from_str(text: &str) -> Result<Self, NoKernel> {
        let mut parts = text.splitn(3, '.');
        let mut number = |stop: &[char]| {
            let part = parts.next().ok_or(NoKernel)?;
            let digits = part.split(stop).next().unwrap_or(part);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse().map_err(|_| NoKernel) } else { Err(NoKernel) }
        };
        Ok(Self { major: number(&[])?, minor: number(&['-', '+', '_', '~'])? })
    }
}

/// A text is not a kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kernel's version")]
pub struct NoKernel;

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// Capabilities as the kernel counts them: bit 0 is `CAP_CHOWN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Granted(u64);

impl Granted {
    /// None.
    pub const NONE: Self = Self(0);

    /// By the kernel's numbers.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// This one, too; a name that is not known adds nothing.
    #[must_use]
    pub fn with(self, name: &str) -> Self {
        Self(self.0 | capability(name).map_or(0, |number| 1 << number))
    }

    /// Whether it is among them.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        capability(name).is_some_and(|number| self.0 >> number & 1 == 1)
    }
}

/// What a profile may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Host {
    /// The machine's own entry.
    pub arch: Arch,
    /// Its kernel.
    pub kernel: Kernel,
    /// What the program is given: its bounding set.
    pub granted: Granted,
}

impl Host {
    /// This machine, its kernel, and a program without capabilities.
    #[must_use]
    pub fn this() -> Self {
        let release = rustix::system::uname();
        let kernel = release.release().to_str().ok().and_then(|text| text.parse().ok());
        Self {
            arch: Arch::native(),
            // The oldest one that the other crates are for.
            kernel: kernel.unwrap_or(Kernel { major: 5, minor: 14 }),
            granted: Granted::NONE,
        }
    }

    /// A program with these capabilities.
    #[must_use]
    pub fn granted(mut self, granted: Granted) -> Self {
        self.granted = granted;
        self
    }

    /// Another kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Another machine.
    #[must_use]
    pub fn arch(mut self, arch: Arch) -> Self {
        self.arch = arch;
        self
    }
}
