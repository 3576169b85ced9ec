//! `uidMappings` and `gidMappings`, of the user namespace and of mounts.

use super::report::Report;
use crate::oci::LinuxIdMapping;
use crate::path::JsonPath;
use crate::problem::Flaw;

/// Most lines that the kernel takes (user_namespaces(7), Linux 4.15).
const LINES_MAX: usize = 340;

/// One map.
pub(super) fn check(report: &mut Report, at: &JsonPath, map: &[LinuxIdMapping]) {
    if map.len() > LINES_MAX {
        report.add(at.clone(), Flaw::TooMany { max: LINES_MAX });
    }
    for (index, line) in map.iter().enumerate() {
        let at_line = at.index(index);
        let past = u32::MAX - line.size();
        if line.size() == 0 || line.container_id() > past || line.host_id() > past {
            report.add(at_line, Flaw::IdRange);
        } else if let Some(first) = map[..index].iter().position(|other| overlap(line, other)) {
            report.add(at_line, Flaw::Overlaps { first: at.index(first) });
        }
    }
}

fn overlap(one: &LinuxIdMapping, other: &LinuxIdMapping) -> bool {
    let meet = |one_first: u32, other_first: u32| {
        let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
        u64::from(one_first) < end(other_first, other.size())
            && u64::from(other_first) < end(one_first, one.size())
    };
    meet(one.container_id(), other.container_id()) || meet(one.host_id(), other.host_id())
}
