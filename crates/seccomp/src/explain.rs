//! A filter as people read it.
//!
//! Kernel objects: none. Invariant: what is printed is decided by the same rules as the program, in the same order.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::action::Action;
use crate::arch::Arch;
use crate::condition::Condition;
use crate::filter::{Filter, Rule};
use crate::syscall;

/// Columns of a line.
const WIDTH: usize = 100;

impl Filter {
    /// The filter for people: by entry, what happens to which calls, with their conditions.
    #[must_use]
    pub fn explain(&self) -> Explanation<'_> {
        Explanation(self)
    }
}

/// Prints a filter for people; see [`Filter::explain`].
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a>(&'a Filter);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.0;
        writeln!(out, "default: {}", filter.default)?;
        writeln!(out, "newer calls: {}", filter.newer_action())?;
        let archs: Vec<_> = filter.archs.iter().map(Arch::to_string).collect();
        writeln!(out, "entries: {}; others: {}", archs.join(", "), filter.foreign)?;
        if !filter.flags.is_empty() {
            let names: Vec<_> = filter.flags.iter_names().map(|(name, _)| name).collect();
            writeln!(out, "flags: {}", names.join(", "))?;
        }
        for &arch in &filter.archs {
            entry(filter, arch, out)?;
        }
        Ok(())
    }
}

/// What one entry's calls meet: plain ones by action, then each one with conditions.
fn entry(filter: &Filter, arch: Arch, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut plain: BTreeMap<Action, Vec<&str>> = BTreeMap::new();
    let mut conditional: BTreeMap<&str, String> = BTreeMap::new();
    for (call, rules) in by_call(filter, arch) {
        match rules.as_slice() {
            [first, ..] if first.conditions.is_empty() => {
                plain.entry(first.action).or_default().push(call);
            }
            rules => {
                conditional.insert(call, sentence(rules, filter.default));
            }
        }
    }
    writeln!(out, "{arch}:")?;
    for (action, calls) in plain {
        list(out, action, &calls)?;
    }
    for (call, sentence) in conditional {
        let words: Vec<_> = sentence.split(' ').collect();
        paragraph(out, &format!("  {call}:"), &words)?;
    }
    Ok(())
}

fn by_call(filter: &Filter, arch: Arch) -> BTreeMap<&str, Vec<&Rule>> {
    let mut calls: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in filter.rules.iter().filter(|rule| rule.covers(arch)) {
        for call in rule.calls.iter().filter(|call| syscall::number(arch, call).is_some()) {
            calls.entry(call).or_default().push(rule);
        }
    }
    calls
}

fn list(out: &mut fmt::Formatter<'_>, action: Action, calls: &[&str]) -> fmt::Result {
    writeln!(out, "  {action} ({}):", calls.len())?;
    paragraph(out, "   ", calls)
}

/// Words in lines of [`WIDTH`].
fn paragraph(out: &mut fmt::Formatter<'_>, start: &str, words: &[&str]) -> fmt::Result {
    let mut line = start.to_owned();
    for word in words {
        if line.len() + word.len() + 1 > WIDTH {
            writeln!(out, "{line}")?;
            line.clear();
            line.push_str("   ");
        }
        write!(line, " {word}")?;
    }
    writeln!(out, "{line}")
}

/// `EPERM if …; EINVAL if …; else allow`, alternatives with the same action joined.
fn sentence(rules: &[&Rule], default: Action) -> String {
    let end = rules.iter().position(|rule| rule.conditions.is_empty());
    let last = end.and_then(|end| rules.get(end)).map_or(default, |rule| rule.action);
    let mut parts: Vec<(Action, Vec<String>)> = Vec::new();
    for rule in rules.iter().take(end.unwrap_or(rules.len())) {
        let all: Vec<_> = rule.conditions.iter().map(Condition::to_string).collect();
        let all = all.join(" and ");
        match parts.last_mut() {
            Some((action, any)) if *action == rule.action => any.push(all),
            _ => parts.push((rule.action, vec![all])),
        }
    }
    let mut said = String::new();
    for (action, any) in parts {
        said.push_str(&format!("{action} if {}; ", any.join(" or ")));
    }
    said + &format!("else {last}")
}
