//! Conditions on the arguments of a system call.
//!
//! Kernel objects: `args` of `struct seccomp_data`, six words of 64 bits. Invariant: a condition is a comparison of one
//! argument, unsigned; pointers are compared as numbers, never followed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an argument is compared, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Equal in the bits of this mask; all others count as zero.
    MaskedEq(u64),
}

/// A comparison of one argument with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub arg: u8,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub value: u64,
}

/// An argument of a system call, to write conditions: `arg(0).eq(1)`.
#[derive(Clone, Copy, Debug)]
pub struct Arg(u8);

/// Argument `index`, from 0 to 5.
#[must_use]
pub const fn arg(index: u8) -> Arg {
    Arg(index)
}

impl Arg {
    const fn is(self, operator: Operator, value: u64) -> Condition {
        Condition { arg: self.0, operator, value }
    }

    /// It equals `value`.
    #[must_use]
    pub const fn eq(self, value: u64) -> Condition {
        self.is(Operator::Eq, value)
    }

    /// It does not equal `value`.
    #[must_use]
    pub const fn ne(self, value: u64) -> Condition {
        self.is(Operator::Ne, value)
    }

    /// It is less than `value`.
    #[must_use]
    pub const fn lt(self, value: u64) -> Condition {
        self.is(Operator::Lt, value)
    }

    /// It is `value` or less.
    #[must_use]
    pub const fn le(self, value: u64) -> Condition {
        self.is(Operator::Le, value)
    }

    /// It is greater than `value`.
    #[must_use]
    pub const fn gt(self, value: u64) -> Condition {
        self.is(Operator::Gt, value)
    }

    /// It is `value` or greater.
    #[must_use]
    pub const fn ge(self, value: u64) -> Condition {
        self.is(Operator::Ge, value)
    }

    /// Its bits of `mask` equal `value`.
    #[must_use]
    pub const fn masked_eq(self, mask: u64, value: u64) -> Condition {
        self.is(Operator::MaskedEq(mask), value)
    }

    /// Its lower 32 bits equal `value`: for arguments that the kernel takes as `int`, whose upper half it ignores.
    #[must_use]
    pub const fn int_eq(self, value: u32) -> Condition {
        self.masked_eq(0xffff_ffff, value as u64)
    }
}

impl Condition {
    /// How many arguments there are.
    pub const ARGS: u8 = 6;

    /// Whether these arguments meet it. One that does not exist meets nothing.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        let Some(&arg) = args.get(usize::from(self.arg)) else { return false };
        match self.operator {
            Operator::Eq => arg == self.value,
            Operator::Ne => arg != self.value,
            Operator::Lt => arg < self.value,
            Operator::Le => arg <= self.value,
            Operator::Gt => arg > self.value,
            Operator::Ge => arg >= self.value,
            Operator::MaskedEq(mask) => arg & mask == self.value,
        }
    }

    /// Whether no value meets it.
    #[must_use]
    pub const fn never_holds(&self) -> bool {
        match self.operator {
            Operator::Lt => self.value == 0,
            Operator::Gt => self.value == u64::MAX,
            Operator::MaskedEq(mask) => self.value & !mask != 0,
            _ => false,
        }
    }
}

/// A number as people read it: small ones in decimal.
struct Value(u64);

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 { write!(out, "{}", self.0) } else { write!(out, "{:#x}", self.0) }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = Value(self.value);
        let sign = match self.operator {
            Operator::Eq => "==",
            Operator::Ne => "!=",
            Operator::Lt => "<",
            Operator::Le => "<=",
            Operator::Gt => ">",
            Operator::Ge => ">=",
            Operator::MaskedEq(0xffff_ffff) => {
                return write!(out, "int arg{} == {value}", self.arg);
            }
            Operator::MaskedEq(mask) => {
                return write!(out, "arg{} & {} == {value}", self.arg, Value(mask));
            }
        };
        write!(out, "arg{} {sign} {value}", self.arg)
    }
}
