//! Whose limit made the OOM killer run.
//!
//! Kernel objects: none. Invariant: the answer follows from counters alone.

use serde::{Deserialize, Serialize};

use super::snapshot::grown;
use crate::stat::MemoryEvents;

/// Whose limit was reached when processes of a group were killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OomCause {
    /// The group's own.
    Own,
    /// That of a group below it.
    Descendant,
    /// That of the ancestor with this index, the parent being 0.
    Ancestor(usize),
    /// No group's: the machine, or an ancestor that was not looked at, had no memory left.
    Outside,
    /// Not known: v1 did not count it. Since Linux 6.13 it does not count how often the limit of memory
    /// and swap together (`memory.memsw.limit_in_bytes`) is met.
    Unknown,
}

/// A group's `memory.events` and `memory.events.local` before and after.
#[derive(Clone, Copy, Debug)]
pub struct Counters<'a> {
    /// `memory.events` (the group with all below it).
    pub events: [&'a MemoryEvents; 2],
    /// `memory.events.local` (the group alone).
    pub local: [&'a MemoryEvents; 2],
}

/// Whose limit killed processes of `group`; `None` when none was killed.
///
/// The kernel counts `oom` at the group whose limit was reached, and `oom_kill` at the group of the
/// process that was killed. `ancestors` are the groups above, nearest first, with the same two
/// moments. v1 does not count `oom`: there the times that the limit was met (`max`) decide.
#[must_use]
pub fn oom_cause(group: Counters<'_>, ancestors: &[Counters<'_>]) -> Option<OomCause> {
    let [before, after] = group.events;
    grown(before.oom_kill, after.oom_kill)?;
    if limit_met(group.local) {
        return Some(OomCause::Own);
    }
    if limit_met(group.events) {
        return Some(OomCause::Descendant);
    }
    let none = if after.oom.is_some() { OomCause::Outside } else { OomCause::Unknown };
    let ancestor = ancestors.iter().position(|each| limit_met(each.local));
    Some(ancestor.map_or(none, OomCause::Ancestor))
}

fn limit_met([before, after]: [&MemoryEvents; 2]) -> bool {
    match after.oom {
        Some(_) => grown(before.oom, after.oom).is_some(),
        None => grown(before.max, after.max).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters of a group: `events` and `local` as `[before, after]`.
    fn cause(events: [&str; 2], local: [&str; 2], above: &[[&str; 2]]) -> Option<OomCause> {
        let [events, local] = [events, local].map(|pair| pair.map(MemoryEvents::parse));
        let above: Vec<_> = above.iter().map(|pair| pair.map(MemoryEvents::parse)).collect();
        let ancestors =
            above.iter().map(|pair| Counters { events: pair.each_ref(), local: pair.each_ref() });
        let group = Counters { events: events.each_ref(), local: local.each_ref() };
        oom_cause(group, &ancestors.collect::<Vec<_>>())
    }

    const NONE: &str = "max 1\noom 1\noom_kill 1\n";
    const OOM: &str = "max 9\noom 2\noom_kill 1\n";
    const KILL: &str = "max 1\noom 1\noom_kill 2\n";
    const BOTH: &str = "max 9\noom 2\noom_kill 2\n";

    #[test]
    fn no_kill_no_cause() {
        assert_eq!(cause([NONE, OOM], [NONE, OOM], &[]), None);
        assert_eq!(cause(["", ""], ["", ""], &[]), None);
    }

    #[test]
    fn the_nearest_group_that_met_its_limit() {
        let table = [
            ([NONE, BOTH], [NONE, BOTH], [NONE, NONE], OomCause::Own),
            ([NONE, BOTH], [NONE, NONE], [NONE, OOM], OomCause::Descendant),
            ([NONE, KILL], [NONE, KILL], [NONE, OOM], OomCause::Ancestor(1)),
            ([NONE, KILL], [NONE, KILL], [NONE, NONE], OomCause::Outside),
        ];
        for (events, local, above, expected) in table {
            assert_eq!(cause(events, local, &[[NONE, NONE], above]), Some(expected));
        }
    }

    #[test]
    fn v1_goes_by_the_times_the_limit_was_met() {
        let (before, own, other) = ("max 0\noom_kill 0", "max 4\noom_kill 1", "max 0\noom_kill 1");
        assert_eq!(cause([before, own], [before, own], &[]), Some(OomCause::Own));
        let above = [["max 0\n", "max 7\n"]];
        let ancestor = cause([before, other], [before, other], &above);
        assert_eq!(ancestor, Some(OomCause::Ancestor(0)));
        assert_eq!(cause([before, other], [before, other], &[]), Some(OomCause::Unknown));
    }
}
