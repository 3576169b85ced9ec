//! Many containers, one after another and at once.
//!
//! Kernel objects: containers; descriptors, threads and memory of this process. Invariant: nothing grows.

mod oracle;
mod scene;

use std::fs;

use ampoule::{Container, Stdio};
use oracle::{alone, fixture, tier, unchanged};
use scene::outside::descendants;
use scene::{rooted, times};

/// Resident memory in KiB, descriptors, threads, mounts.
fn size() -> [usize; 4] {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
    };
    let count = |path: &str| fs::read_dir(path).expect("a directory").count();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts").lines().count();
    [field("VmRSS:"), count("/proc/self/fd"), field("Threads:"), mounts]
}

#[test]
fn in_sequence() {
    tier::root();
    alone(|| {
        let root = fixture::rootfs();
        let view = Container::host_view().command("/bin/true").plan().expect("a plan");
        let rooted = rooted(&root).command("/bin/true").plan().expect("a plan");
        let run = |times: usize| {
            for round in 0..times {
                let plan = if round % 2 == 0 { &view } else { &rooted };
                assert!(plan.launch().output().expect("a run").status.success());
            }
        };
        run(100);
        let before = size();
        run(times(1900, 10_000));
        let after = size();
        assert_eq!(before[1..], after[1..], "descriptors, threads, mounts");
        assert!(after[0] < before[0] + 1024, "{} KiB became {}", before[0], after[0]);
        assert_eq!(descendants(), 0);
    });
}

#[test]
fn planned_each_time() {
    tier::root();
    alone(|| {
        let run = |times: usize| {
            for _ in 0..times {
                assert!(scene::run(Container::host_view(), "exit 0").status.success());
            }
        };
        run(50);
        let before = size();
        run(times(200, 3000));
        let after = size();
        assert_eq!(before[1..], after[1..], "descriptors, threads, mounts");
        assert!(after[0] < before[0] + 1024, "{} KiB became {}", before[0], after[0]);
    });
}

#[test]
fn alive_at_once() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let count = times(100, 1000);
        let plan = rooted(&root).command("/bin/cat").plan().expect("a plan");
        let start = |_| {
            let launch = plan.launch().stdin(Stdio::piped()).stdout(Stdio::piped());
            launch.spawn().expect("a container")
        };
        let mut alive: Vec<Container> = (0..count).map(start).collect();
        assert_eq!(descendants(), 2 * count);
        for container in &mut alive {
            let stdin = container.stdin.as_mut().expect("piped");
            std::io::Write::write_all(stdin, b"alive\n").expect("it reads");
            let stdout = container.stdout.as_mut().expect("piped");
            assert_eq!(scene::read_until(stdout, "\n"), "alive\n");
        }
        for mut container in alive {
            assert!(container.wait().expect("a status").success());
        }
        assert_eq!(descendants(), 0);
    });
}
