//! The content of `passwd` and `group` files.
//!
//! Kernel objects: none, these are pure parsers. Manual: passwd(5), group(5). Invariant: an entry
//! has a name and ids in plain decimal; lines that have not are left out, as if they were not
//! there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::decimal::parse_id;

/// A file longer than this is refused, and a parser looks at no more of it.
pub const FILE_MAX: usize = 4 << 20;

/// The longest path that the kernel takes, without the NUL.
const PATH_MAX: usize = 4095;

/// A line of a `passwd` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswdEntry<'a> {
    /// The name.
    pub name: &'a str,
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The home directory, if it is an absolute path.
    pub home: Option<&'a Path>,
}

/// A line of a `group` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEntry<'a> {
    /// The name.
    pub name: &'a str,
    /// The group id.
    pub gid: u32,
    members: &'a [u8],
}

impl GroupEntry<'_> {
    /// Whether the user `name` is listed as a member.
    #[must_use]
    pub fn has_member(&self, name: &str) -> bool {
        self.members.split(|byte| *byte == b',').any(|member| member == name.as_bytes())
    }
}

/// The entries of a `passwd` file, in its order.
pub fn users(content: &[u8]) -> impl Iterator<Item = PasswdEntry<'_>> {
    lines(content).filter_map(parse_user)
}

/// The entries of a `group` file, in its order.
pub fn groups(content: &[u8]) -> impl Iterator<Item = GroupEntry<'_>> {
    lines(content).filter_map(parse_group)
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.get(..FILE_MAX).unwrap_or(content).split(|byte| *byte == b'\n')
}

fn parse_user(line: &[u8]) -> Option<PasswdEntry<'_>> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = name(fields.next()?)?;
    let uid = parse_id(fields.nth(1)?).ok()?;
    let gid = parse_id(fields.next()?).ok()?;
    Some(PasswdEntry { name, uid, gid, home: fields.nth(1).and_then(home) })
}

fn parse_group(line: &[u8]) -> Option<GroupEntry<'_>> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = name(fields.next()?)?;
    let gid = parse_id(fields.nth(1)?).ok()?;
    Some(GroupEntry { name, gid, members: fields.next().unwrap_or_default() })
}

fn name(field: &[u8]) -> Option<&str> {
    str::from_utf8(field).ok().filter(|name| !name.is_empty())
}

fn home(field: &[u8]) -> Option<&Path> {
    let usable = field.starts_with(b"/") && field.len() <= PATH_MAX && !field.contains(&0);
    usable.then(|| Path::new(OsStr::from_bytes(field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_common_lines() {
        let content =
            b"root:x:0:0:root:/root:/bin/sh\n\n# c\nshort:x:7:8\nbad:x:+1:1:::\nb:x:1:01:::\n";
        let all: Vec<_> = users(content).collect();
        let root = PasswdEntry { name: "root", uid: 0, gid: 0, home: Some(Path::new("/root")) };
        let short = PasswdEntry { name: "short", uid: 7, gid: 8, home: None };
        assert_eq!(all, [root, short]);
    }

    #[test]
    fn members_are_whole_names() {
        let all: Vec<_> = groups(b"wheel:x:10:ann,bob\nempty:x:11:\nnone:x:12").collect();
        assert_eq!(all.iter().map(|group| group.gid).collect::<Vec<_>>(), [10, 11, 12]);
        assert!(all[0].has_member("bob") && !all[0].has_member("bo") && !all[0].has_member("b"));
        assert!(!all[2].has_member("ann"));
    }

    #[test]
    fn homes_are_absolute() {
        for wrong in ["", "x", "../x", "/a\0b", &format!("/{}", "x".repeat(5000))] {
            let line = format!("u:x:1:1::{wrong}:/bin/sh");
            assert_eq!(users(line.as_bytes()).next().unwrap().home, None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(content: Vec<u8>) {
            users(&content).for_each(drop);
            prop_assert!(!groups(&content).any(|group| group.has_member("a:b")));
        }

        #[test]
        fn entries_come_back(name in "[a-z]{1,8}", uid in 0..u32::MAX, gid in 0..u32::MAX) {
            let line = format!("{name}:x:{uid}:{gid}::/h:/s");
            let home = Some(Path::new("/h"));
            let entry = PasswdEntry { name: &name, uid, gid, home };
            prop_assert_eq!(users(line.as_bytes()).collect::<Vec<_>>(), [entry]);
        }
    }
}
