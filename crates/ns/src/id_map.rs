//! Id maps of user namespaces: which user and group ids inside stand for which ids outside.
//!
//! Kernel objects: the bytes written to `/proc/PID/uid_map` and `gid_map`; nothing is written
//! here. Manual: user_namespaces(7), newuidmap(1). Invariant: a map without
//! [problems](IdMap::problems) is one that the kernel does not refuse for its form.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The kernel takes at most this many lines (340 since Linux 4.15, 5 before).
pub const LINES_MAX: usize = 340;

/// A map must be written in one `write` of fewer bytes than a page (4096 where pages are smallest).
pub const BYTES_MAX: usize = 4095;

/// User ids or group ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// User ids, `uid_map`.
    Uid,
    /// Group ids, `gid_map`.
    Gid,
}

impl std::fmt::Display for IdKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Uid => "uid",
            Self::Gid => "gid",
        })
    }
}

/// One line of a map: `count` ids from `inside` stand for as many ids from `outside`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// The first id inside the user namespace.
    pub inside: u32,
    /// The first id in the parent user namespace.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

impl IdRange {
    /// A range of `count` ids.
    #[must_use]
    pub const fn new(inside: u32, outside: u32, count: u32) -> Self {
        Self { inside, outside, count }
    }

    fn to_host(self, inside: u32) -> Option<u32> {
        let offset = inside.checked_sub(self.inside)?;
        if offset < self.count { self.outside.checked_add(offset) } else { None }
    }

    fn to_inside(self, host: u32) -> Option<u32> {
        Self::new(self.outside, self.inside, self.count).to_host(host)
    }
}

/// The two maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdMap {
    /// User ids.
    pub uid: Vec<IdRange>,
    /// Group ids.
    pub gid: Vec<IdRange>,
}

/// Where the id map of a new user namespace comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdMapping {
    /// As root a free range of 65536 ids ([`Reservation`](crate::auto_range::Reservation)); as an
    /// ordinary user the caller's own id alone, which needs no helper program.
    #[default]
    Auto,
    /// This map.
    Explicit(IdMap),
    /// The caller as id 0, followed by the caller's ranges of `/etc/subuid` and `/etc/subgid`
    /// ([`caller_map`](crate::sub_id::caller_map)).
    SubIds,
}

/// A reason why the kernel would refuse a map. Lines are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdMapProblem {
    /// There is no line at all.
    #[error("no {kind} is mapped")]
    Missing {
        /// Which map.
        kind: IdKind,
    },
    /// A line maps no id.
    #[error("{kind} line {line} has count 0")]
    ZeroCount {
        /// Which map.
        kind: IdKind,
        /// Which line.
        line: usize,
    },
    /// The ids inside reach 4294967295, which is not an id, or beyond.
    #[error("{kind} line {line} goes past the last id inside")]
    InsideOverflow {
        /// Which map.
        kind: IdKind,
        /// Which line.
        line: usize,
    },
    /// The ids outside reach 4294967295, which is not an id, or beyond.
    #[error("{kind} line {line} goes past the last id outside")]
    OutsideOverflow {
        /// Which map.
        kind: IdKind,
        /// Which line.
        line: usize,
    },
    /// Two lines map the same id inside.
    #[error("{kind} lines {first} and {second} overlap inside")]
    InsideOverlap {
        /// Which map.
        kind: IdKind,
        /// The earlier line.
        first: usize,
        /// The later line.
        second: usize,
    },
    /// Two lines map to the same id outside.
    #[error("{kind} lines {first} and {second} overlap outside")]
    OutsideOverlap {
        /// Which map.
        kind: IdKind,
        /// The earlier line.
        first: usize,
        /// The later line.
        second: usize,
    },
    /// There are more than [`LINES_MAX`] lines; overlaps are not looked for then.
    #[error("{kind} map has {lines} lines, more than {LINES_MAX}")]
    TooManyLines {
        /// Which map.
        kind: IdKind,
        /// How many lines there are.
        lines: usize,
    },
    /// The text is longer than [`BYTES_MAX`].
    #[error("{kind} map has {bytes} bytes, more than {BYTES_MAX}")]
    TooManyBytes {
        /// Which map.
        kind: IdKind,
        /// How many bytes there are.
        bytes: usize,
    },
}

impl IdMap {
    /// One user and one group: `inside_uid` stands for the host's `uid`, `inside_gid` for `gid`.
    ///
    /// An ordinary user may write this map for ids of their own, with setgroups(2) denied.
    #[must_use]
    pub fn single(inside_uid: u32, inside_gid: u32, uid: u32, gid: u32) -> Self {
        Self {
            uid: vec![IdRange::new(inside_uid, uid, 1)],
            gid: vec![IdRange::new(inside_gid, gid, 1)],
        }
    }

    /// Every id stands for itself. Needs privilege over all of them.
    #[must_use]
    pub fn identity() -> Self {
        Self::range(0, 0, u32::MAX)
    }

    /// `count` users and groups from `inside` stand for the host's ids from `outside`.
    #[must_use]
    pub fn range(inside: u32, outside: u32, count: u32) -> Self {
        let range = vec![IdRange::new(inside, outside, count)];
        Self { uid: range.clone(), gid: range }
    }

    /// The lines of one of the two maps.
    #[must_use]
    pub fn ranges(&self, kind: IdKind) -> &[IdRange] {
        match kind {
            IdKind::Uid => &self.uid,
            IdKind::Gid => &self.gid,
        }
    }

    /// The host id that `inside` stands for.
    #[must_use]
    pub fn to_host(&self, kind: IdKind, inside: u32) -> Option<u32> {
        self.ranges(kind).iter().find_map(|range| range.to_host(inside))
    }

    /// The id inside that stands for `host`.
    #[must_use]
    pub fn to_inside(&self, kind: IdKind, host: u32) -> Option<u32> {
        self.ranges(kind).iter().find_map(|range| range.to_inside(host))
    }

    /// Every reason why the kernel would refuse this map.
    #[must_use]
    pub fn problems(&self) -> Vec<IdMapProblem> {
        let mut problems = Vec::new();
        for kind in [IdKind::Uid, IdKind::Gid] {
            find_problems(kind, self.ranges(kind), &mut problems);
        }
        problems
    }

    /// Checks the form of the map.
    ///
    /// # Errors
    /// [`InvalidIdMap`](crate::ErrorKind::InvalidIdMap) with every [`problem`](Error::problems).
    pub fn validate(&self) -> Result<()> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(Error::id_map(problems)) }
    }

    /// The bytes for `/proc/PID/uid_map` or `gid_map`, to be written by one write(2).
    #[must_use]
    pub fn to_bytes(&self, kind: IdKind) -> Vec<u8> {
        let line =
            |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.count);
        self.ranges(kind).iter().map(line).collect::<String>().into_bytes()
    }

    /// The arguments of newuidmap(1) or newgidmap(1) that follow the process id.
    #[must_use]
    pub fn helper_arguments(&self, kind: IdKind) -> Vec<String> {
        let numbers = |range: &IdRange| [range.inside, range.outside, range.count];
        self.ranges(kind).iter().flat_map(numbers).map(|number| number.to_string()).collect()
    }

    /// The whole command line of newuidmap(1) or newgidmap(1) for process `pid`.
    #[must_use]
    pub fn helper_argv(&self, kind: IdKind, pid: u32) -> Vec<String> {
        let program = match kind {
            IdKind::Uid => "newuidmap",
            IdKind::Gid => "newgidmap",
        };
        let mut argv = vec![program.to_owned(), pid.to_string()];
        argv.extend(self.helper_arguments(kind));
        argv
    }
}

fn find_problems(kind: IdKind, ranges: &[IdRange], problems: &mut Vec<IdMapProblem>) {
    if ranges.is_empty() {
        problems.push(IdMapProblem::Missing { kind });
    }
    for (line, range) in ranges.iter().enumerate().take(LINES_MAX) {
        find_line_problems(kind, line, *range, problems);
    }
    if ranges.len() > LINES_MAX {
        problems.push(IdMapProblem::TooManyLines { kind, lines: ranges.len() });
        return;
    }
    let bytes = ranges.iter().map(line_length).sum();
    if bytes > BYTES_MAX {
        problems.push(IdMapProblem::TooManyBytes { kind, bytes });
    }
    find_overlaps(kind, ranges, problems);
}

fn find_line_problems(kind: IdKind, line: usize, range: IdRange, found: &mut Vec<IdMapProblem>) {
    if range.count == 0 {
        found.push(IdMapProblem::ZeroCount { kind, line });
    }
    if range.inside.checked_add(range.count).is_none() {
        found.push(IdMapProblem::InsideOverflow { kind, line });
    }
    if range.outside.checked_add(range.count).is_none() {
        found.push(IdMapProblem::OutsideOverflow { kind, line });
    }
}

fn find_overlaps(kind: IdKind, ranges: &[IdRange], found: &mut Vec<IdMapProblem>) {
    for (second, b) in ranges.iter().enumerate() {
        for (first, a) in ranges.iter().enumerate().take(second) {
            if overlap((a.inside, a.count), (b.inside, b.count)) {
                found.push(IdMapProblem::InsideOverlap { kind, first, second });
            }
            if overlap((a.outside, a.count), (b.outside, b.count)) {
                found.push(IdMapProblem::OutsideOverlap { kind, first, second });
            }
        }
    }
}

/// Whether two ranges of (first, count) have an id in common.
pub(crate) fn overlap(a: (u32, u32), b: (u32, u32)) -> bool {
    let end = |range: (u32, u32)| u64::from(range.0) + u64::from(range.1);
    let start = u64::from(a.0.max(b.0));
    start < end(a).min(end(b))
}

/// The bytes of one rendered line, without rendering it.
fn line_length(range: &IdRange) -> usize {
    let digits = |number: u32| number.checked_ilog10().map_or(1, |log| log as usize + 1);
    digits(range.inside) + digits(range.outside) + digits(range.count) + 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn renders_what_the_kernel_reads() {
        let map = IdMap::single(0, 0, 1000, 100);
        assert_eq!(map.to_bytes(IdKind::Uid), b"0 1000 1\n");
        assert_eq!(map.helper_argv(IdKind::Gid, 7), ["newgidmap", "7", "0", "100", "1"]);
        assert_eq!(IdMap::identity().to_bytes(IdKind::Uid), b"0 0 4294967295\n");
        IdMap::identity().validate().unwrap();
        IdMap::single(u32::MAX - 1, 0, u32::MAX - 1, 0).validate().unwrap();
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let uid = vec![
            IdRange::new(0, 100, 0),
            IdRange::new(u32::MAX, u32::MAX, 1),
            IdRange::new(5, 500, 10),
            IdRange::new(14, 509, 2),
        ];
        let kind = IdKind::Uid;
        let error = IdMap { uid, gid: vec![] }.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidIdMap);
        assert_eq!(
            error.problems(),
            [
                IdMapProblem::ZeroCount { kind, line: 0 },
                IdMapProblem::InsideOverflow { kind, line: 1 },
                IdMapProblem::OutsideOverflow { kind, line: 1 },
                IdMapProblem::InsideOverlap { kind, first: 2, second: 3 },
                IdMapProblem::OutsideOverlap { kind, first: 2, second: 3 },
                IdMapProblem::Missing { kind: IdKind::Gid },
            ]
        );
        assert!(error.to_string().contains("uid lines 2 and 3 overlap inside; "), "{error}");
    }

    fn many(lines: u32, first: u32) -> IdMap {
        let ranges = (0..lines).map(|n| IdRange::new(2 * n, first + 2 * n, 1)).collect();
        IdMap { uid: ranges, gid: vec![IdRange::new(0, 0, 1)] }
    }

    #[test]
    fn lines_and_bytes_are_limited() {
        many(340, 0).validate().unwrap();
        let [IdMapProblem::TooManyLines { lines: 341, .. }] = many(341, 0).problems()[..] else {
            panic!("{:?}", many(341, 0).problems());
        };
        let long = many(340, 4_000_000_000);
        let bytes = long.to_bytes(IdKind::Uid).len();
        let expected = IdMapProblem::TooManyBytes { kind: IdKind::Uid, bytes };
        assert_eq!(long.problems(), [expected]);
        many(100_000, 0).validate().unwrap_err();
    }

    /// What a map means, id by id; `None` when an id is mapped twice.
    fn model(ranges: &[IdRange]) -> Option<BTreeMap<u32, u32>> {
        let mut pairs = BTreeMap::new();
        let mut hosts = std::collections::BTreeSet::new();
        for range in ranges {
            for offset in 0..range.count {
                let fresh = hosts.insert(range.outside + offset);
                if pairs.insert(range.inside + offset, range.outside + offset).is_some() || !fresh {
                    return None;
                }
            }
        }
        Some(pairs)
    }

    fn ranges(max: u32) -> impl Strategy<Value = Vec<IdRange>> {
        let range = (0..max, 0..max, 0..20u32).prop_map(|(i, o, c)| IdRange::new(i, o, c));
        prop::collection::vec(range, 0..6)
    }

    proptest! {
        #[test]
        fn validation_agrees_with_the_model(uid in ranges(60), gid in ranges(200)) {
            let good = |ranges: &[IdRange]| {
                !ranges.is_empty() && ranges.iter().all(|r| r.count > 0) && model(ranges).is_some()
            };
            let expected = good(&uid) && good(&gid);
            let map = IdMap { uid, gid };
            prop_assert_eq!(map.validate().is_ok(), expected, "{:?}", map.problems());
        }

        #[test]
        fn lookups_agree_with_the_model(uid in ranges(200)) {
            if let Some(pairs) = model(&uid) {
                let map = IdMap { uid, gid: vec![] };
                for id in 0..250 {
                    prop_assert_eq!(map.to_host(IdKind::Uid, id), pairs.get(&id).copied());
                    let back = pairs.iter().find(|(_, host)| **host == id).map(|(inside, _)| *inside);
                    prop_assert_eq!(map.to_inside(IdKind::Uid, id), back);
                }
            }
        }

        #[test]
        fn overflow_is_what_does_not_fit(inside: u32, outside: u32, count in 1u32..) {
            let map = IdMap::range(inside, outside, count);
            let fits = |first: u32| u64::from(first) + u64::from(count) <= u64::from(u32::MAX);
            prop_assert_eq!(map.validate().is_ok(), fits(inside) && fits(outside));
            for id in [inside, outside, u32::MAX, 0] {
                let host = map.to_host(IdKind::Uid, id);
                prop_assert!(host.is_none_or(|host| map.to_inside(IdKind::Gid, host) == Some(id)));
            }
        }

        #[test]
        fn lengths_are_right(inside: u32, outside: u32, count: u32) {
            let map = IdMap::range(inside, outside, count);
            prop_assert_eq!(map.to_bytes(IdKind::Uid).len(), line_length(&map.uid[0]));
            let json = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(serde_json::from_str::<IdMap>(&json).unwrap(), map);
        }
    }
}
