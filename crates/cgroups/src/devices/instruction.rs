//! The few instructions of the BPF machine that device programs are made of.
//!
//! Kernel objects: `struct bpf_insn` (the kernel's bpf/standardization/instruction-set.rst). Invariant:
//! jumps go forward only, so that every program ends.

use std::fmt;

/// A register of the BPF machine, as device programs use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Register {
    /// `r0`: the answer, 1 to allow.
    Answer = 0,
    /// `r1`: the address of the kernel's question.
    Question = 1,
    /// `r2`: the kinds of access that are not decided yet.
    Access = 2,
    /// `r3`: the kind of device.
    Kind = 3,
    /// `r4`: the value that is looked at.
    Scratch = 4,
}

/// One instruction. All arithmetic is on 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Instruction {
    /// Reads 32 bits of the question.
    Load {
        /// Into this register.
        to: Register,
        /// From this place, in bytes.
        offset: i16,
    },
    /// Copies a register.
    Copy {
        /// Into this one.
        to: Register,
        /// From this one.
        from: Register,
    },
    /// Sets a register.
    Set {
        /// This one.
        to: Register,
        /// To this value.
        value: u32,
    },
    /// Keeps only these bits of a register.
    And {
        /// The register.
        to: Register,
        /// The bits.
        mask: u32,
    },
    /// Moves the bits of a register down.
    ShiftRight {
        /// The register.
        to: Register,
        /// By so many.
        bits: u32,
    },
    /// Skips instructions if a register has this value.
    SkipIf {
        /// The register.
        register: Register,
        /// The value.
        value: u32,
        /// How many instructions.
        skip: u8,
    },
    /// Skips instructions unless a register has this value.
    SkipUnless {
        /// The register.
        register: Register,
        /// The value.
        value: u32,
        /// How many instructions.
        skip: u8,
    },
    /// Ends with the answer in [`Register::Answer`].
    Exit,
}

/// One instruction's fields, before they are put into 64 bits.
#[derive(Default)]
struct Fields {
    code: u8,
    to: u8,
    from: u8,
    offset: i16,
    value: u32,
}

impl Instruction {
    /// The instruction as the kernel takes it: `struct bpf_insn`, in native byte order.
    #[must_use]
    pub fn encode(self) -> u64 {
        let fields = self.fields();
        let nibbles = if cfg!(target_endian = "little") {
            fields.to | (fields.from << 4)
        } else {
            (fields.to << 4) | fields.from
        };
        let [offset_0, offset_1] = fields.offset.to_ne_bytes();
        let [value_0, value_1, value_2, value_3] = fields.value.to_ne_bytes();
        u64::from_ne_bytes([
            fields.code,
            nibbles,
            offset_0,
            offset_1,
            value_0,
            value_1,
            value_2,
            value_3,
        ])
    }

    fn fields(self) -> Fields {
        // The codes are class, operation and source: BPF_LDX|BPF_MEM|BPF_W, BPF_ALU|BPF_MOV|BPF_X …
        let base = Fields::default();
        match self {
            Self::Load { to, offset } => {
                let from = Register::Question as u8;
                Fields { code: 0x61, to: to as u8, from, offset, ..base }
            }
            Self::Copy { to, from } => {
                Fields { code: 0xbc, to: to as u8, from: from as u8, ..base }
            }
            Self::Set { to, value } => Fields { code: 0xb4, to: to as u8, value, ..base },
            Self::And { to, mask } => Fields { code: 0x54, to: to as u8, value: mask, ..base },
            Self::ShiftRight { to, bits } => {
                Fields { code: 0x74, to: to as u8, value: bits, ..base }
            }
            Self::SkipIf { register, value, skip } => {
                Fields { code: 0x16, to: register as u8, offset: skip.into(), value, ..base }
            }
            Self::SkipUnless { register, value, skip } => {
                Fields { code: 0x56, to: register as u8, offset: skip.into(), value, ..base }
            }
            Self::Exit => Fields { code: 0x95, ..base },
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "answer",
            Self::Question => "question",
            Self::Access => "access",
            Self::Kind => "kind",
            Self::Scratch => "scratch",
        })
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { to, offset } => write!(f, "{to} = question[{offset}]"),
            Self::Copy { to, from } => write!(f, "{to} = {from}"),
            Self::Set { to, value } => write!(f, "{to} = {value}"),
            Self::And { to, mask } => write!(f, "{to} &= {mask:#x}"),
            Self::ShiftRight { to, bits } => write!(f, "{to} >>= {bits}"),
            Self::SkipIf { register, value, skip } => {
                write!(f, "if {register} == {value} skip {skip}")
            }
            Self::SkipUnless { register, value, skip } => {
                write!(f, "if {register} != {value} skip {skip}")
            }
            Self::Exit => f.write_str("exit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_kernel_looks() {
        let skip = Instruction::SkipUnless { register: Register::Kind, value: 0xfffe, skip: 7 };
        assert_eq!(skip.encode().to_ne_bytes()[2..4], 7i16.to_ne_bytes());
        assert_eq!(skip.encode().to_ne_bytes()[4..], 0xfffe_u32.to_ne_bytes());
        let load = Instruction::Load { to: Register::Scratch, offset: 8 };
        let bytes = load.encode().to_ne_bytes();
        assert_eq!(bytes[0], 0x61);
        if cfg!(target_endian = "little") {
            assert_eq!(bytes[1], 0x14, "from r1 to r4");
        }
    }
}
