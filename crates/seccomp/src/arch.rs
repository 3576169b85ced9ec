//! The entries into the kernel that a filter knows: an architecture or one of its older faces.
//!
//! Kernel objects: `AUDIT_ARCH_…` (seccomp(2)), `__X32_SYSCALL_BIT`. Invariant: every call belongs to at most one entry,
//! by its audit value and its number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An entry into the kernel, with numbers of its own for the system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// x86-64 with pointers of 32 bits: numbers from 0x4000_0000 under the audit value of x86-64.
    X32,
    /// x86 with 32 bits (i386), open to programs of 64 bits by `int 0x80`, too.
    X86,
    /// ARM with 64 bits.
    Aarch64,
    /// ARM with 32 bits (EABI).
    Arm,
}

/// What the numbers of x32 start with.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

const AUDIT_64BIT: u32 = 0x8000_0000;
const AUDIT_LE: u32 = 0x4000_0000;

impl Arch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X32, Self::X86, Self::Aarch64, Self::Arm];

    /// The entry that this program uses.
    #[must_use]
    pub const fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// The entries of one machine: this one's and those of its other faces.
    #[must_use]
    pub const fn family(self) -> &'static [Self] {
        match self {
            Self::X86_64 | Self::X32 | Self::X86 => &[Self::X86_64, Self::X32, Self::X86],
            Self::Aarch64 | Self::Arm => &[Self::Aarch64, Self::Arm],
        }
    }

    /// The kernel's value for it (linux/audit.h).
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => AUDIT_64BIT | AUDIT_LE | 62,
            Self::X86 => AUDIT_LE | 3,
            Self::Aarch64 => AUDIT_64BIT | AUDIT_LE | 183,
            Self::Arm => AUDIT_LE | 40,
        }
    }

    /// The entry of a call, by the kernel's value and the call's number.
    ///
    /// The number `-1`, which a tracer uses to skip a call, is never x32.
    #[must_use]
    pub fn of(audit: u32, number: u32) -> Option<Self> {
        let arch = Self::ALL.into_iter().find(|arch| arch.audit() == audit)?;
        let x32 = arch == Self::X86_64 && number >= X32_BIT && number != u32::MAX;
        Some(if x32 { Self::X32 } else { arch })
    }

    /// Whether arguments have 32 bits; the upper half that a filter sees then says nothing.
    #[must_use]
    pub const fn is_32_bit(self) -> bool {
        matches!(self, Self::X86 | Self::Arm)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::X32 => "x32",
            Self::X86 => "x86",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
        })
    }
}
