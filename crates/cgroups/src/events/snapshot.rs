//! The counters of a group at one moment, and what happened between two.
//!
//! Kernel objects: none. Invariant: a counter that is not there, or that went back, makes no event.

use serde::{Deserialize, Serialize};

use crate::stat::{MemoryEvents, State};

/// Something that happened to a group or to a group below it.
///
/// `count` is how often since the last event of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// Memory was reclaimed although usage was below `memory.low` (v2).
    MemoryLow {
        /// How often.
        count: u64,
    },
    /// Processes were slowed down because usage was above `memory.high` (v2).
    MemoryHigh {
        /// How often.
        count: u64,
    },
    /// Usage was about to go above the limit, and something had to be reclaimed.
    MemoryMax {
        /// How often.
        count: u64,
    },
    /// The limit was reached and nothing could be reclaimed. On v1 also when it was the limit of a
    /// group above.
    Oom {
        /// How often.
        count: u64,
    },
    /// The OOM killer killed processes of the group.
    OomKill {
        /// How many processes.
        count: u64,
    },
    /// The OOM killer killed all of a group, because of `memory.oom.group` (v2, Linux 5.17).
    OomGroupKill {
        /// How often.
        count: u64,
    },
    /// A fork failed because of the limit of processes.
    PidsMax {
        /// How often.
        count: u64,
    },
    /// The group was frozen (`true`) or thawed. What was undone before it was read makes no event.
    Frozen(bool),
    /// The group has got its first live process (`true`) or lost the last. What was undone before it
    /// was read makes no event.
    Populated(bool),
    /// The group has been removed. It is the last event.
    Removed,
}

/// The counters and the state of a group at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// `memory.events`; on v1 the group alone, see [`Memory::events`](crate::stat::Memory::events).
    pub memory: MemoryEvents,
    /// `memory.events.local`; on v1 the same as `memory`.
    pub memory_local: MemoryEvents,
    /// `pids.events`.
    pub pids_max: Option<u64>,
    /// Populated, frozen.
    pub state: State,
}

impl Snapshot {
    /// What happened between `self` and a later snapshot, the end of the group last.
    #[must_use]
    pub fn until(&self, later: &Self) -> Vec<Event> {
        let (old, new) = (&self.memory, &later.memory);
        let counters = [
            grown(old.low, new.low).map(|count| Event::MemoryLow { count }),
            grown(old.high, new.high).map(|count| Event::MemoryHigh { count }),
            grown(old.max, new.max).map(|count| Event::MemoryMax { count }),
            grown(old.oom, new.oom).map(|count| Event::Oom { count }),
            grown(old.oom_kill, new.oom_kill).map(|count| Event::OomKill { count }),
            grown(old.oom_group_kill, new.oom_group_kill)
                .map(|count| Event::OomGroupKill { count }),
            grown(self.pids_max, later.pids_max).map(|count| Event::PidsMax { count }),
        ];
        let states = [
            changed(self.state.frozen, later.state.frozen).map(Event::Frozen),
            changed(self.state.populated, later.state.populated).map(Event::Populated),
        ];
        counters.into_iter().chain(states).flatten().collect()
    }
}

/// By how much a counter grew; a counter that was not there begins at zero.
pub(super) fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    after?.checked_sub(before.unwrap_or(0)).filter(|grown| *grown > 0)
}

fn changed(before: Option<bool>, after: Option<bool>) -> Option<bool> {
    if before == after { None } else { after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(memory: &str, state: &str) -> Snapshot {
        let (memory, state) = (MemoryEvents::parse(memory), State::parse(state));
        Snapshot { memory, state, ..Snapshot::default() }
    }

    #[test]
    fn the_kill_comes_before_the_end() {
        let before = snapshot("max 3\noom 0\noom_kill 0\n", "populated 1\nfrozen 0\n");
        let after = snapshot("max 9\noom 1\noom_kill 2\n", "populated 0\nfrozen 0\n");
        let events = [
            Event::MemoryMax { count: 6 },
            Event::Oom { count: 1 },
            Event::OomKill { count: 2 },
            Event::Populated(false),
        ];
        assert_eq!(before.until(&after), events);
        assert_eq!(after.until(&after), []);
    }

    #[test]
    fn counters_never_make_negative_events() {
        let (before, after) = (snapshot("oom_kill 5\n", ""), snapshot("oom_kill 1\n", ""));
        assert_eq!(before.until(&after), []);
        assert_eq!(before.until(&Snapshot::default()), []);
        let first = Snapshot::default().until(&before);
        assert_eq!(first, [Event::OomKill { count: 5 }]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_reads(steps in proptest::collection::vec(0u64..5, 1..20)) {
            let mut total = 0;
            let mut last = Snapshot { pids_max: Some(0), ..Snapshot::default() };
            for step in &steps {
                let next = last.pids_max.map(|count| count + step);
                let next = Snapshot { pids_max: next, ..Snapshot::default() };
                for event in last.until(&next) {
                    match event {
                        Event::PidsMax { count } => total += count,
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
                last = next;
            }
            prop_assert_eq!(total, steps.iter().sum::<u64>());
        }
    }
}
