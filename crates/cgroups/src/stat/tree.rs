//! What the kernel says about a group itself, whichever controllers are on.
//!
//! Kernel objects: `cgroup.events`, `cgroup.stat` and `cpuset.cpus.effective` of cgroup v2;
//! `freezer.state`, `cgroup.procs` and `cpuset.effective_cpus` of v1. Invariant: nothing is counted
//! by walking the tree.

use serde::{Deserialize, Serialize};

use super::files::{Dir, Files};
use super::keyed;
use crate::error::Result;

/// The state of a group with all groups below it (`cgroup.events`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// Whether it has live processes. On v1 only the group itself is looked at.
    pub populated: Option<bool>,
    /// Whether it is frozen (v1 `freezer.state`). v2 since Linux 5.2.
    pub frozen: Option<bool>,
}

/// Groups below a group (`cgroup.stat`; not on v1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Descendants {
    /// Groups that are there.
    pub nr_descendants: Option<u64>,
    /// Groups that were removed and still hold memory.
    pub nr_dying_descendants: Option<u64>,
}

/// The processors and memory nodes that a group may use in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cpuset {
    /// A list such as `0-3,7` (`cpuset.cpus.effective`; v1 `cpuset.effective_cpus`).
    pub cpus_effective: Option<String>,
    /// The same of memory nodes (`cpuset.mems.effective`; v1 `cpuset.effective_mems`).
    pub mems_effective: Option<String>,
}

impl State {
    /// Reads `cgroup.events`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut state = Self::default();
        for (key, value) in keyed::flat(text) {
            match key {
                "populated" => state.populated = Some(value != 0),
                "frozen" => state.frozen = Some(value != 0),
                _ => {}
            }
        }
        state
    }
}

impl State {
    /// Takes the list of v1's `cgroup.procs`.
    pub(crate) fn add_v1_processes(&mut self, list: &str) {
        let here = !list.trim_ascii().is_empty();
        self.populated = Some(here || self.populated == Some(true));
    }
}

impl Descendants {
    /// Reads `cgroup.stat`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut descendants = Self::default();
        for (key, value) in keyed::flat(text) {
            match key {
                "nr_descendants" => descendants.nr_descendants = Some(value),
                "nr_dying_descendants" => descendants.nr_dying_descendants = Some(value),
                _ => {}
            }
        }
        descendants
    }
}

/// Reads v1's `freezer.state`: whether all of the group is frozen.
#[must_use]
pub fn parse_freezer_state(text: &str) -> Option<bool> {
    match text.trim_ascii() {
        "FROZEN" => Some(true),
        "THAWED" | "FREEZING" => Some(false),
        _ => None,
    }
}

/// Reads the state of a group from its v2 directory and from one of v1 (the freezer's, if there is
/// one). A group that has both has processes if either has, and is frozen by v1.
pub(crate) fn read_state(
    files: &mut Files,
    v2: Option<Dir<'_>>,
    v1: Option<Dir<'_>>,
) -> Result<State> {
    let mut state = State::default();
    if let Some(dir @ Dir::V2(_)) = v2 {
        state = files.read(dir, "cgroup.events")?.map(State::parse).unwrap_or_default();
    }
    if let Some(dir @ Dir::V1(_)) = v1 {
        if let Some(list) = files.read(dir, "cgroup.procs")? {
            state.add_v1_processes(list);
        }
        let frozen = files.read(dir, "freezer.state")?.and_then(parse_freezer_state);
        state.frozen = frozen.or(state.frozen);
    }
    Ok(state)
}

/// Reads `cgroup.stat`; v1 has none.
pub(crate) fn read_descendants(files: &mut Files, dir: Dir<'_>) -> Result<Descendants> {
    Ok(files.read(dir, "cgroup.stat")?.map(Descendants::parse).unwrap_or_default())
}

/// Reads what the cpuset controller lets the group use.
pub(crate) fn read_cpuset(files: &mut Files, dir: Dir<'_>) -> Result<Cpuset> {
    let names = match dir {
        Dir::V1(_) => ["cpuset.effective_cpus", "cpuset.effective_mems"],
        Dir::V2(_) => ["cpuset.cpus.effective", "cpuset.mems.effective"],
    };
    let mut list = |name| files.read(dir, name).map(|text| text.map(|t| t.trim_ascii().to_owned()));
    let [cpus, mems] = names.map(&mut list);
    Ok(Cpuset { cpus_effective: cpus?, mems_effective: mems? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_yes_or_no() {
        let state = State::parse("populated 1\nfrozen 0\nother 4\n");
        assert_eq!((state.populated, state.frozen), (Some(true), Some(false)));
        assert_eq!(State::parse("populated x\n"), State::default());
    }

    #[test]
    fn a_group_that_is_freezing_is_not_frozen() {
        let states =
            [("FROZEN\n", Some(true)), ("FREEZING\n", Some(false)), ("THAWED\n", Some(false))];
        for (text, frozen) in states {
            assert_eq!(parse_freezer_state(text), frozen);
        }
        assert_eq!(parse_freezer_state("frozen"), None);
    }

    #[test]
    fn descendants_are_counted_by_the_kernel() {
        let text = "nr_descendants 3\nnr_subsys_memory 2\nnr_dying_descendants 1\n";
        let counts = Descendants::parse(text);
        assert_eq!((counts.nr_descendants, counts.nr_dying_descendants), (Some(3), Some(1)));
    }
}
