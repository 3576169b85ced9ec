//! From rules in order to choices without order, which is what libseccomp knows.
//!
//! Kernel objects: none. Invariant: at most one action's choices hold for any arguments; where none does, it is the
//! default action.

use crate::action::Action;
use crate::condition::{Condition, Operator};
use crate::filter::Rule;
use crate::problem::Inexpressible;

/// An action and the conditions under which it counts.
type Choice = (Action, Vec<Condition>);

/// A value's bits that matter, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cube {
    mask: u64,
    value: u64,
}

/// More choices than this for one call are not worth it.
const CHOICES_MAX: usize = 1024;

/// The choices of one call's rules, without those of the default action; `absent` are the bits that no argument has.
pub(super) fn choices(
    rules: &[&Rule],
    default: Action,
    absent: u64,
) -> Result<Vec<Choice>, Inexpressible> {
    let end = rules.iter().position(|rule| rule.conditions.is_empty());
    let last = end.and_then(|end| rules.get(end)).map_or(default, |rule| rule.action);
    let special = rules.get(..end.unwrap_or(rules.len())).unwrap_or(rules);
    let plain = || special.iter().map(|rule| (rule.action, rule.conditions.clone()));
    let mut choices: Vec<Choice> = if special.iter().all(|rule| rule.action == last) {
        vec![(last, Vec::new())]
    } else if last == default && are_disjoint(special) {
        if special.iter().any(|rule| repeats(rule)) {
            return Err(Inexpressible::SameArgument);
        }
        plain().collect()
    } else {
        cut_up(special, last, absent).ok_or(Inexpressible::Overlap)?
    };
    choices.retain(|(action, _)| *action != default);
    Ok(choices)
}

/// Whether a rule compares one argument twice, for which libseccomp has no place.
fn repeats(rule: &Rule) -> bool {
    let args = || rule.conditions.iter().map(|condition| condition.arg);
    args().any(|arg| args().filter(|other| *other == arg).count() > 1)
}

/// Whether rules with different actions never hold together.
fn are_disjoint(rules: &[&Rule]) -> bool {
    let pairs = rules
        .iter()
        .enumerate()
        .flat_map(|(at, one)| rules.iter().take(at).map(move |other| (one, other)));
    pairs.filter(|(one, other)| one.action != other.action).all(|(one, other)| {
        let mut pairs =
            one.conditions.iter().flat_map(|a| other.conditions.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.arg == b.arg && excludes(a, b))
    })
}

/// Whether two conditions on one argument surely do not hold together.
fn excludes(a: &Condition, b: &Condition) -> bool {
    let holds = |condition: &Condition, value| {
        Condition { arg: 0, ..*condition }.holds(&[value, 0, 0, 0, 0, 0])
    };
    match (a.operator, b.operator) {
        (Operator::Eq, _) => !holds(b, a.value),
        (_, Operator::Eq) => !holds(a, b.value),
        (Operator::MaskedEq(one), Operator::MaskedEq(other)) => {
            (a.value ^ b.value) & one & other != 0
        }
        _ => false,
    }
}

/// Rules that compare one and the same argument for equality: each takes its part of what the ones before left.
///
/// A part that differs in an absent bit holds for nothing, but libseccomp would compare the other bits alone.
fn cut_up(rules: &[&Rule], last: Action, absent: u64) -> Option<Vec<Choice>> {
    let arg = rules.first()?.conditions.first()?.arg;
    let mut left = vec![Cube { mask: absent, value: 0 }];
    let mut choices: Vec<(Action, Cube)> = Vec::new();
    for rule in rules {
        let [condition] = rule.conditions.as_slice() else { return None };
        let cube = cube(condition).filter(|_| condition.arg == arg)?;
        choices.extend(left.iter().filter_map(|part| Some((rule.action, both(*part, cube)?))));
        left = left.iter().flat_map(|part| without(*part, cube)).collect();
        if left.len() + choices.len() > CHOICES_MAX {
            return None;
        }
    }
    choices.extend(left.into_iter().map(|part| (last, part)));
    let condition = |cube: Cube| Condition {
        arg,
        operator: Operator::MaskedEq(cube.mask & !absent),
        value: cube.value,
    };
    Some(choices.into_iter().map(|(action, cube)| (action, vec![condition(cube)])).collect())
}

fn cube(condition: &Condition) -> Option<Cube> {
    match condition.operator {
        Operator::Eq => Some(Cube { mask: u64::MAX, value: condition.value }),
        Operator::MaskedEq(mask) => Some(Cube { mask, value: condition.value }),
        _ => None,
    }
}

/// What is in both.
fn both(a: Cube, b: Cube) -> Option<Cube> {
    let differ = (a.value ^ b.value) & a.mask & b.mask != 0;
    (!differ).then_some(Cube { mask: a.mask | b.mask, value: a.value | b.value })
}

/// What of `from` is not in `taken`: for each further bit of it, the part that has the bits before and not this one.
fn without(from: Cube, taken: Cube) -> Vec<Cube> {
    if both(from, taken).is_none() {
        return vec![from];
    }
    let mut part = from;
    let mut parts = Vec::new();
    for bit in (0..64).map(|bit| 1_u64 << bit).filter(|bit| taken.mask & !from.mask & bit != 0) {
        let has = taken.value & bit;
        parts.push(Cube { mask: part.mask | bit, value: part.value | (has ^ bit) });
        part = Cube { mask: part.mask | bit, value: part.value | has };
    }
    parts
}
