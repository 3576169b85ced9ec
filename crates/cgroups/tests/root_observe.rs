//! A group looked at through [`Group`]: statistics, events, pressure. Needs root and control groups.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ampoule_cgroups::events::Event;
use ampoule_cgroups::pressure::{Resource, Stalled, Trigger, Wake};
use ampoule_cgroups::{
    Bytes, Controllers, Group, Hierarchies, Life, Limits, Max, Place, owned_name,
};

const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// A group with a process in it; both go when dropped.
struct Occupied {
    group: Group,
    child: Child,
}

impl Occupied {
    fn new(name: &str, limits: &Limits, program: &[&str]) -> Self {
        let place = Place::find(&Hierarchies::detect().unwrap()).unwrap();
        let name = owned_name(Some(name), Life::WithOwner).unwrap();
        let accounting = Controllers::MEMORY | Controllers::PIDS;
        let group = Group::create_in(&place, &name, limits, accounting).unwrap();
        let script = "read line; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(program).stdin(Stdio::piped());
        let child = command.spawn().unwrap();
        for path in group.paths() {
            std::fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        Self { group, child }
    }

    fn go(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.go();
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        self.group.remove().unwrap();
    }
}

#[test]
fn statistics_show_limits_and_use() {
    let mut limits = Limits::default();
    limits.pids_max = Some(7.into());
    limits.memory.max = Some(Bytes::mib(64).into());
    let occupied = Occupied::new("observe", &limits, &["sleep", "60"]);
    let stats = occupied.group.stat().unwrap();
    assert_eq!(stats.memory.max, Some(Max::Limit(64 << 20)));
    assert_eq!((stats.pids.max, stats.pids.current), (Some(Max::Limit(7)), Some(1)));
    assert_eq!(stats.state.populated, Some(true));
    let totals = occupied.group.totals().unwrap();
    assert!(totals.memory_peak >= stats.memory.current && totals.oom_kills == Some(0));
    assert!(totals.cpu.is_some() && totals.cpu >= stats.cpu.usage, "{totals:?}");
    assert_eq!(totals.pids_peak, stats.pids.peak);
}

#[test]
fn events_tell_of_an_oom_kill_and_of_the_end() {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(16).into());
    let eat = "x=$(head -c 256M /dev/zero | tr '\\0' x)";
    let mut occupied = Occupied::new("observe-oom", &limits, &["sh", "-c", eat]);
    let mut events = occupied.group.events().unwrap();
    occupied.go();
    let mut seen = Vec::new();
    while !seen.contains(&Event::Populated(false)) {
        let event = events.next(LONG).unwrap();
        seen.push(event.expect("the process ends within ten seconds"));
    }
    assert!(seen.iter().any(|event| matches!(event, Event::OomKill { .. })), "{seen:?}");
}

#[test]
fn pressure_is_that_of_the_v2_directory() {
    let occupied = Occupied::new("observe-pressure", &Limits::default(), &["sleep", "60"]);
    let pressure = occupied.group.pressure(Resource::Cpu).unwrap();
    assert!(pressure.some.is_some());
    let window = Duration::from_secs(2);
    let trigger = Trigger::new(Stalled::Full, window, window).unwrap();
    let watch = occupied.group.watch_pressure(Resource::Memory, &trigger).unwrap();
    assert_eq!(watch.wait(Some(Duration::from_millis(50))).unwrap(), Wake::TimedOut);
}
