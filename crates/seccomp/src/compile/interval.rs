//! From rules to intervals of numbers, and from these to a search tree.
//!
//! Kernel objects: none. Invariant: the intervals of an entry are in order, without gap, neighbours differ, and together
//! they cover every number.

use std::collections::BTreeMap;

use super::graph::{Ask, Graph, NodeId, Width, word};
use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::bpf::offset;
use crate::filter::{Filter, Rule};
use crate::syscall;

/// From this number up to the next interval.
#[derive(Clone, Copy, Debug)]
struct Interval {
    from: u32,
    leaf: NodeId,
}

/// The graph of a whole filter.
pub(super) fn root(filter: &Filter, graph: &mut Graph) -> NodeId {
    let mut next = graph.action(filter.foreign);
    // The own entry is asked for first, so that it is made last.
    let mut archs: Vec<_> = filter.archs.iter().map(|arch| arch.audit()).collect();
    archs.sort_unstable_by_key(|&audit| (audit == Arch::native().audit(), audit));
    archs.dedup();
    for audit in archs {
        let intervals = intervals(filter, audit, graph);
        let tree = search(&intervals, graph);
        next = graph.test(word(offset::ARCH), Ask::Eq(audit), tree, next);
    }
    next
}

/// The intervals of one audit value; x86-64 has those of x32 behind its own.
fn intervals(filter: &Filter, audit: u32, graph: &mut Graph) -> Vec<Interval> {
    let mut marks = BTreeMap::new();
    let foreign = graph.action(filter.foreign);
    marks.insert(0, foreign);
    let of = |arch: &Arch| arch.audit() == audit && *arch != Arch::X32;
    if let Some(&arch) = filter.archs.iter().find(|arch| of(arch)) {
        mark_entry(filter, arch, 0, graph, &mut marks);
    }
    if audit == Arch::X86_64.audit() {
        // `-1` is never x32.
        let newer =
            filter.archs.contains(&Arch::X86_64).then(|| graph.action(filter.newer_action()));
        marks.insert(u32::MAX, newer.unwrap_or(foreign));
        marks.insert(X32_BIT, foreign);
        if filter.archs.contains(&Arch::X32) {
            mark_entry(filter, Arch::X32, X32_BIT, graph, &mut marks);
        }
    }
    let mut intervals: Vec<Interval> = Vec::with_capacity(marks.len());
    for (from, leaf) in marks {
        if intervals.last().is_none_or(|last| last.leaf != leaf) {
            intervals.push(Interval { from, leaf });
        }
    }
    intervals
}

/// Notes where the answer changes, from the first number of an entry on.
fn mark_entry(
    filter: &Filter,
    arch: Arch,
    first: u32,
    graph: &mut Graph,
    marks: &mut BTreeMap<u32, NodeId>,
) {
    let default = graph.action(filter.default);
    let newer = graph.action(filter.newer_action());
    let highest = syscall::highest(arch);
    marks.insert(first, default);
    marks.insert(highest.saturating_add(1), newer);
    // Known calls that stand apart from the others are not newer ones.
    let apart = syscall::calls(arch).map(|(number, _)| number).filter(|&number| number > highest);
    for number in apart {
        one(marks, number, default, newer);
    }
    for (number, rules) in filter.by_number(arch) {
        let leaf = leaf(&rules, filter.default, arch, graph);
        let behind = if number >= highest { newer } else { default };
        one(marks, number, leaf, behind);
    }
}

/// Notes an answer for one number, and what is behind it, unless that is known.
fn one(marks: &mut BTreeMap<u32, NodeId>, number: u32, leaf: NodeId, behind: NodeId) {
    marks.insert(number, leaf);
    if let Some(next) = number.checked_add(1) {
        marks.entry(next).or_insert(behind);
    }
}

/// What decides one call: the first rule whose conditions hold.
fn leaf(rules: &[&Rule], default: Action, arch: Arch, graph: &mut Graph) -> NodeId {
    let width = if arch.is_32_bit() { Width::Half } else { Width::Full };
    let end = rules.iter().position(|rule| rule.conditions.is_empty());
    let last = end.and_then(|end| rules.get(end)).map_or(default, |rule| rule.action);
    let mut next = graph.action(last);
    for rule in rules.iter().take(end.unwrap_or(rules.len())).rev() {
        let mut yes = graph.action(rule.action);
        for condition in rule.conditions.iter().rev() {
            yes = graph.condition(condition, width, yes, next);
        }
        next = yes;
    }
    next
}

/// A search tree over intervals.
fn search(intervals: &[Interval], graph: &mut Graph) -> NodeId {
    match intervals {
        [] => graph.action(Action::KillProcess),
        [only] => only.leaf,
        // One number apart from its neighbours: one test in place of two.
        [before, one, behind] if before.leaf == behind.leaf && behind.from - one.from == 1 => {
            graph.test(word(offset::NUMBER), Ask::Eq(one.from), one.leaf, before.leaf)
        }
        _ => {
            let (left, right) = intervals.split_at(intervals.len() / 2);
            let from = right.first().map_or(0, |first| first.from);
            let (left, right) = (search(left, graph), search(right, graph));
            graph.test(word(offset::NUMBER), Ask::Ge(from), right, left)
        }
    }
}
