//! Facts about this process and the calling thread.
//!
//! Kernel objects: `/proc/self`, `/proc/thread-self` (proc(5)), prctl(2) flags, terminals on
//! descriptors 0 to 2. Invariant: only reads; the umask too comes from `/proc/self/status`.

use std::fmt::Debug;
use std::os::fd::AsFd;
use std::path::Path;

use super::field::Facts;
use super::{lock, procfs};

/// Lines of `status` that must stay (proc_pid_status(5)).
const STATUS: [&str; 17] = [
    "Umask",
    "TracerPid",
    "Uid",
    "Gid",
    "Groups",
    "NSpid",
    "ShdPnd",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_allowed_list",
];

/// Lines that count only for the calling thread: the main thread of the harness blocks all
/// signals for a moment whenever it starts a test.
const THREAD_STATUS: [&str; 2] = ["SigPnd", "SigBlk"];

/// Columns of `stat` that must stay, counted as proc_pid_stat(5) does.
const STAT: [(&str, usize); 7] = [
    ("pgrp", 5),
    ("session", 6),
    ("tty", 7),
    ("foreground group", 8),
    ("nice", 19),
    ("rt_priority", 40),
    ("policy", 41),
];

/// What all threads share.
pub(crate) fn attributes() -> Facts {
    let own = Path::new("/proc/self");
    let mut facts = task_facts(own);
    for name in ["cwd", "root", "exe"] {
        facts.insert(name.to_owned(), procfs::link(own.join(name)));
    }
    for name in ["oom_score_adj", "coredump_filter", "cgroup", "timers", "personality"] {
        facts.insert(name.to_owned(), procfs::text(own.join(name)));
    }
    for name in ["hostname", "domainname"] {
        facts.insert(name.to_owned(), procfs::text(Path::new("/proc/sys/kernel").join(name)));
    }
    put(&mut facts, "dumpable", rustix::process::dumpable_behavior());
    put(&mut facts, "child subreaper", rustix::process::child_subreaper());
    put(&mut facts, "terminal 0", terminal(std::io::stdin()));
    put(&mut facts, "terminal 1", terminal(std::io::stdout()));
    put(&mut facts, "terminal 2", terminal(std::io::stderr()));
    facts
}

/// What belongs to the calling thread.
pub(crate) fn thread_attributes() -> Facts {
    let own = Path::new("/proc/thread-self");
    let mut facts = task_facts(own);
    facts.extend(lines(&procfs::text(own.join("status")), &THREAD_STATUS));
    facts.insert("comm".to_owned(), procfs::text(own.join("comm")));
    for name in ["current", "exec", "fscreate", "keycreate", "sockcreate"] {
        facts.insert(format!("attr/{name}"), procfs::text(own.join("attr").join(name)));
    }
    for name in procfs::names(own.join("ns")) {
        facts.insert(format!("ns/{name}"), procfs::link(own.join("ns").join(&name)));
    }
    facts.insert("cgroup".to_owned(), procfs::text(own.join("cgroup")));
    put(&mut facts, "death signal", rustix::process::parent_process_death_signal());
    put(&mut facts, "securebits", rustix::thread::capabilities_secure_bits());
    put(&mut facts, "timer slack", rustix::thread::current_timer_slack());
    facts
}

fn put(facts: &mut Facts, name: &str, value: impl Debug) {
    facts.insert(name.to_owned(), format!("{value:?}"));
}

fn terminal(stream: impl AsFd) -> rustix::io::Result<rustix::termios::Termios> {
    rustix::termios::tcgetattr(stream)
}

/// The chosen lines of `status` and columns of `stat` in `task`.
fn task_facts(task: &Path) -> Facts {
    let stat = procfs::text(task.join("stat"));
    let columns = STAT.iter().map(|(name, column)| ((*name).to_owned(), nth(&stat, *column)));
    lines(&procfs::text(task.join("status")), &STATUS).into_iter().chain(columns).collect()
}

/// The lines of a `status` text with these names.
fn lines(status: &str, names: &[&str]) -> Facts {
    let all = status.lines().filter_map(|line| line.split_once(':'));
    let chosen = all.filter(|(name, _)| names.contains(name));
    chosen.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// A column of `stat`, counted from 1. The name in column 2 may contain anything, so the
/// columns are counted from its closing parenthesis.
pub(crate) fn nth(stat: &str, column: usize) -> String {
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().nth(column - 3).unwrap_or("(none)").to_owned()
}

/// The environment variables.
pub(crate) fn environment() -> Facts {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// The resource limits, soft and hard (getrlimit(2)).
pub(crate) fn limits() -> Facts {
    let limits = procfs::text("/proc/self/limits");
    let lines = limits.lines().skip(1).filter_map(|line| line.split_at_checked(25));
    lines.map(|(name, rest)| (name.trim().to_owned(), rest.trim().to_owned())).collect()
}

/// The open descriptors: target and flags, which include `O_NONBLOCK` and `O_CLOEXEC`.
///
/// The descriptor of the scan itself is closed before the targets are read, so it does not show.
pub(crate) fn descriptors() -> Facts {
    let mut facts = Facts::new();
    for number in procfs::names("/proc/self/fd") {
        let Ok(target) = std::fs::read_link(Path::new("/proc/self/fd").join(&number)) else {
            continue;
        };
        let info = procfs::text(Path::new("/proc/self/fdinfo").join(&number));
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("(none)");
        facts.insert(number, format!("{} flags {}", target.display(), flags.trim()));
    }
    facts
}

/// The threads that are not the harness's, by tid and start time, with their names.
pub(crate) fn threads() -> Facts {
    let mut facts = Facts::new();
    let tids = procfs::names("/proc/self/task").into_iter().filter_map(|tid| tid.parse().ok());
    for tid in tids.filter(|tid| !lock::is_test_thread(*tid)) {
        let task = Path::new("/proc/self/task").join(tid.to_string());
        let started = nth(&procfs::text(task.join("stat")), 22);
        let name = procfs::text(task.join("comm"));
        if task.exists() {
            facts.insert(format!("{tid} started {started}"), name);
        }
    }
    facts
}
