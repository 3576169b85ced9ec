//! Limits, scheduling and the other attributes of the payload's process.
//!
//! Kernel objects: the process. Invariant: each is read back from procfs or by a tool in the container.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use ampoule::{
    Builder, Container, CpuSet, ErrorKind, ExecutionDomain, IoClass, IoPriority, Personality,
    PersonalityFlags, Resource, ResourceLimit, Rlimit, Scheduler, SchedulerPolicy, Stage,
};

use super::{Look, is_error, print, printed, refused, rooted, shell};
use crate::oracle::fixture;
use crate::oracle::payload::Limit;

fn view() -> Builder {
    Container::host_view()
}

/// Every resource with a limit that an ordinary process may set and a shell can live with.
const LIMITS: [(Resource, &str, u64, u64); 16] = [
    (Resource::Cpu, "Max cpu time", 100, 200),
    (Resource::Fsize, "Max file size", 1 << 30, 1 << 31),
    (Resource::Data, "Max data size", 1 << 32, 1 << 33),
    (Resource::Stack, "Max stack size", 4 << 20, 6 << 20),
    (Resource::Core, "Max core file size", 0, 0),
    (Resource::Rss, "Max resident set", 1 << 31, 1 << 32),
    (Resource::Nproc, "Max processes", 4000, 5000),
    (Resource::Nofile, "Max open files", 100, 200),
    (Resource::Memlock, "Max locked memory", 4096, 65536),
    (Resource::As, "Max address space", 1 << 34, 1 << 35),
    (Resource::Locks, "Max file locks", 10, 20),
    (Resource::Sigpending, "Max pending signals", 50, 60),
    (Resource::Msgqueue, "Max msgqueue size", 4096, 8192),
    (Resource::Nice, "Max nice priority", 0, 0),
    (Resource::Rtprio, "Max realtime priority", 0, 0),
    (Resource::Rttime, "Max realtime timeout", 1_000_000, 2_000_000),
];

pub(crate) fn every_limit_can_be_set() {
    let limit = |&(resource, _, soft, hard): &(Resource, &str, u64, u64)| ResourceLimit {
        resource,
        limit: Rlimit::new(soft, hard),
    };
    let builder = LIMITS.iter().map(limit).fold(view(), Builder::rlimit);
    let seen = Look::at(builder).limits();
    for (_, name, soft, hard) in LIMITS {
        assert_eq!(seen[name], Limit { soft: Some(soft), hard: Some(hard) }, "{name}");
    }
    for (_, name, soft, hard) in LIMITS {
        let one = LIMITS.iter().find(|one| one.1 == name).map(limit).expect("there");
        let seen = Look::at(view().rlimit(one)).limits();
        assert_eq!(seen[name], Limit { soft: Some(soft), hard: Some(hard) }, "{name} alone");
    }
}

pub(crate) fn a_descriptor_limit_of_three_is_enough() {
    let limit = ResourceLimit { resource: Resource::Nofile, limit: Rlimit::new(3, 3) };
    let root = fixture::rootfs();
    let output = rooted(&root).rlimit(limit).command("true").output().expect("a run");
    assert!(output.status.success(), "{output:?}");
}

pub(crate) fn limits_that_cannot_be_are_refused() {
    let limit = ResourceLimit { resource: Resource::Nofile, limit: Rlimit::new(2, 1) };
    let error = refused(view().rlimit(limit).command("true").plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["rlimit"]);
    // More than the host's hard limit needs a capability that this host lacks, or the container does.
    let limit = Rlimit::new(u64::MAX - 1, u64::MAX - 1);
    let limit = ResourceLimit { resource: Resource::Nofile, limit };
    let error = refused(view().rlimit(limit).command("true").spawn());
    is_error(&error, ErrorKind::PermissionDenied, Stage::Process, &["RLIMIT_NOFILE"]);
}

pub(crate) fn umask() {
    for mask in [0, 0o077, 0o777] {
        assert_eq!(Look::at(view().umask(mask)).status().umask, mask);
    }
    let error = refused(view().umask(0o1000).command("true").plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["umask", "0o1000"]);
}

pub(crate) fn oom_score_adj() {
    for score in [500, 1000] {
        assert_eq!(Look::at(view().oom_score_adj(score)).text("oom"), score.to_string());
    }
    for score in [1001, -1001, i32::MIN] {
        let error = refused(view().oom_score_adj(score).command("true").plan());
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["oom_score_adj"]);
    }
}

pub(crate) fn scheduling_policies() {
    let nice = |policy, nice| Scheduler { policy, nice, ..Scheduler::default() };
    for (scheduler, policy, value) in [
        (nice(SchedulerPolicy::Other, 7), 0, 7),
        (nice(SchedulerPolicy::Batch, 19), 3, 19),
        (nice(SchedulerPolicy::Batch, 0), 3, 0),
        (Scheduler::new(SchedulerPolicy::Idle), 5, 0),
    ] {
        let look = Look::at(view().scheduler(scheduler));
        assert_eq!((look.stat(41), look.stat(19)), (policy, value), "{scheduler:?}");
    }
    for bad in [nice(SchedulerPolicy::Other, 20), Scheduler::new(SchedulerPolicy::Fifo(0))] {
        let error = refused(view().scheduler(bad).command("true").plan());
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["scheduler"]);
    }
}

pub(crate) fn io_priorities() {
    for (priority, shown) in [
        (IoPriority::new(IoClass::BestEffort, 6), "best-effort: prio 6\n"),
        (IoPriority::new(IoClass::Idle, 0), "idle\n"),
    ] {
        assert_eq!(print(view().io_priority(priority), "ionice"), shown);
    }
    let error =
        refused(view().io_priority(IoPriority::new(IoClass::BestEffort, 8)).command("true").plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["io_priority"]);
}

pub(crate) fn affinity() {
    let own = std::fs::read_to_string("/proc/self/status").expect("a status");
    let own = crate::oracle::payload::status(&own).expect("a status").cpus;
    let last = own.rsplit([',', '-']).next().and_then(|cpu| cpu.parse().ok()).expect("a processor");
    let builder = view().cpu_affinity(CpuSet::new([last]).expect("a set"));
    assert_eq!(Look::at(builder).status().cpus, last.to_string());
    let builder = view().cpu_affinity(CpuSet::new([8191]).expect("a set"));
    let error = refused(builder.command("true").spawn());
    assert_eq!((error.stage(), error.errno()), (Stage::Process, Some(22)), "{error}");
}

pub(crate) fn personality() {
    let domain = Personality::new(ExecutionDomain::Linux32, PersonalityFlags::ADDR_NO_RANDOMIZE);
    let seen = Look::at(view().personality(domain));
    assert_eq!(seen.text("personality"), "00040008");
    assert_ne!(print(view().personality(domain), "uname -m"), "x86_64\n");
}

pub(crate) fn a_session_keyring_of_its_own() {
    let keys = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains(" _ses:"));
        lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    let own = keys(&std::fs::read_to_string("/proc/keys").expect("the keys"));
    let inside = keys(&print(view().masked_paths([""; 0]), "cat /proc/keys"));
    assert!(!inside.is_empty(), "no session keyring");
    // An ordinary user sees the session keyrings of all its processes, the host's too.
    assert!(inside.iter().any(|key| !own.contains(key)), "{inside:?} and {own:?}");
}

pub(crate) fn environment_is_what_was_asked_for() {
    let environ = |command: ampoule::Command| {
        let output = printed(command.output().expect("a run"));
        let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let builder = view().env("A", "1").env("B", "x=y").env("HOME", "/h");
    let seen = environ(builder.clone().command("env").env("A", "2").env_remove("LANG"));
    assert_eq!(seen, ["A=2", "B=x=y", "HOME=/h", path]);
    let seen = environ(builder.clone().command("/usr/bin/env").env_clear().env("ONLY", ""));
    assert_eq!(seen, ["ONLY="]);
    let own = std::env::var("PATH").expect("a path");
    let seen = environ(view().env_inherit(["PATH", "NOT_THERE"]).command("/usr/bin/env"));
    assert!(seen.contains(&format!("PATH={own}")), "{seen:?}");
    let plan = builder.command("env").plan().expect("a plan");
    let seen = printed(plan.launch().env("A", "3").output().expect("a run"));
    assert!(seen.contains("A=3\n") && !seen.contains("A=1"), "{seen}");
    let raw = OsString::from_vec(b"\xff\xfe".to_vec());
    let output = shell(view().env("RAW", raw), "printf %s \"$RAW\"").output().expect("a run");
    assert_eq!(output.stdout, b"\xff\xfe");
}

pub(crate) fn arguments_and_directory_are_what_was_asked_for() {
    let command = view().command("printf").args(["%s|", "", "a b", "ü\n", "-x"]);
    assert_eq!(printed(command.output().expect("a run")), "|a b|ü\n|-x|");
    let plan = view().command("pwd").current_dir("/usr/lib").plan().expect("a plan");
    assert_eq!(printed(plan.launch().output().expect("a run")), "/usr/lib\n");
    assert_eq!(printed(plan.launch().current_dir("/tmp").output().expect("a run")), "/tmp\n");
    let launch = plan.launch().program("echo").args(["other", "words"]);
    assert_eq!(printed(launch.output().expect("a run")), "other words\n");
}
