//! `process`.

use std::collections::HashSet;
use std::hash::Hash;

use super::report::Report;
use super::{cpus, scheduling, text};
use crate::oci::{LinuxCapabilities, PosixRlimit, Process};
use crate::path::JsonPath;
use crate::problem::Flaw;

/// Most supplementary groups that the kernel takes (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

pub(super) fn check(report: &mut Report, at: &JsonPath, process: &Process) {
    arguments(report, &at.key("args"), process.args().as_deref());
    text::variables(report, &at.key("env"), process.env().as_ref());
    text::absolute(report, at.key("cwd"), process.cwd());
    user(report, &at.key("user"), process);
    if let Some(capabilities) = process.capabilities() {
        self::capabilities(report, &at.key("capabilities"), capabilities);
    }
    rlimits(report, &at.key("rlimits"), process.rlimits().as_deref().unwrap_or_default());
    if let Some(score) = process.oom_score_adj() {
        report.within(at.key("oomScoreAdj"), score, (-1000, 1000));
    }
    if let Some(scheduler) = process.scheduler() {
        scheduling::scheduler(report, &at.key("scheduler"), scheduler);
    }
    if let Some(priority) = process.io_priority() {
        report.within(at.key("ioPriority").key("priority"), priority.priority(), (0, 7));
    }
    if let Some(affinity) = process.exec_cpu_affinity() {
        let at = at.key("execCPUAffinity");
        let both = [("initial", affinity.initial()), ("final", affinity.cpu_affinity_final())];
        for (key, list) in both {
            cpus::list(report, at.key(key), list.as_deref());
        }
    }
    if let Some(size) = process.console_size() {
        let at = at.key("consoleSize");
        // The kernel keeps 16 bits of each (struct winsize).
        report.within(at.key("height"), size.height(), (0, u16::MAX.into()));
        report.within(at.key("width"), size.width(), (0, u16::MAX.into()));
    }
}

fn arguments(report: &mut Report, at: &JsonPath, args: Option<&[String]>) {
    match args {
        None => report.add(at.clone(), Flaw::Missing),
        Some([]) => report.add(at.clone(), Flaw::Empty),
        Some([program, ..]) if program.is_empty() => report.add(at.index(0), Flaw::Empty),
        Some(_) => {}
    }
    text::strings(report, at, args.unwrap_or_default());
}

fn user(report: &mut Report, at: &JsonPath, process: &Process) {
    let user = process.user();
    // The last number is not an id: chown(2) and setresuid(2) take it for "unchanged".
    let ids = (0, i128::from(u32::MAX) - 1);
    report.within(at.key("uid"), user.uid(), ids);
    report.within(at.key("gid"), user.gid(), ids);
    if let Some(umask) = user.umask() {
        report.within(at.key("umask"), umask, (0, 0o777));
    }
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    let at = at.key("additionalGids");
    for (index, group) in groups.iter().enumerate() {
        report.within(at.index(index), *group, ids);
    }
    if groups.len() > GROUPS_MAX {
        report.add(at, Flaw::TooMany { max: GROUPS_MAX });
    }
}

/// What capset(2) refuses. The ambient set is not compared with the inheritable one: `runc spec` itself writes one that
/// no kernel takes.
fn capabilities(report: &mut Report, at: &JsonPath, sets: &LinuxCapabilities) {
    let permitted = at.key("permitted");
    for (key, set) in [("effective", sets.effective()), ("ambient", sets.ambient())] {
        if !is_subset(set.as_ref(), sets.permitted().as_ref()) {
            report.add(at.key(key), Flaw::MoreThan { limit: permitted.clone() });
        }
    }
}

fn is_subset<T: Eq + Hash>(set: Option<&HashSet<T>>, of: Option<&HashSet<T>>) -> bool {
    match (set, of) {
        (Some(set), Some(of)) => set.is_subset(of),
        (Some(set), None) => set.is_empty(),
        (None, _) => true,
    }
}

fn rlimits(report: &mut Report, at: &JsonPath, limits: &[PosixRlimit]) {
    for (index, limit) in limits.iter().enumerate() {
        let at_limit = at.index(index);
        if let Some(first) = limits[..index].iter().position(|other| other.typ() == limit.typ()) {
            report
                .add(at_limit.key("type"), Flaw::Duplicate { first: at.index(first).key("type") });
        }
        if limit.soft() > limit.hard() {
            report.add(at_limit.key("soft"), Flaw::MoreThan { limit: at_limit.key("hard") });
        }
    }
}
