//! The names that OCI and Docker use, as tables.
//!
//! Kernel objects: none. Invariant: one table per kind of name, read in both directions.

use crate::action::Action;
use crate::arch::Arch;
use crate::condition::Operator;
use crate::filter::Flags;

/// Entries that this crate compiles for, with Go's name where one is a machine.
pub(super) const ARCHS: [(&str, &str, Arch); 5] = [
    ("SCMP_ARCH_X86_64", "amd64", Arch::X86_64),
    ("SCMP_ARCH_X32", "x32", Arch::X32),
    ("SCMP_ARCH_X86", "386", Arch::X86),
    ("SCMP_ARCH_AARCH64", "arm64", Arch::Aarch64),
    ("SCMP_ARCH_ARM", "arm", Arch::Arm),
];

/// Other entries that profiles name.
const OTHER_ARCHS: [&str; 19] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_NATIVE",
];

/// Go's names of machines, as `includes` and `excludes` have them.
const OTHER_MACHINES: [&str; 14] = [
    "x86",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64n32",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390",
    "s390x",
    "mipsel64n32",
];

/// Calls of machines that this crate does not compile for, so that their names are no mistakes.
const OTHER_CALLS: [&str; 21] = [
    "cachectl",
    "llseek",
    "multiplexer",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "spu_create",
    "spu_run",
    "subpage_prot",
    "swapcontext",
    "switch_endian",
    "sync_file_range2",
    "sys_debug_setcontext",
    "syscall",
    "sysmips",
    "timerfd",
];

const OPERATORS: [(&str, Operator); 6] = [
    ("SCMP_CMP_EQ", Operator::Eq),
    ("SCMP_CMP_NE", Operator::Ne),
    ("SCMP_CMP_LT", Operator::Lt),
    ("SCMP_CMP_LE", Operator::Le),
    ("SCMP_CMP_GT", Operator::Gt),
    ("SCMP_CMP_GE", Operator::Ge),
];
const MASKED_EQ: &str = "SCMP_CMP_MASKED_EQ";

pub(super) const FLAGS: [(&str, Flags); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", Flags::TSYNC),
    ("SECCOMP_FILTER_FLAG_LOG", Flags::LOG),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", Flags::SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", Flags::WAIT_KILLABLE_RECV),
];

/// An action, with the number that it returns.
pub(super) fn action(name: &str, number: u16) -> Option<Action> {
    Some(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_ERRNO" => Action::Errno(number),
        "SCMP_ACT_NOTIFY" => Action::Notify,
        "SCMP_ACT_TRACE" => Action::Trace(number),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ALLOW" => Action::Allow,
        _ => return None,
    })
}

/// Name and number of an action.
pub(super) fn action_name(action: Action) -> (&'static str, Option<u64>) {
    match action {
        Action::KillThread => ("SCMP_ACT_KILL_THREAD", None),
        Action::KillProcess => ("SCMP_ACT_KILL_PROCESS", None),
        Action::Trap => ("SCMP_ACT_TRAP", None),
        Action::Errno(number) => ("SCMP_ACT_ERRNO", Some(u64::from(number))),
        Action::Notify => ("SCMP_ACT_NOTIFY", None),
        Action::Trace(number) => ("SCMP_ACT_TRACE", Some(u64::from(number))),
        Action::Log => ("SCMP_ACT_LOG", None),
        Action::Allow => ("SCMP_ACT_ALLOW", None),
    }
}

/// Operator and value of OCI's operator and two values: for a masked comparison the first is the mask.
pub(super) fn operator(name: &str, value: u64, two: u64) -> Option<(Operator, u64)> {
    if name == MASKED_EQ {
        return Some((Operator::MaskedEq(value), two));
    }
    OPERATORS.iter().find(|(known, _)| *known == name).map(|&(_, operator)| (operator, value))
}

/// OCI's operator and two values.
pub(super) fn operator_name(operator: Operator, value: u64) -> (&'static str, u64, u64) {
    match operator {
        Operator::MaskedEq(mask) => (MASKED_EQ, mask, value),
        other => {
            let known = OPERATORS.iter().find(|(_, operator)| *operator == other);
            (known.map_or(MASKED_EQ, |(name, _)| name), value, 0)
        }
    }
}

/// A name of another machine, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known<T> {
    Here(T),
    Elsewhere,
    Nowhere,
}

/// An entry by OCI's name.
pub(super) fn arch(name: &str) -> Known<Arch> {
    match ARCHS.iter().find(|(known, ..)| *known == name) {
        Some(&(.., arch)) => Known::Here(arch),
        None if name == "SCMP_ARCH_NATIVE" => Known::Here(Arch::native()),
        None if OTHER_ARCHS.contains(&name) => Known::Elsewhere,
        None => Known::Nowhere,
    }
}

/// OCI's name of an entry.
pub(super) fn arch_name(arch: Arch) -> &'static str {
    ARCHS.iter().find(|(.., known)| *known == arch).map_or("SCMP_ARCH_NATIVE", |(name, ..)| name)
}

/// An entry by Go's name of the machine.
pub(super) fn machine(name: &str) -> Known<Arch> {
    match ARCHS.iter().find(|(_, known, _)| *known == name) {
        Some(&(.., arch)) => Known::Here(arch),
        None if OTHER_MACHINES.contains(&name) => Known::Elsewhere,
        None => Known::Nowhere,
    }
}

/// Whether a call's name is one of a machine that this crate does not compile for.
pub(super) fn is_call_elsewhere(name: &str) -> bool {
    OTHER_CALLS.contains(&name)
}
