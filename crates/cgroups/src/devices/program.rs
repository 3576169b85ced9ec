//! From rules to a program.
//!
//! Kernel objects: none. Invariant: rules that cannot change any answer make no instructions; the order
//! of the program is the reverse of the rules, so that the first one that matches decides.

use std::fmt;

use super::instruction::{Instruction, Register};
use crate::{DeviceAccess, DeviceAction, DeviceKind, DeviceRule};

/// What the kernel calls the kinds of device (`BPF_DEVCG_DEV_*`).
const BLOCK: u32 = 1;
const CHAR: u32 = 2;
/// What the kernel calls the kinds of access (`BPF_DEVCG_ACC_*`).
const ACCESS: [(DeviceAccess, u32); 3] =
    [(DeviceAccess::MKNOD, 1), (DeviceAccess::READ, 2), (DeviceAccess::WRITE, 4)];
/// All of them.
const ALL: u32 = 7;

/// A device program: instructions that decide what the rules decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    /// Compiles rules. They are taken in order, from "nothing is allowed": for each kind of access the
    /// last rule that matches decides.
    #[must_use]
    pub fn new(rules: &[DeviceRule]) -> Self {
        let (otherwise, rules) = fold(rules);
        let mut instructions = prologue();
        for rule in rules.iter().rev() {
            add_rule(&mut instructions, rule);
        }
        instructions.extend(answer(otherwise));
        Self { instructions }
    }

    /// The instructions, in order.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The program as the kernel takes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u64> {
        self.instructions.iter().map(|instruction| instruction.encode()).collect()
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.instructions.iter().enumerate();
        lines.try_for_each(|(number, instruction)| writeln!(f, "{number:3} {instruction}"))
    }
}

/// What is decided without a rule, and the rules that still matter, in order.
fn fold(rules: &[DeviceRule]) -> (DeviceAction, Vec<DeviceRule>) {
    let from = rules.iter().rposition(DeviceRule::is_all);
    let otherwise =
        from.and_then(|at| rules.get(at)).map_or(DeviceAction::Deny, DeviceRule::action);
    let rest = rules.get(from.map_or(0, |at| at.saturating_add(1))..).unwrap_or_default();
    let mut kept: Vec<DeviceRule> = Vec::new();
    for rule in rest {
        // A later rule for all that an earlier one is about replaces it.
        kept.retain(|earlier| !covers(rule, earlier));
        // A rule that says what nothing before it denies or allows otherwise is nothing new.
        let changes = |earlier: &DeviceRule| earlier.action() != rule.action();
        let meets = |earlier: &DeviceRule| changes(earlier) && earlier.overlaps(rule);
        if rule.action() != otherwise || kept.iter().any(meets) {
            kept.push(*rule);
        }
    }
    (otherwise, kept)
}

/// Whether every access that `inner` is about is one that `outer` is about.
fn covers(outer: &DeviceRule, inner: &DeviceRule) -> bool {
    fn number(outer: Option<u32>, inner: Option<u32>) -> bool {
        outer.is_none() || outer == inner
    }
    (outer.kind() == DeviceKind::Any || outer.kind() == inner.kind())
        && number(outer.major_number(), inner.major_number())
        && number(outer.minor_number(), inner.minor_number())
        && outer.access().contains(inner.access())
}

/// Takes the question's first word apart: `struct bpf_cgroup_dev_ctx` has access and kind in it.
fn prologue() -> Vec<Instruction> {
    vec![
        Instruction::Load { to: Register::Access, offset: 0 },
        Instruction::Copy { to: Register::Kind, from: Register::Access },
        Instruction::And { to: Register::Kind, mask: 0xffff },
        Instruction::ShiftRight { to: Register::Access, bits: 16 },
    ]
}

/// Where the numbers are in the question.
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

/// If the rule matches: an allowed kind of access is decided, and all is well when none is left; a
/// denied one ends it.
fn add_rule(program: &mut Vec<Instruction>, rule: &DeviceRule) {
    let bits = ACCESS.iter().filter(|(access, _)| rule.access().contains(*access));
    let bits = bits.fold(0, |bits, (_, bit)| bits | bit);
    let kind = match rule.kind() {
        DeviceKind::Any => None,
        DeviceKind::Block => Some(BLOCK),
        DeviceKind::Char => Some(CHAR),
    };
    let mut body = match rule.action() {
        DeviceAction::Allow => vec![
            Instruction::And { to: Register::Access, mask: ALL & !bits },
            Instruction::SkipUnless { register: Register::Access, value: 0, skip: 2 },
        ],
        DeviceAction::Deny => vec![
            Instruction::Copy { to: Register::Scratch, from: Register::Access },
            Instruction::And { to: Register::Scratch, mask: bits },
            Instruction::SkipIf { register: Register::Scratch, value: 0, skip: 2 },
        ],
    };
    body.extend(answer(rule.action()));
    // From the last condition to the first, so that each knows how much it skips.
    for (offset, value) in [(MINOR, rule.minor_number()), (MAJOR, rule.major_number())] {
        let Some(value) = value else { continue };
        // The numbers are read for each rule anew: of a kept one the verifier would follow every value
        // through all later rules, and refuse a program of some hundred rules.
        let load = Instruction::Load { to: Register::Scratch, offset };
        body.splice(0..0, [load, skip_unless(Register::Scratch, value, &body)]);
    }
    if let Some(kind) = kind {
        body.insert(0, skip_unless(Register::Kind, kind, &body));
    }
    program.extend(body);
}

/// Skips all of `body` unless the register has the value.
fn skip_unless(register: Register, value: u32, body: &[Instruction]) -> Instruction {
    let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
    Instruction::SkipUnless { register, value, skip }
}

fn answer(action: DeviceAction) -> [Instruction; 2] {
    let value = match action {
        DeviceAction::Allow => 1,
        DeviceAction::Deny => 0,
    };
    [Instruction::Set { to: Register::Answer, value }, Instruction::Exit]
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
