//! Pressure of the machine and of a real v2 group. Needs root and a kernel with PSI.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod group;

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use ampoule_cgroups::ErrorKind;
use ampoule_cgroups::pressure::{Pressure, Resource, Stalled, Trigger, Wake};
use ampoule_cgroups::stat::Dir;
use group::{Hierarchy, Shell, TestGroup};

const SECOND: Duration = Duration::from_secs(1);

/// Processes that want more processors than there are.
fn busy(group: &TestGroup) -> Vec<Shell> {
    let count = std::thread::available_parallelism().unwrap().get() + 1;
    let script = "echo ready; while :; do :; done";
    (0..count).map(|_| Shell::start([group].into_iter(), script)).collect()
}

#[test]
fn the_machine_and_groups_are_read() {
    let group = TestGroup::new(Hierarchy::v2(), "pressure-read");
    let dir = File::open(group.path()).unwrap();
    for resource in [Resource::Cpu, Resource::Memory, Resource::Io] {
        let machine = Pressure::of_machine(resource).unwrap();
        assert!(machine.some.is_some() && machine.full.is_some(), "{resource} {machine:?}");
        let idle = Pressure::of_group(Dir::V2(dir.as_fd()), resource).unwrap();
        assert_eq!(idle.some.unwrap().total, Duration::ZERO);
    }
}

#[test]
fn v1_groups_have_none() {
    let group = TestGroup::new(Hierarchy::v2(), "pressure-v1");
    let dir = File::open(group.path()).unwrap();
    let error = Pressure::of_group(Dir::V1(dir.as_fd()), Resource::Memory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("memory.pressure"), "{error}");
}

#[test]
fn busy_processes_wake_the_trigger_and_removal_ends_it() {
    let group = TestGroup::new(Hierarchy::v2(), "pressure-wake");
    let dir = File::open(group.path()).unwrap();
    let dir = Dir::V2(dir.as_fd());
    let trigger = Trigger::new(Stalled::Some, SECOND / 10, 2 * SECOND).unwrap();
    let watch = trigger.watch_group(dir, Resource::Cpu).unwrap();
    assert_eq!(watch.wait(Some(SECOND / 10)).unwrap(), Wake::TimedOut);
    let shells = busy(&group);
    assert_eq!(watch.wait(Some(10 * SECOND)).unwrap(), Wake::Stalled);
    shells.into_iter().for_each(Shell::kill);
    let some = Pressure::of_group(dir, Resource::Cpu).unwrap().some.unwrap();
    assert!(some.total >= SECOND / 10, "{some:?}");
    let removing = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            // A last stall may still be told first.
            let wakes = std::iter::repeat_with(|| watch.wait(Some(10 * SECOND)).unwrap());
            wakes.take(5).find(|wake| *wake != Wake::Stalled)
        });
        std::thread::sleep(SECOND / 10);
        group.remove();
        waiter.join().unwrap()
    });
    assert_eq!(removing, Some(Wake::Removed));
    let gone = Pressure::of_group(dir, Resource::Cpu).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[test]
fn the_machine_can_be_watched() {
    let trigger = Trigger::new(Stalled::Full, 2 * SECOND, 2 * SECOND).unwrap();
    let watch = trigger.watch_machine(Resource::Memory).unwrap();
    // Whether memory is short just now is not ours to say, but two seconds of two cannot be over.
    assert_eq!(watch.wait(Some(SECOND / 10)).unwrap(), Wake::TimedOut);
}
