//! `linux.seccomp`.

use super::report::Report;
use super::text;
use crate::oci::{LinuxSeccomp, LinuxSeccompAction as Action, LinuxSyscall};
use crate::path::JsonPath;
use crate::problem::Flaw;

/// The largest error number that the kernel passes on.
const ERRNO_MAX: i128 = 4095;

pub(super) fn check(report: &mut Report, at: &JsonPath, seccomp: &LinuxSeccomp) {
    let default = seccomp.default_action();
    number(
        report,
        at.key("defaultErrnoRet"),
        at.key("defaultAction"),
        default,
        seccomp.default_errno_ret(),
    );
    let syscalls = seccomp.syscalls().as_deref().unwrap_or_default();
    for (index, syscall) in syscalls.iter().enumerate() {
        entry(report, &at.key("syscalls").index(index), syscall);
    }
    listener(report, at, seccomp, syscalls);
}

fn entry(report: &mut Report, at: &JsonPath, syscall: &LinuxSyscall) {
    if syscall.names().is_empty() {
        report.add(at.key("names"), Flaw::Empty);
    }
    for (index, _) in syscall.names().iter().enumerate().filter(|(_, name)| name.is_empty()) {
        report.add(at.key("names").index(index), Flaw::Empty);
    }
    number(report, at.key("errnoRet"), at.key("action"), syscall.action(), syscall.errno_ret());
    for (index, argument) in syscall.args().iter().flatten().enumerate() {
        let index_of = i128::try_from(argument.index()).unwrap_or(i128::MAX);
        report.within(at.key("args").index(index).key("index"), index_of, (0, 5));
    }
}

/// An error number is for the actions that have one.
fn number(
    report: &mut Report,
    at: JsonPath,
    action_at: JsonPath,
    action: Action,
    number: Option<u32>,
) {
    let Some(number) = number else { return };
    match action {
        Action::ScmpActErrno => report.within(at, number, (0, ERRNO_MAX)),
        Action::ScmpActTrace => report.within(at, number, (0, u16::MAX.into())),
        _ => report.add(at, Flaw::Contradicts { with: action_at }),
    }
}

/// Notifications need somebody who gets them, and the other way round.
fn listener(report: &mut Report, at: &JsonPath, seccomp: &LinuxSeccomp, syscalls: &[LinuxSyscall]) {
    let path = seccomp.listener_path().as_deref().filter(|path| !path.as_os_str().is_empty());
    let first = syscalls.iter().position(|syscall| syscall.action() == Action::ScmpActNotify);
    if let Some(path) = path {
        text::absolute(report, at.key("listenerPath"), path);
    } else {
        let metadata = seccomp.listener_metadata().as_deref().unwrap_or_default();
        if !metadata.is_empty() {
            report.add(at.key("listenerMetadata"), Flaw::Needs { what: at.key("listenerPath") });
        }
        if let Some(first) = first {
            let what = at.key("listenerPath");
            report.add(at.key("syscalls").index(first).key("action"), Flaw::Needs { what });
        }
    }
    // The process that hands the listener over would itself wait for an answer.
    if seccomp.default_action() == Action::ScmpActNotify {
        let with = at.key("listenerPath");
        report.add(at.key("defaultAction"), Flaw::Contradicts { with });
    }
}
