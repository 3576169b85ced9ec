//! Capabilities: their names, sets of them, and the sets of a new process.
//!
//! Kernel objects: `/proc/sys/kernel/cap_last_cap`, read only. Manual: capabilities(7). Invariant:
//! a [`CapabilitySet`] has no other bits than those of the 41 capabilities of Linux 6.18.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::bounded_file::read_host;
use crate::decimal::parse_u64;
use crate::error::{Error, ErrorKind, Reason, Result};

/// Declares the capabilities once: variant, kernel name without the prefix, sentence.
macro_rules! capabilities {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// A capability, by its kernel number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Capability {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl Capability {
            /// All capabilities, by number.
            pub const ALL: [Self; 41] = [$(Self::$variant),*];

            /// The kernel's name, such as `CAP_CHOWN`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("CAP_", $name),)*
                }
            }
        }
    };
}

capabilities! {
    Chown = 0, "CHOWN", "Change owners of files.";
    DacOverride = 1, "DAC_OVERRIDE", "Pass permission checks of files.";
    DacReadSearch = 2, "DAC_READ_SEARCH", "Read any file, search any directory.";
    Fowner = 3, "FOWNER", "Do what only the owner of a file may.";
    Fsetid = 4, "FSETID", "Keep the set-user-id and set-group-id bits.";
    Kill = 5, "KILL", "Signal processes of others.";
    Setgid = 6, "SETGID", "Change group ids.";
    Setuid = 7, "SETUID", "Change user ids.";
    Setpcap = 8, "SETPCAP", "Drop from the bounding set, change secure bits.";
    LinuxImmutable = 9, "LINUX_IMMUTABLE", "Change the append-only and immutable flags.";
    NetBindService = 10, "NET_BIND_SERVICE", "Bind ports below 1024.";
    NetBroadcast = 11, "NET_BROADCAST", "Unused by the kernel.";
    NetAdmin = 12, "NET_ADMIN", "Configure the network.";
    NetRaw = 13, "NET_RAW", "Use raw and packet sockets.";
    IpcLock = 14, "IPC_LOCK", "Lock memory.";
    IpcOwner = 15, "IPC_OWNER", "Pass permission checks of System V objects.";
    SysModule = 16, "SYS_MODULE", "Load and unload kernel modules.";
    SysRawio = 17, "SYS_RAWIO", "Use ports and raw memory.";
    SysChroot = 18, "SYS_CHROOT", "Use chroot(2) and join mount namespaces.";
    SysPtrace = 19, "SYS_PTRACE", "Trace processes of others.";
    SysPacct = 20, "SYS_PACCT", "Use acct(2).";
    SysAdmin = 21, "SYS_ADMIN", "Mount, and very many other things.";
    SysBoot = 22, "SYS_BOOT", "Reboot and load another kernel.";
    SysNice = 23, "SYS_NICE", "Raise priorities, set policies and affinities.";
    SysResource = 24, "SYS_RESOURCE", "Exceed limits.";
    SysTime = 25, "SYS_TIME", "Set the clock.";
    SysTtyConfig = 26, "SYS_TTY_CONFIG", "Hang up and configure terminals.";
    Mknod = 27, "MKNOD", "Make device nodes.";
    Lease = 28, "LEASE", "Take leases on files of others.";
    AuditWrite = 29, "AUDIT_WRITE", "Write to the audit log.";
    AuditControl = 30, "AUDIT_CONTROL", "Configure the audit log.";
    Setfcap = 31, "SETFCAP", "Set capabilities of files; map id 0 of the parent.";
    MacOverride = 32, "MAC_OVERRIDE", "Pass checks of some security modules.";
    MacAdmin = 33, "MAC_ADMIN", "Configure some security modules.";
    Syslog = 34, "SYSLOG", "Use the privileged operations of syslog(2).";
    WakeAlarm = 35, "WAKE_ALARM", "Set timers that wake the machine.";
    BlockSuspend = 36, "BLOCK_SUSPEND", "Keep the machine from sleeping.";
    AuditRead = 37, "AUDIT_READ", "Read the audit log.";
    Perfmon = 38, "PERFMON", "Use performance counters (Linux 5.8).";
    Bpf = 39, "BPF", "Use privileged BPF operations (Linux 5.8).";
    CheckpointRestore = 40, "CHECKPOINT_RESTORE", "Checkpoint and restore (Linux 5.9).";
}

impl Capability {
    /// The kernel's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The capability of a number, if this crate knows one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    const fn bit(self) -> u64 {
        1 << self.number()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Capability {
    type Err = Error;

    /// Reads a name in any case, with or without `CAP_`.
    fn from_str(text: &str) -> Result<Self> {
        let same = |capability: &Self| {
            let name = capability.name();
            text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name["CAP_".len()..])
        };
        Self::ALL
            .into_iter()
            .find(same)
            .ok_or_else(|| Error::text(ErrorKind::InvalidCapability, text, Reason::Unknown))
    }
}

impl TryFrom<String> for Capability {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.name().to_owned()
    }
}

/// A set of capabilities, written in JSON as a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Capability>", into = "Vec<Capability>")]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// All capabilities that this crate knows; a kernel may have fewer ([`supported`](Self::supported)).
    pub const ALL: Self = Self((1 << 41) - 1);

    /// What a container usually has: the eleven capabilities of Podman's default (Docker adds
    /// `AUDIT_WRITE`, `MKNOD` and `NET_RAW`).
    #[must_use]
    pub fn container_default() -> Self {
        [
            Capability::Chown,
            Capability::DacOverride,
            Capability::Fowner,
            Capability::Fsetid,
            Capability::Kill,
            Capability::NetBindService,
            Capability::Setfcap,
            Capability::Setgid,
            Capability::Setpcap,
            Capability::Setuid,
            Capability::SysChroot,
        ]
        .into_iter()
        .collect()
    }

    /// What the running kernel has, of those that this crate knows.
    ///
    /// # Errors
    /// When `/proc/sys/kernel/cap_last_cap` (since Linux 3.2) cannot be read.
    pub fn supported() -> Result<Self> {
        let last = last_capability()?;
        Ok(Self::ALL.iter().filter(|capability| capability.number() <= last).collect())
    }

    /// The bits as the kernel has them: bit n is capability number n.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of these bits, without those that no known capability has.
    #[must_use]
    pub const fn from_bits_truncate(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Whether all of this set is in `other`.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The set with `capability`.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// The set without `capability`.
    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !capability.bit())
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set only.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The capabilities, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.contains(*capability))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl From<Vec<Capability>> for CapabilitySet {
    fn from(capabilities: Vec<Capability>) -> Self {
        capabilities.into_iter().collect()
    }
}

impl From<CapabilitySet> for Vec<Capability> {
    fn from(set: CapabilitySet) -> Self {
        set.iter().collect()
    }
}

impl fmt::Display for CapabilitySet {
    /// Writes the names with commas between them, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, capability) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{capability}")?;
        }
        Ok(())
    }
}

/// The number of the last capability of the running kernel; it may be one that this crate does not
/// know, so whoever drops "everything" counts up to it.
///
/// # Errors
/// When `/proc/sys/kernel/cap_last_cap` (since Linux 3.2) cannot be read.
pub fn last_capability() -> Result<u8> {
    // A constant of the running kernel.
    static LAST: OnceLock<u8> = OnceLock::new();
    if let Some(last) = LAST.get() {
        return Ok(*last);
    }
    let last = read_last_capability()?;
    Ok(*LAST.get_or_init(|| last))
}

fn read_last_capability() -> Result<u8> {
    let path = Path::new("/proc/sys/kernel/cap_last_cap");
    let content = read_host(path, 16)?;
    let number = parse_u64(content.trim_ascii_end()).ok().filter(|number| *number < 64);
    number
        .and_then(|number| u8::try_from(number).ok())
        .ok_or_else(|| Error::file(path, Reason::NotANumber))
}
