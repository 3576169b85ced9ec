//! Limits in force: what the kernel shows, what happens at them, and that no group is left.
//!
//! Kernel objects: containers with groups of their own. Invariant: what is asserted comes from the kernel's files.

mod oracle;
mod scene;

use std::time::Duration;

use ampoule::{Bytes, Container, ErrorKind, Limits, Max, Stage};
use oracle::{tier, unchanged};
use scene::{is_error, refused, shell};

#[test]
fn limits_are_what_the_kernel_shows() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().memory_max(Bytes::mib(128)).pids_max(64);
        let builder = builder.cpus("0.5".parse().expect("a number"));
        let mut container = shell(builder, "sleep 100").spawn().expect("a container");
        let stats = container.stats().expect("statistics");
        assert_eq!(stats.memory.max, Some(Max::Limit(128 << 20)));
        assert_eq!(stats.pids.max, Some(Max::Limit(64)));
        assert!(stats.pids.current.is_some_and(|pids| (1..10).contains(&pids)), "{:?}", stats.pids);
        let group = container.group().expect("a group").clone();
        assert!(group.procs(ampoule_cgroups::Depth::One).expect("ids").contains(&container.pid()));
        let mut less = Limits::default();
        less.pids_max = Some(Max::Limit(9));
        container.update(&less).expect("an update");
        let stats = container.stats().expect("statistics");
        assert_eq!(stats.pids.max, Some(Max::Limit(9)));
        container.kill(9).expect("a signal");
        container.wait().expect("the end");
        assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
    });
}

#[test]
fn a_fork_bomb_stays_at_its_limit() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().pids_max(20);
        let bomb = "f() { sleep 100 & f; }; f";
        let container =
            shell(builder, bomb).stderr(ampoule::Stdio::null()).spawn().expect("a bomb");
        let at_limit = || container.stats().expect("statistics").pids.max_events > Some(0);
        assert!(scene::soon(at_limit));
        assert!(container.stats().expect("statistics").pids.current <= Some(20));
        drop(container);
    });
}

#[test]
fn what_was_used_is_in_the_exit_status() {
    tier::root();
    unchanged(|| {
        let work = "x=$(head -c 12M /dev/zero | tr '\\0' x); i=0; \
            while [ $i -lt 200000 ]; do i=$((i+1)); done; (exit 0) & wait";
        let builder = Container::host_view().memory_max(Bytes::mib(256));
        let limited = builder.cpus("0.2".parse().expect("a number"));
        let status = shell(limited, work).status().expect("a run");
        let used = status.resources();
        let peak = used.memory_peak.expect("counted");
        assert!((Bytes::mib(12)..Bytes::mib(256)).contains(&peak), "{used}");
        assert!(used.cpu > Some(Duration::from_millis(40)), "{used}");
        assert!(used.throttled > Some(Duration::from_millis(40)), "{used}");
        assert_eq!((used.oom_kills, &used.oom_by), (0, &None));
        let printed = used.to_string();
        assert!(printed.starts_with("memory peak ") && printed.contains("throttled"), "{printed}");
        // Without limits what its hierarchy counts is there: on v2 CPU time.
        let status = shell(Container::host_view(), work).status().expect("a run");
        let cpu = status.resources().cpu;
        assert!(cpu.is_none_or(|cpu| cpu > Duration::from_millis(40)), "{cpu:?}");
        let none = Container::host_view().own_group(ampoule::OwnGroup::WithLimits);
        let status = shell(none, work).status().expect("a run");
        assert_eq!(status.resources(), &ampoule::Resources::default());
    });
}

#[test]
fn a_paused_container_stands_still() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().pids_max(20);
        let container = shell(builder, "while :; do :; done").spawn().expect("a container");
        let used = || container.stats().expect("statistics").cpu.usage.expect("counted");
        container.pause().expect("a pause");
        let before = used();
        std::thread::sleep(Duration::from_millis(200));
        // The last tick before the pause may be counted late.
        assert!(used() < before + Duration::from_millis(50), "{before:?} {:?}", used());
        container.resume().expect("it goes on");
        assert!(scene::soon(|| used() > before));
        container.pause().expect("a pause");
        drop(container);
    });
}

#[test]
fn limits_that_cannot_be_are_refused() {
    tier::root();
    unchanged(|| {
        let mut limits = Limits::default();
        limits.memory.low = Some(Bytes::mib(2).into());
        limits.memory.max = Some(Bytes::mib(1).into());
        let plan =
            |limits: &Limits| Container::host_view().limits(limits.clone()).command("true").plan();
        let error = refused(plan(&limits));
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["memory.low", "memory.max"]);
        for path in ["..", "/a/../b", "", "/x\n"] {
            let error = refused(Container::host_view().cgroup_parent(path).command("true").plan());
            is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["path of a group"]);
        }
    });
}
