//! Random filters, and the calls that tell them apart.
#![allow(dead_code, reason = "each test program uses a part")]

use ampoule_seccomp::bpf::Data;
use ampoule_seccomp::{Action, Arch, Condition, Filter, Operator, Rule, syscall};
use proptest::prelude::*;

/// Values around which comparisons of halves go wrong.
pub(crate) const EDGES: [u64; 12] = [
    0,
    1,
    2,
    40,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

const NAMES: [&str; 24] = [
    "read",
    "write",
    "open",
    "openat",
    "close",
    "ioctl",
    "socket",
    "socketcall",
    "clone",
    "clone3",
    "execve",
    "execveat",
    "personality",
    "ptrace",
    "file_setattr",
    "mmap",
    "mmap2",
    "arch_prctl",
    "set_tls",
    "cacheflush",
    "pwritev2",
    "rt_sigaction",
    "restart_syscall",
    "futex_requeue",
];

pub(crate) fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Allow),
        2 => Just(Action::NOT_PERMITTED),
        1 => (0..=Action::ERRNO_MAX).prop_map(Action::Errno),
        1 => Just(Action::KillProcess),
        1 => Just(Action::KillThread),
        1 => Just(Action::Trap),
        1 => Just(Action::Notify),
        1 => any::<u16>().prop_map(Action::Trace),
        1 => Just(Action::Log),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = u64> {
    prop_oneof![4 => prop::sample::select(&EDGES[..]), 1 => any::<u64>(), 2 => 0..8_u64]
}

pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    let operator = (0..7_u8, value());
    (0..3_u8, operator, value()).prop_map(|(arg, (kind, mask), value)| {
        let operator = match kind {
            0 => Operator::Eq,
            1 => Operator::Ne,
            2 => Operator::Lt,
            3 => Operator::Le,
            4 => Operator::Gt,
            5 => Operator::Ge,
            _ => Operator::MaskedEq(mask),
        };
        let value = if kind == 6 { value & mask } else { value };
        Condition { arg, operator, value }
    })
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..5);
    let conditions = prop_oneof![1 => Just(0..1), 2 => Just(1..4)]
        .prop_flat_map(|count| prop::collection::vec(condition(), count));
    (names, conditions, action()).prop_map(|(names, conditions, action)| {
        let rule = Rule::new(action, names);
        conditions.into_iter().fold(rule, Rule::when)
    })
}

pub(crate) fn archs() -> impl Strategy<Value = Vec<Arch>> {
    prop::sample::select(vec![
        vec![Arch::X86_64],
        vec![Arch::X86_64, Arch::X86],
        vec![Arch::X86_64, Arch::X32, Arch::X86],
        vec![Arch::X32],
        vec![Arch::X86],
        vec![Arch::Aarch64, Arch::Arm],
        vec![Arch::Arm],
    ])
}

/// Filters, the ones with conflicts left out.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    let parts = (
        action(),
        archs(),
        action(),
        prop::option::of(action()),
        prop::collection::vec(rule(), 0..12),
    );
    let built = parts.prop_map(|(default, archs, foreign, newer, rules)| {
        let filter = Filter::new(default).archs(archs).foreign(foreign);
        let filter = rules.into_iter().fold(filter, Filter::rule);
        newer.into_iter().fold(filter, Filter::newer)
    });
    built.prop_filter("conflicts", |filter| filter.validate().is_ok())
}

/// Every known number of an entry, and those around and far away.
pub(crate) fn numbers(arch: Arch) -> Vec<u32> {
    let known = syscall::calls(arch).flat_map(|(number, _)| [number, number.wrapping_add(1)]);
    let far = [0, 1, 0x3fff_ffff, 0x4000_0000, 0x4000_0fff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let mut numbers: Vec<u32> = known.chain(far).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Arguments at which the conditions of a filter change their mind.
pub(crate) fn interesting(filter: &Filter) -> Vec<u64> {
    let conditions = filter.rules.iter().flat_map(|rule| &rule.conditions);
    let around = conditions.flat_map(|condition| {
        let mask = match condition.operator {
            Operator::MaskedEq(mask) => !mask,
            _ => 0,
        };
        let value = condition.value;
        let other_half = value ^ (1 << 32);
        [value, value.wrapping_add(1), value.wrapping_sub(1), value | mask, other_half]
    });
    let mut values: Vec<u64> = around.chain([0, u64::MAX]).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// A call.
pub(crate) fn call(arch: Arch, number: u32, args: [u64; 6]) -> Data {
    Data { arch: arch.audit(), number, instruction_pointer: 0x1234_5678_9abc, args }
}
