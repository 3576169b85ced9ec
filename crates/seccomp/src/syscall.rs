//! System calls by name and number, for each entry into the kernel.
//!
//! Kernel objects: the system-call tables. Invariant: a name has at most one number per entry; several names may have
//! the same number. The tables are those of the crate `syscalls`, completed by x32 and by ARM's private calls.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use syscalls::{aarch64, arm, x86, x86_64};

use crate::arch::{Arch, X32_BIT};

/// x86-64 calls that x32 has under numbers of its own, from 512 on, in order (`syscall_64.tbl`).
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];
const X32_FIRST: u32 = 512;

/// x86-64 calls that x32 does not have.
const NOT_ON_X32: [&str; 11] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
];

/// ARM's private calls (`asm/unistd.h`, `__ARM_NR_BASE`).
const ARM_PRIVATE: [(&str, u32); 6] = [
    ("breakpoint", 0xf_0001),
    ("cacheflush", 0xf_0002),
    ("usr26", 0xf_0003),
    ("usr32", 0xf_0004),
    ("set_tls", 0xf_0005),
    ("get_tls", 0xf_0006),
];

/// Second names, as other libraries and profiles write them.
const ALIASES: [(Arch, &str, &str); 2] = [
    (Arch::Arm, "sync_file_range2", "arm_sync_file_range"),
    (Arch::Aarch64, "newfstatat", "fstatat"),
];

/// The numbers of a name, one per entry.
type Numbers = [Option<u32>; Arch::ALL.len()];

#[derive(Default)]
struct Tables {
    /// Sorted by name.
    names: Vec<(&'static str, Numbers)>,
    /// Per entry, sorted by number.
    numbers: [Vec<(u32, &'static str)>; Arch::ALL.len()],
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

const fn place(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 => 0,
        Arch::X32 => 1,
        Arch::X86 => 2,
        Arch::Aarch64 => 3,
        Arch::Arm => 4,
    }
}

/// Every call of one table. The table's own iterator leaves out the last, and a name that Rust reserves comes as it is
/// written in Rust.
macro_rules! table {
    ($arch:ident) => {{
        let last = usize::try_from($arch::Sysno::last().id()).unwrap_or(0);
        (0..=last)
            .filter_map($arch::Sysno::new)
            .map(|call| (call.name().trim_start_matches("r#"), call.id().unsigned_abs()))
            .collect()
    }};
}

fn x32(native: &[(&'static str, u32)]) -> Vec<(&'static str, u32)> {
    let shared =
        native.iter().filter(|(name, _)| !X32_OWN.contains(name) && !NOT_ON_X32.contains(name));
    let own = X32_OWN.iter().copied().zip(X32_FIRST..);
    shared.copied().chain(own).map(|(name, number)| (name, number | X32_BIT)).collect()
}

impl Tables {
    fn new() -> Self {
        let x86_64: Vec<_> = table!(x86_64);
        let x32 = x32(&x86_64);
        let mut arm: Vec<_> = table!(arm);
        arm.extend(ARM_PRIVATE);
        let (x86, aarch64): (Vec<_>, Vec<_>) = (table!(x86), table!(aarch64));
        let all = [
            (Arch::X86_64, x86_64),
            (Arch::X32, x32),
            (Arch::X86, x86),
            (Arch::Aarch64, aarch64),
            (Arch::Arm, arm),
        ];
        let mut tables = Self::default();
        let mut names: BTreeMap<&'static str, Numbers> = BTreeMap::new();
        for (arch, calls) in all {
            for &(name, number) in &calls {
                names.entry(name).or_default()[place(arch)] = Some(number);
            }
            let mut numbers: Vec<_> =
                calls.into_iter().map(|(name, number)| (number, name)).collect();
            numbers.sort_unstable();
            tables.numbers[place(arch)] = numbers;
        }
        for (arch, alias, name) in ALIASES {
            let known = names.get(name).and_then(|numbers| numbers[place(arch)]);
            names.entry(alias).or_default()[place(arch)] = known;
        }
        tables.names = names.into_iter().collect();
        tables
    }

    fn named(&self, name: &str) -> Option<&Numbers> {
        let at = self.names.binary_search_by_key(&name, |(known, _)| known).ok()?;
        self.names.get(at).map(|(_, numbers)| numbers)
    }
}

/// The number of a call, if the entry has it.
#[must_use]
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    TABLES.named(name)?[place(arch)]
}

/// The name of a call, if its number is known.
#[must_use]
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    let numbers = &TABLES.numbers[place(arch)];
    let at = numbers.binary_search_by_key(&number, |&(known, _)| known).ok()?;
    numbers.get(at).map(|&(_, name)| name)
}

/// Whether any entry has a call of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    TABLES.named(name).is_some()
}

/// The calls of an entry by number, lowest first.
pub fn calls(arch: Arch) -> impl ExactSizeIterator<Item = (u32, &'static str)> {
    TABLES.numbers[place(arch)].iter().copied()
}

/// The highest number of an entry. The calls that only x32 has and ARM's private calls stand apart, above the room for
/// newer calls, and do not count.
#[must_use]
pub fn highest(arch: Arch) -> u32 {
    let apart = match arch {
        Arch::X32 => X32_BIT | X32_FIRST,
        Arch::Arm => 0xf_0000,
        _ => u32::MAX,
    };
    let numbers = &TABLES.numbers[place(arch)];
    numbers.iter().map(|&(number, _)| number).rfind(|&number| number < apart).unwrap_or(0)
}

/// Whether a number is above all that are known, so that a newer kernel may have a call there.
#[must_use]
pub fn is_newer(arch: Arch, number: u32) -> bool {
    number > highest(arch) && name(arch, number).is_none()
}
