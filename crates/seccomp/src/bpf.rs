//! Programs for the kernel's filter machine, as plain data, and the machine itself.
//!
//! Kernel objects: `struct sock_filter` and `struct seccomp_data` (seccomp(2)); the machine is that of
//! `kernel/seccomp.c`: only these instructions pass its check. Invariant: a program that passes [`Program::check`] ends,
//! and never reads outside the call's data.

use crate::action::Action;

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// What a filter sees of a system call (`struct seccomp_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Data {
    /// The call's number.
    pub number: u32,
    /// The entry, as [`Arch::audit`](crate::Arch::audit) has it.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// Offsets into [`Data`], little-endian.
pub(crate) mod offset {
    pub(crate) const NUMBER: u32 = 0;
    pub(crate) const ARCH: u32 = 4;

    /// The lower half of an argument.
    pub(crate) const fn low(arg: u8) -> u32 {
        16 + 8 * arg as u32
    }

    /// The upper half of an argument.
    pub(crate) const fn high(arg: u8) -> u32 {
        low(arg) + 4
    }
}

/// Instruction codes (`BPF_LD | BPF_W | BPF_ABS` …).
pub(crate) mod code {
    pub(crate) const LOAD: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const IF_EQ: u16 = 0x15;
    pub(crate) const IF_GT: u16 = 0x25;
    pub(crate) const IF_GE: u16 = 0x35;
    pub(crate) const IF_SET: u16 = 0x45;
    pub(crate) const RETURN: u16 = 0x06;
}

/// One instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions a met condition skips.
    pub jt: u8,
    /// How many instructions a condition that is not met skips.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// Why a program is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// It has none, or more than 4096.
    #[error("{0} instructions")]
    Length(usize),
    /// An instruction that this machine does not have.
    #[error("unknown instruction at {0}")]
    Unknown(usize),
    /// A jump past the end.
    #[error("jump past the end at {0}")]
    Jump(usize),
    /// A load outside the call's data.
    #[error("load outside the data at {0}")]
    Load(usize),
    /// It does not end with a return.
    #[error("no return at the end")]
    End,
}

/// What a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What the program returned.
    pub action: Action,
    /// How many instructions it took.
    pub instructions: usize,
}

/// A filter as the kernel takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// Checks instructions as the kernel does.
    ///
    /// # Errors
    /// The first [`Defect`].
    pub fn check(instructions: Vec<Instruction>) -> Result<Self, Defect> {
        let length = instructions.len();
        if length == 0 || length > INSTRUCTIONS_MAX {
            return Err(Defect::Length(length));
        }
        for (at, instruction) in instructions.iter().enumerate() {
            let room = length - 1 - at;
            let reach = match instruction.code {
                code::LOAD if instruction.k % 4 != 0 || instruction.k >= 64 => {
                    return Err(Defect::Load(at));
                }
                code::LOAD | code::AND | code::RETURN => 0,
                code::JUMP => {
                    usize::try_from(instruction.k).unwrap_or(usize::MAX).saturating_add(1)
                }
                code::IF_EQ | code::IF_GT | code::IF_GE | code::IF_SET => {
                    usize::from(instruction.jt.max(instruction.jf)) + 1
                }
                _ => return Err(Defect::Unknown(at)),
            };
            if reach > room {
                return Err(Defect::Jump(at));
            }
        }
        match instructions.last() {
            Some(last) if last.code == code::RETURN => Ok(Self(instructions)),
            _ => Err(Defect::End),
        }
    }

    /// The instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// The instructions as the kernel reads them, in this machine's byte order.
    #[must_use]
    pub fn words(&self) -> Vec<u64> {
        let word = |one: &Instruction| {
            let [code_low, code_high] = one.code.to_ne_bytes();
            let [a, b, c, d] = one.k.to_ne_bytes();
            u64::from_ne_bytes([code_low, code_high, one.jt, one.jf, a, b, c, d])
        };
        self.0.iter().map(word).collect()
    }

    /// Runs it on one call, as the kernel does.
    #[must_use]
    pub fn run(&self, call: &Data) -> Run {
        let (mut at, mut accumulator, mut instructions) = (0, 0_u32, 0);
        // Jumps go forward only, so that this ends.
        while let Some(instruction) = self.0.get(at) {
            instructions += 1;
            at += 1;
            let k = instruction.k;
            let holds = match instruction.code {
                code::RETURN => {
                    return Run { action: Action::from_return_value(k), instructions };
                }
                code::JUMP => {
                    at = at.saturating_add(usize::try_from(k).unwrap_or(usize::MAX));
                    continue;
                }
                code::LOAD => {
                    accumulator = call.word(k);
                    continue;
                }
                code::AND => {
                    accumulator &= k;
                    continue;
                }
                code::IF_EQ => accumulator == k,
                code::IF_GT => accumulator > k,
                code::IF_GE => accumulator >= k,
                _ => accumulator & k != 0,
            };
            at += usize::from(if holds { instruction.jt } else { instruction.jf });
        }
        Run { action: Action::KillThread, instructions }
    }
}

impl Data {
    /// The word at an offset.
    fn word(&self, at: u32) -> u32 {
        let half = |value: u64| {
            let value = if at.is_multiple_of(8) { value } else { value >> 32 };
            u32::try_from(value & 0xffff_ffff).unwrap_or(0)
        };
        match at {
            offset::NUMBER => self.number,
            offset::ARCH => self.arch,
            8 | 12 => half(self.instruction_pointer),
            _ => {
                let index = usize::try_from((at - 16) / 8).unwrap_or(usize::MAX);
                half(self.args.get(index).copied().unwrap_or(0))
            }
        }
    }
}
