//! Killed for want of memory: told from other kills, whose limit it was, and how soon it is known.
//!
//! Kernel objects: containers with groups of their own, one group above them. Invariant: what is asserted comes from
//! the kernel's counters.

mod oracle;
mod scene;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ampoule::{Bytes, Container, Event, LimitOf, Outcome, Stdio};
use ampoule_cgroups::{GroupPath, Hierarchies, Place};
use oracle::{tier, unchanged};
use scene::shell;

/// Takes all the memory that there is.
const EAT: &str = "x=0123456789; while :; do x=$x$x; done";

#[test]
fn it_is_told_from_other_kills() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().memory_max(Bytes::mib(16)).id("hungry");
        let status = shell(builder.clone(), EAT).output().expect("a run").status;
        assert_eq!(status.outcome(), Outcome::OutOfMemory, "{status}: {:?}", status.resources());
        assert!(status.oom_killed() && status.signal() == Some(9));
        let limit = status.resources().oom_by.clone().expect("a limit");
        assert!(matches!(limit, LimitOf::Own(_)), "{limit:?}");
        let path = limit.path().expect("a path").display().to_string();
        assert!(path.contains("/ampoule/hungry.w"), "{path}");
        assert!(status.to_string().contains(&path), "{status}");
        assert!(status.resources().memory_peak >= Some(Bytes::mib(8)));
        let status = shell(builder, "kill -9 $$").status().expect("a run");
        assert_eq!(status.outcome(), Outcome::Signaled { signal: 9, core_dumped: false });
        assert_eq!((status.resources().oom_kills, &status.resources().oom_by), (0, &None));
    });
}

/// A group that limits all in it to 16 MiB, below the roots of all hierarchies; with its path in the one that counts.
fn limited_parent(name: &str) -> (Place, PathBuf) {
    let path = GroupPath::new(name).expect("a path");
    let place = Place::open(&Hierarchies::detect().expect("groups"), &path).expect("a place");
    let files = ["memory.max", "memory.limit_in_bytes"];
    let mut all = place.paths().flat_map(|path| files.map(|file| path.join(file)));
    let file = all.find(|file| file.exists()).expect("the memory controller");
    std::fs::write(&file, "16777216").expect("a limit");
    let parent = file.parent().expect("a directory").to_owned();
    drop(all);
    (place, parent)
}

#[test]
fn the_limit_of_a_group_above_is_named() {
    tier::root();
    unchanged(|| {
        let name = format!("/ampoule-test-{}-oom", std::process::id());
        let (place, parent) = limited_parent(&name);
        let inner = format!("{name}/inner");
        for (path, levels) in [(&name, 1), (&inner, 2)] {
            let builder = Container::host_view().cgroup_parent(path.as_str());
            let container = shell(builder, EAT).spawn().expect("a container");
            assert_eq!(depth_below(&container, &parent), Some(levels));
            let mut container = container;
            let status = container.wait().expect("a status");
            assert_eq!(status.outcome(), Outcome::OutOfMemory, "{:?}", status.resources());
            assert_eq!(status.resources().oom_by, Some(LimitOf::Ancestor(parent.clone())));
            assert!(status.to_string().contains(&parent.display().to_string()), "{status}");
        }
        // What had happened before is not the next one's.
        let builder = Container::host_view().cgroup_parent(name.as_str()).memory_max(Bytes::mib(4));
        let status = shell(builder, EAT).status().expect("a run");
        let limit = status.resources().oom_by.clone();
        assert!(matches!(limit, Some(LimitOf::Own(_))), "{limit:?}");
        drop(place);
        assert!(!parent.exists());
    });
}

/// How many levels the container's group is below a directory.
fn depth_below(container: &Container, parent: &std::path::Path) -> Option<usize> {
    let group = container.group()?;
    group.paths().find_map(|path| Some(path.strip_prefix(parent).ok()?.components().count()))
}

#[test]
fn it_is_known_at_once() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().memory_max(Bytes::mib(16));
        let mut taken: Vec<Duration> = (0..10)
            .map(|_| {
                let command = shell(builder.clone(), &format!("read go; {EAT}"));
                let command = command.stdin(Stdio::piped()).stderr(Stdio::null());
                let mut container = command.spawn().expect("a container");
                let mut events = container.events().expect("events");
                let watcher = std::thread::spawn(move || {
                    let killed = |event: &Event| matches!(event, Event::OomKill { .. });
                    let mut seen = events.by_ref().map(|event| event.expect("an event"));
                    seen.find(killed).map(|_| Instant::now())
                });
                // The end of its input lets it go.
                let status = container.wait().expect("a status");
                let known = Instant::now();
                assert!(status.oom_killed(), "{status}");
                // The watcher may miss the kill when the group has gone by then: it was known before.
                let killed = watcher.join().expect("a thread").unwrap_or(known);
                known.saturating_duration_since(killed)
            })
            .collect();
        taken.sort_unstable();
        assert!(taken[8] < Duration::from_millis(100), "{taken:?}");
    });
}
