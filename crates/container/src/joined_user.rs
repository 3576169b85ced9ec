//! What a user namespace that is joined allows.
//!
//! Kernel objects: `uid_map`, `gid_map` and `setgroups` of a process that stands in it (user_namespaces(7)). Invariant:
//! what cannot be read counts as what is usual for the caller.

use std::fs;

use ampoule_ns::prepared::credentials::Groups;
use ampoule_ns::{IdMap, IdRange, Target};

use crate::host::Privilege;

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedUser {
    /// Its maps, if they can be read; what is outside is as seen from here.
    pub(crate) maps: Option<IdMap>,
    pub(crate) groups: Groups,
}

impl JoinedUser {
    /// Looks at the process, where the target is one.
    pub(crate) fn look(target: &Target, privilege: Privilege) -> Self {
        // An ordinary user most often meets a namespace of one id, for which the kernel denies setgroups(2).
        let groups = if privilege == Privilege::Full { Groups::Settable } else { Groups::Fixed };
        let unknown = Self { maps: None, groups };
        let Target::Pid(pid) = target else { return unknown };
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        match (read("uid_map"), read("gid_map"), read("setgroups")) {
            (Ok(uids), Ok(gids), Ok(setgroups)) => Self::parse(&uids, &gids, &setgroups),
            _ => unknown,
        }
    }

    fn parse(uid_map: &str, gid_map: &str, setgroups: &str) -> Self {
        let map = IdMap { uid: ranges(uid_map), gid: ranges(gid_map) };
        Self {
            maps: Some(map),
            groups: if setgroups.trim() == "deny" { Groups::Fixed } else { Groups::Settable },
        }
    }
}

/// The lines of a map; one that is not three numbers is left out.
fn ranges(map: &str) -> Vec<IdRange> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(IdRange::new(next()?, next()?, next()?))
    };
    map.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_ns::IdKind;

    #[test]
    fn maps_tell_which_ids_there_are() {
        let range = "         0     100000      65536\n";
        let own = "      1000       1000          1\n";
        let joined = JoinedUser::parse(range, own, "deny\n");
        let map = joined.maps.unwrap();
        assert_eq!(map.to_host(IdKind::Uid, 0), Some(100_000));
        assert_eq!(map.to_host(IdKind::Gid, 0), None);
        assert_eq!(joined.groups, Groups::Fixed);
        assert_eq!(JoinedUser::parse(range, range, "allow\n").groups, Groups::Settable);
        assert!(ranges("x 1 2\n1 2\n\n").is_empty());
    }

    #[test]
    fn a_process_that_is_gone_is_no_error() {
        let gone = JoinedUser::look(&Target::Pid(u32::MAX), Privilege::Full);
        assert_eq!(gone, JoinedUser { maps: None, groups: Groups::Settable });
    }
}
