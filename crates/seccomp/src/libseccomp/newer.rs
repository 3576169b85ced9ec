//! What libseccomp 2.5 cannot say: calls above the tables. Instructions that stand before its own answer them.
//!
//! Kernel objects: none. Invariant: a call that is not newer reaches libseccomp's instructions as it came.

use crate::arch::Arch;
use crate::bpf::{Instruction, code, offset};
use crate::filter::Filter;
use crate::syscall;

/// The instructions, or none where newer calls meet the default action anyway.
pub(super) fn prefix(filter: &Filter) -> Vec<Instruction> {
    if filter.newer_action() == filter.default {
        return Vec::new();
    }
    let answer = filter.newer_action().return_value();
    filter.archs.iter().flat_map(|arch| entry(*arch, answer)).collect()
}

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn entry(arch: Arch, answer: u32) -> Vec<Instruction> {
    let mut tests = vec![plain(code::LOAD, offset::NUMBER)];
    for (first, last) in ranges(arch) {
        tests.push(Instruction { code: code::IF_GE, jt: 0, jf: 2, k: first });
        tests.push(Instruction { code: code::IF_GT, jt: 1, jf: 0, k: last });
        tests.push(plain(code::RETURN, answer));
    }
    let past = u8::try_from(tests.len()).unwrap_or(u8::MAX);
    let mut instructions = vec![plain(code::LOAD, offset::ARCH)];
    instructions.push(Instruction { code: code::IF_EQ, jt: 0, jf: past, k: arch.audit() });
    instructions.extend(tests);
    instructions
}

/// The numbers of newer calls, first and last.
fn ranges(arch: Arch) -> Vec<(u32, u32)> {
    let highest = syscall::highest(arch);
    let end = if arch == Arch::X86_64 { 0x3fff_ffff } else { u32::MAX };
    let end = if arch == Arch::X32 { u32::MAX - 1 } else { end };
    let apart = syscall::calls(arch).map(|(number, _)| number).filter(|number| *number > highest);
    let mut from = highest + 1;
    let mut ranges = Vec::new();
    for number in apart {
        if number > from {
            ranges.push((from, number - 1));
        }
        from = number + 1;
    }
    ranges.push((from, end));
    if arch == Arch::X86_64 {
        ranges.push((u32::MAX, u32::MAX));
    }
    ranges
}
