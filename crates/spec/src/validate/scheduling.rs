//! `process.scheduler`: what sched_setattr(2) takes.

use super::report::Report;
use crate::oci::{LinuxSchedulerPolicy, Scheduler};
use crate::path::JsonPath;
use crate::problem::Flaw;

pub(super) fn scheduler(report: &mut Report, at: &JsonPath, scheduler: &Scheduler) {
    let policy = *scheduler.policy();
    if let Some(nice) = scheduler.nice() {
        report.within(at.key("nice"), *nice, (-20, 19));
    }
    let is_realtime =
        matches!(policy, LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr);
    let priorities = if is_realtime { (1, 99) } else { (0, 0) };
    if is_realtime || scheduler.priority().is_some() {
        report.within(at.key("priority"), scheduler.priority().unwrap_or(0), priorities);
    }
    let times = [
        ("runtime", *scheduler.runtime()),
        ("deadline", *scheduler.deadline()),
        ("period", *scheduler.period()),
    ];
    match policy {
        LinuxSchedulerPolicy::SchedDeadline => deadline(report, at, times),
        _ => {
            for (key, _) in times.iter().filter(|(_, time)| time.is_some_and(|time| time > 0)) {
                report.add(at.key(*key), Flaw::Contradicts { with: at.key("policy") });
            }
        }
    }
}

/// The kernel wants runtime ≤ deadline ≤ period; a period of 0 is the deadline.
fn deadline(report: &mut Report, at: &JsonPath, times: [(&'static str, Option<u64>); 3]) {
    let [runtime, deadline, period] = times.map(|(_, time)| time.unwrap_or(0));
    for (key, time) in [("runtime", runtime), ("deadline", deadline)] {
        if time == 0 {
            report.add(at.key(key), Flaw::Missing);
        }
    }
    if runtime > deadline {
        report.add(at.key("runtime"), Flaw::MoreThan { limit: at.key("deadline") });
    }
    if period != 0 && deadline > period {
        report.add(at.key("deadline"), Flaw::MoreThan { limit: at.key("period") });
    }
}
