//! Going through a group and the groups in it, deepest first.
//!
//! Kernel objects: directories of cgroupfs. Invariant: three descriptors at most, however deep a payload nested its
//! groups, and no path longer than one name.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir as Entries, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

/// What happens to the groups below once they were visited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Remove,
}

/// A group on the way down, with the groups in it that are still to be visited.
struct Level {
    name: Option<CString>,
    pending: Vec<CString>,
}

/// Calls `visit` for each group below `top` and for `top` itself; groups that go away meanwhile are passed over.
pub(crate) fn deepest_first(
    top: OwnedFd,
    after: After,
    visit: &mut dyn FnMut(&OwnedFd) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut levels = vec![Level { name: None, pending: groups(&top)? }];
    let mut here = top;
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.pending.pop() {
            if let Some(below) = unless_gone(open(&here, &name))? {
                levels.push(Level { name: Some(name), pending: groups(&below)? });
                here = below;
            }
            continue;
        }
        unless_gone(visit(&here))?;
        let Some(name) = levels.pop().and_then(|level| level.name) else { break };
        // In cgroupfs this is always the group above: no group ever moves to another one.
        here = open(&here, c"..")?;
        if after == After::Remove {
            unless_gone(unlinkat(&here, &name, AtFlags::REMOVEDIR))?;
        }
    }
    Ok(())
}

fn open(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// The groups in a group; none if it is gone.
fn groups(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Some(readable) = unless_gone(openat(dir, c".", flags, Mode::empty()))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in Entries::new(readable)? {
        let Some(entry) = unless_gone(entry)? else { break };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn unless_gone<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn deep_trees_need_few_descriptors() {
        let top = tempfile::tempdir().unwrap();
        let mut here: OwnedFd = File::open(top.path()).unwrap().into();
        for _ in 0..1200 {
            rustix::fs::mkdirat(&here, c"next", Mode::from_raw_mode(0o755)).unwrap();
            rustix::fs::mkdirat(&here, c"beside", Mode::from_raw_mode(0o755)).unwrap();
            here = open(&here, c"next").unwrap();
        }
        let open = || File::open(top.path()).unwrap().into();
        let mut count = 0;
        let mut visit = |_: &OwnedFd| {
            count += 1;
            Ok(())
        };
        deepest_first(open(), After::Keep, &mut visit).unwrap();
        deepest_first(open(), After::Remove, &mut visit).unwrap();
        assert_eq!(count, 2 * 2401);
        assert_eq!(std::fs::read_dir(top.path()).unwrap().count(), 0);
    }
}
