//! One file of an upper directory: what it is, and what an overlay or an engine wrote into its
//! attributes.
//!
//! Kernel objects: extended attributes. Invariant: nothing by which an overlay is steered gets into
//! a layer other than as a whiteout.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, FileType, Stat};
use rustix::io::Errno;

use super::{Diff, OwnerRange};
use crate::ids::hand_over::CAPABILITY;
use crate::unpack::Whiteouts;
use crate::unpack::format::member::{Attribute, Kind, Timestamp};
use crate::unpack::format::number::decimal;
use crate::unpack::trouble::Trouble;

/// The attributes of one file, sorted out.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) kept: Vec<Attribute>,
    pub(crate) dropped: u64,
    pub(crate) opaque: bool,
    /// Owner and, for the stand-in of a device, what it is.
    pub(crate) owner: Option<(u32, u32, Option<Kind>)>,
}

/// Where an overlay with these whiteouts keeps its attributes.
fn prefix(whiteouts: Whiteouts) -> Option<&'static [u8]> {
    match whiteouts {
        // Of an upper directory only one is true: the other may be a copy of a lower layer's.
        Whiteouts::Trusted | Whiteouts::Both => Some(b"trusted.overlay."),
        Whiteouts::User => Some(b"user.overlay."),
        Whiteouts::Applied => None,
    }
}

const OVERRIDE: &[u8] = b"user.containers.override_stat";

/// What every Linux has at most; see xattr(7).
const LIST_MAX: usize = 65_536;

impl Attributes {
    /// Reads the attributes of a file that is open.
    pub(crate) fn read(fd: BorrowedFd<'_>, diff: &Diff) -> Result<Self, Trouble> {
        let mut list = vec![0; LIST_MAX];
        let len = match fs::flistxattr(fd, list.as_mut_slice()) {
            Err(Errno::OPNOTSUPP) => return Ok(Self::default()),
            other => other.map_err(Trouble::of("flistxattr"))?,
        };
        list.truncate(len);
        let mut names: Vec<_> =
            list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let mut attributes = Self::default();
        let mut value = vec![0; LIST_MAX];
        for name in names {
            let len = match fs::fgetxattr(fd, name, value.as_mut_slice()) {
                Err(Errno::NODATA) => continue,
                // Only who may read a file may read such an attribute, however it was opened.
                Err(Errno::ACCESS) if diff.ids.is_some() && name.starts_with(b"user.") => {
                    attributes.note_unreadable(name, diff);
                    continue;
                }
                other => other.map_err(Trouble::of("fgetxattr"))?,
            };
            attributes.take(name, value.get(..len).unwrap_or_default(), diff)?;
        }
        Ok(attributes)
    }

    /// An attribute of which there is the name only.
    fn note_unreadable(&mut self, name: &[u8], diff: &Diff) {
        match prefix(diff.whiteouts).and_then(|prefix| name.strip_prefix(prefix)) {
            // In an upper directory it has no other value.
            Some(b"opaque") => self.opaque = true,
            Some(_) => {}
            None => self.dropped += 1,
        }
    }

    fn take(&mut self, name: &[u8], value: &[u8], diff: &Diff) -> Result<(), Trouble> {
        let overlay = prefix(diff.whiteouts).and_then(|prefix| name.strip_prefix(prefix));
        match overlay {
            Some(b"opaque") if value == b"y" => self.opaque = true,
            Some(b"redirect") => return Err(Trouble::Overlay("redirect_dir")),
            Some(b"metacopy") => return Err(Trouble::Overlay("metacopy")),
            Some(b"opaque" | b"whiteout") => return Err(Trouble::Overlay("xwhiteouts")),
            // What an overlay notes for itself: origin, impure, nlink, uuid …
            Some(_) => {}
            None if name == OVERRIDE => self.owner = parse_override(value),
            // A key ends at the first equals sign.
            None if diff.attributes.allows(name) && !name.contains(&b'=') => {
                let value =
                    if name == CAPABILITY { capability(value, diff) } else { value.to_vec() };
                self.kept.push(Attribute { name: name.to_vec(), value });
            }
            None => self.dropped += 1,
        }
        Ok(())
    }
}

/// Capabilities of a file that root of the user namespace may give are those that root may give (capabilities(7),
/// `vfs_ns_cap_data`): without the id of that root.
fn capability(value: &[u8], diff: &Diff) -> Vec<u8> {
    const WITH_ROOT: usize = 24;
    const REVISION: usize = 3;
    let Some((rest, root)) = value.split_last_chunk::<4>() else { return value.to_vec() };
    let root = OwnerRange::find(&diff.uid_map, u32::from_le_bytes(*root));
    let mut rest = rest.to_vec();
    match rest.get_mut(REVISION) {
        Some(revision @ 3)
            if value.len() == WITH_ROOT && !diff.uid_map.is_empty() && root == Some(0) =>
        {
            *revision = 2;
            rest
        }
        _ => value.to_vec(),
    }
}

/// `UID:GID:MODE[:TYPE]`. The mode is the file's own, which may have changed since.
fn parse_override(value: &[u8]) -> Option<(u32, u32, Option<Kind>)> {
    let mut parts = value.split(|byte| *byte == b':');
    let mut id = || {
        let id = u32::try_from(decimal(parts.next()?)?).ok()?;
        (id != u32::MAX).then_some(id)
    };
    let (uid, gid) = (id()?, id()?);
    let kind = parts.nth(1).and_then(|kind| {
        let mut parts = kind.split(|byte| *byte == b'-');
        let kind = parts.next()?;
        let mut number = || u32::try_from(decimal(parts.next()?)?).ok();
        let (major, minor) = (number()?, number()?);
        match kind {
            b"char" if (major, minor) != (0, 0) => Some(Kind::CharDevice { major, minor }),
            b"block" => Some(Kind::BlockDevice { major, minor }),
            _ => None,
        }
    });
    Some((uid, gid, kind))
}

/// Whether a file is how an overlay writes a whiteout.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// When a file was changed, not later than the epoch.
pub(crate) fn mtime(stat: &Stat, diff: &Diff) -> Timestamp {
    let nsec = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let time = Timestamp { sec: stat.st_mtime, nsec };
    let epoch = diff.source_date_epoch.map(|sec| Timestamp { sec, nsec: 0 });
    epoch.map_or(time, |epoch| time.min(epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_the_root_of_a_namespace() {
        let with_root = |root: u32| [&[1, 0, 0, 3], &[7; 16][..], &root.to_le_bytes()].concat();
        let mut diff = Diff::default();
        assert_eq!(capability(&with_root(1000), &diff), with_root(1000));
        diff.uid_map = vec![OwnerRange { inside: 0, outside: 1000, count: 2 }];
        assert_eq!(capability(&with_root(1000), &diff), [&[1, 0, 0, 2], &[7; 16][..]].concat());
        assert_eq!(capability(&with_root(1001), &diff), with_root(1001), "somebody else's root");
        assert_eq!(capability(&with_root(5), &diff), with_root(5));
        assert_eq!(capability(b"abc", &diff), b"abc");
    }

    #[test]
    fn owners_that_are_kept_in_an_attribute() {
        let parse = |text: &str| parse_override(text.as_bytes());
        assert_eq!(parse("1:2:0755:dir"), Some((1, 2, None)));
        assert_eq!(parse("1:2:0755"), Some((1, 2, None)));
        let device = Kind::CharDevice { major: 1, minor: 3 };
        assert_eq!(parse("0:0:0666:char-1-3"), Some((0, 0, Some(device))));
        assert_eq!(parse("0:0:0666:char-0-0"), Some((0, 0, None)));
        for bad in ["", "1", "1:", ":1", "4294967295:0:0", "x:0:0755:file"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
