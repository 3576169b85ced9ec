//! The program answers as the rules say: a slow reading of the rules against the instructions, run by
//! an interpreter.

use super::*;
use proptest::prelude::*;

/// What the kernel asks.
#[derive(Clone, Copy, Debug)]
struct Question {
    kind: u32,
    access: u32,
    major: u32,
    minor: u32,
}

/// The rules' own words: for each kind of access that is asked for, the last rule that matches.
fn by_the_rules(rules: &[DeviceRule], question: Question) -> bool {
    let asked = ACCESS.iter().filter(|(_, bit)| question.access & bit != 0);
    asked.into_iter().all(|(access, _)| {
        let matches = |rule: &&DeviceRule| {
            let kind = match rule.kind() {
                DeviceKind::Any => true,
                DeviceKind::Block => question.kind == BLOCK,
                DeviceKind::Char => question.kind == CHAR,
            };
            kind && rule.major_number().is_none_or(|major| major == question.major)
                && rule.minor_number().is_none_or(|minor| minor == question.minor)
                && rule.access().contains(*access)
        };
        let last = rules.iter().rev().find(matches);
        last.is_some_and(|rule| rule.action() == DeviceAction::Allow)
    })
}

/// Runs the instructions; every run ends, because jumps go forward.
fn by_the_program(program: &Program, question: Question) -> bool {
    let words = [question.kind | (question.access << 16), question.major, question.minor];
    let mut registers = [None; 5];
    let mut at = 0;
    loop {
        let instruction = program.instructions()[at];
        at += 1;
        let get = |registers: &[Option<u32>; 5], register: Register| -> u32 {
            registers[register as usize].expect("set before it is read")
        };
        match instruction {
            Instruction::Load { to, offset } => {
                registers[to as usize] = Some(words[usize::try_from(offset).unwrap() / 4]);
            }
            Instruction::Copy { to, from } => {
                registers[to as usize] = Some(get(&registers, from));
            }
            Instruction::Set { to, value } => registers[to as usize] = Some(value),
            Instruction::And { to, mask } => {
                registers[to as usize] = Some(get(&registers, to) & mask);
            }
            Instruction::ShiftRight { to, bits } => {
                registers[to as usize] = Some(get(&registers, to) >> bits);
            }
            Instruction::SkipIf { register, value, skip } => {
                at += usize::from(skip) * usize::from(get(&registers, register) == value);
            }
            Instruction::SkipUnless { register, value, skip } => {
                at += usize::from(skip) * usize::from(get(&registers, register) != value);
            }
            Instruction::Exit => return get(&registers, Register::Answer) == 1,
        }
    }
}

fn rules(texts: &[&str]) -> Vec<DeviceRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn no_rule_denies_all() {
    let program = Program::new(&[]);
    assert_eq!(program.instructions().len(), 6);
    let question = Question { kind: CHAR, access: 2, major: 1, minor: 3 };
    assert!(!by_the_program(&program, question));
    assert!(by_the_program(&Program::new(&rules(&["allow a *:* rwm"])), question));
}

#[test]
fn rules_without_effect_make_no_instructions() {
    let same = [
        (vec!["allow c 1:3 rwm", "deny a *:* rwm"], vec![]),
        (vec!["deny c 1:3 w", "deny b *:* m"], vec![]),
        (vec!["allow c 1:3 r", "allow c 1:* rw"], vec!["allow c 1:* rw"]),
        (vec!["allow a *:* rwm", "allow c 1:3 r"], vec!["allow a *:* rwm"]),
        (vec!["allow c 1:3 r", "deny c 1:3 rw"], vec![]),
        (vec!["allow c 1:3 r", "deny b 1:3 r"], vec!["allow c 1:3 r"]),
    ];
    for (long, short) in same {
        assert_eq!(Program::new(&rules(&long)), Program::new(&rules(&short)), "{long:?}");
    }
}

#[test]
fn a_program_can_be_read() {
    let text = Program::new(&rules(&["allow c 1:3 rw"])).to_string();
    let lines: Vec<_> = text.lines().skip(4).map(|line| line.get(4..).unwrap()).collect();
    let expected = [
        "if kind != 2 skip 8",
        "scratch = question[4]",
        "if scratch != 1 skip 6",
        "scratch = question[8]",
        "if scratch != 3 skip 4",
        "access &= 0x1",
        "if access != 0 skip 2",
        "answer = 1",
        "exit",
        "answer = 0",
        "exit",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn rights_may_come_from_two_rules() {
    let program = Program::new(&rules(&["allow c 1:* r", "allow c *:3 w"]));
    let ask =
        |access, minor| by_the_program(&program, Question { kind: CHAR, access, major: 1, minor });
    assert!(ask(6, 3) && ask(2, 5) && !ask(6, 5) && !ask(7, 3));
}

fn any_rule() -> impl Strategy<Value = DeviceRule> {
    let number = || prop_oneof![Just("*".to_owned()), (0u32..3).prop_map(|n| n.to_string())];
    let access = prop::sample::select(vec!["r", "w", "m", "rw", "rm", "wm", "rwm"]);
    let words = (prop::bool::ANY, prop::sample::select(vec!["a", "b", "c"]), number(), number());
    (words, access).prop_map(|((allow, kind, major, minor), access)| {
        let action = if allow { "allow" } else { "deny" };
        format!("{action} {kind} {major}:{minor} {access}").parse().unwrap()
    })
}

/// A question about no access is left out: it comes from access(2) with `X_OK`, and opens nothing.
fn every_question() -> impl Iterator<Item = Question> {
    let numbers = (0..4).flat_map(|major| (0..4).map(move |minor| (major, minor)));
    let kinds = [BLOCK, CHAR].into_iter().flat_map(|kind| (1..8).map(move |access| (kind, access)));
    let kinds: Vec<_> = kinds.collect();
    numbers.flat_map(move |(major, minor)| {
        let ask = move |(kind, access)| Question { kind, access, major, minor };
        kinds.clone().into_iter().map(ask)
    })
}

proptest! {
    #[test]
    fn the_program_does_what_the_rules_say(rules in prop::collection::vec(any_rule(), 0..12)) {
        let program = Program::new(&rules);
        for question in every_question() {
            let (slow, fast) = (by_the_rules(&rules, question), by_the_program(&program, question));
            prop_assert_eq!(slow, fast, "{:?}\n{}", question, program);
        }
    }

    #[test]
    fn large_numbers_are_compared_whole(major: u32, minor: u32) {
        let rules = [DeviceRule::allow_block(major, minor, DeviceAccess::all())];
        let question = Question { kind: BLOCK, access: 7, major, minor };
        prop_assert!(by_the_program(&Program::new(&rules), question));
        let other = Question { minor: minor ^ (1 << 31), ..question };
        prop_assert!(!by_the_program(&Program::new(&rules), other));
    }
}
