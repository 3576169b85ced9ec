//! The subordinate ids of ordinary users: `/etc/subuid` and `/etc/subgid`.
//!
//! Kernel objects: these two files and `/etc/passwd`, read only. Manual: subuid(5). Ranges that a
//! name service (`subid:` in nsswitch.conf) gives are not seen. Invariant: a line is either a
//! valid range of ids or counted as skipped.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bounded_file::read_host;
use crate::decimal::{parse_id, parse_u32};
use crate::error::{Error, Result};
use crate::id_map::{IdMap, IdRange};
use crate::passwd;

/// A file longer than this is refused.
pub const FILE_MAX: usize = 1 << 20;

/// One line: `owner` may map `count` ids from `first`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubIdRange {
    /// A user name or a user id, as written.
    pub owner: String,
    /// The first host id.
    pub first: u32,
    /// How many ids, at least 1.
    pub count: u32,
}

/// The content of `/etc/subuid` or `/etc/subgid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubIds {
    /// The valid lines, in the order of the file.
    pub ranges: Vec<SubIdRange>,
    /// How many lines were neither valid nor empty nor comments.
    pub skipped: usize,
}

impl SubIds {
    /// Reads the content of a file; at most [`FILE_MAX`] bytes are looked at.
    #[must_use]
    pub fn parse(content: &[u8]) -> Self {
        let content = content.get(..FILE_MAX).unwrap_or(content);
        let mut ids = Self::default();
        for line in content.split(|byte| *byte == b'\n') {
            match parse_line(line) {
                _ if line.is_empty() || line.starts_with(b"#") => {}
                Some(range) => ids.ranges.push(range),
                None => ids.skipped += 1,
            }
        }
        ids
    }

    /// The ranges of a user, who may be written by name or by id.
    pub fn of<'a>(
        &'a self,
        name: Option<&'a str>,
        uid: u32,
    ) -> impl Iterator<Item = &'a SubIdRange> {
        self.ranges.iter().filter(move |range| {
            Some(range.owner.as_str()) == name || parse_id(range.owner.as_bytes()) == Ok(uid)
        })
    }
}

fn parse_line(line: &[u8]) -> Option<SubIdRange> {
    let mut fields = line.split(|byte| *byte == b':');
    let owner = str::from_utf8(fields.next()?).ok()?;
    let first = parse_id(fields.next()?).ok()?;
    let count = parse_u32(fields.next()?).ok()?;
    let fits = !owner.is_empty() && count > 0 && first.checked_add(count).is_some();
    (fits && fields.next().is_none()).then(|| SubIdRange { owner: owner.to_owned(), first, count })
}

/// The map of an ordinary user: the caller is id 0 inside, the subordinate ids follow from 1 on.
///
/// # Errors
/// [`NoSubIds`](crate::ErrorKind::NoSubIds) when one of the two files has no range for the caller;
/// [`InvalidIdMap`](crate::ErrorKind::InvalidIdMap) when the ranges overlap;
/// [`UnsuitableFile`](crate::ErrorKind::UnsuitableFile) or a failed system call.
pub fn caller_map() -> Result<IdMap> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let passwd = read_host(Path::new("/etc/passwd"), passwd::FILE_MAX)?;
    let name = passwd::users(&passwd).find(|user| user.uid == uid).map(|user| user.name);
    let ranges = |path: &str, own: u32| {
        let path = Path::new(path);
        let ids = SubIds::parse(&read_host(path, FILE_MAX)?);
        caller_ranges(own, ids.of(name, uid)).ok_or_else(|| Error::no_sub_ids(path, uid))
    };
    let map = IdMap { uid: ranges("/etc/subuid", uid)?, gid: ranges("/etc/subgid", gid)? };
    map.validate()?;
    Ok(map)
}

/// The lines of one map: `own` as id 0, then the ranges; `None` when there is no range.
///
/// What would go past the last id inside is cut off.
fn caller_ranges<'a>(own: u32, ids: impl Iterator<Item = &'a SubIdRange>) -> Option<Vec<IdRange>> {
    let mut ranges = vec![IdRange::new(0, own, 1)];
    let mut inside = 1;
    for range in ids {
        let count = range.count.min(u32::MAX - inside);
        if count > 0 {
            ranges.push(IdRange::new(inside, range.first, count));
            inside += count;
        }
    }
    (ranges.len() > 1).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] =
        b"ann:100000:65536\n# c\n\n1000:300000:10\nbad:+1:5\nbob:1:2:3\nzero:5:0\nann:1:1";

    #[test]
    fn good_lines_are_read_and_bad_ones_counted() {
        let ids = SubIds::parse(FILE);
        assert_eq!(ids.ranges.len(), 3);
        assert_eq!(ids.skipped, 3);
    }

    #[test]
    fn users_are_found_by_name_and_by_id() {
        let ids = SubIds::parse(FILE);
        let firsts = |name, uid| ids.of(name, uid).map(|range| range.first).collect::<Vec<_>>();
        assert_eq!(firsts(Some("ann"), 1000), [100_000, 300_000, 1]);
        assert_eq!(firsts(Some("bob"), 1000), [300_000]);
        assert_eq!(firsts(None, 7), [0u32; 0]);
    }

    #[test]
    fn the_caller_is_root_inside() {
        let ids = SubIds::parse(FILE);
        let ranges = caller_ranges(1000, ids.of(Some("ann"), 9)).unwrap();
        let expected = [(0, 1000, 1), (1, 100_000, 65536), (65537, 1, 1)];
        assert_eq!(ranges, expected.map(|(i, o, c)| IdRange::new(i, o, c)));
        assert_eq!(caller_ranges(1000, ids.of(None, 9)), None);
    }

    #[test]
    fn a_line_too_much_is_not_looked_at() {
        let mut content = vec![b'#'; FILE_MAX - 1];
        content.extend(b"\nann:1:1\n");
        assert_eq!(SubIds::parse(&content), SubIds::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(content: Vec<u8>) {
            let lines = content.split(|byte| *byte == b'\n').count();
            let ids = SubIds::parse(&content);
            prop_assert!(ids.ranges.len() + ids.skipped <= lines);
        }

        #[test]
        fn ranges_never_wrap(lines in prop::collection::vec(("[a-c]", any::<u32>(), any::<u32>()), 0..8)) {
            let line = |(owner, first, count): &(String, u32, u32)| format!("{owner}:{first}:{count}\n");
            let ids = SubIds::parse(lines.iter().map(line).collect::<String>().as_bytes());
            prop_assert_eq!(ids.ranges.len() + ids.skipped, lines.len());
            for range in caller_ranges(0, ids.ranges.iter()).unwrap_or_default() {
                prop_assert!(range.count > 0);
                prop_assert!(range.inside.checked_add(range.count).is_some());
                prop_assert!(range.outside.checked_add(range.count).is_some());
            }
        }
    }
}
