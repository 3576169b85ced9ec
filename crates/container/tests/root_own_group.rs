//! The group of a container that has no limits, and names of containers.
//!
//! Kernel objects: containers with groups of their own. Invariant: what is asserted comes from the kernel's files.

mod oracle;
mod scene;

use ampoule::{Bytes, Container, Control, ErrorKind, Limits, Max, OnDrop, OwnGroup, Stage, State};
use oracle::{tier, unchanged};
use scene::{is_error, refused, shell};

/// The groups of a process, one of each hierarchy, as the kernel says.
fn groups_of(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("a living process");
    text.lines().filter_map(|line| Some(line.splitn(3, ':').nth(2)?.to_owned())).collect()
}

fn named(pid: u32, id: &str) -> usize {
    groups_of(pid).iter().filter(|group| group.contains(&format!("/ampoule/{id}."))).count()
}

#[test]
fn without_limits_its_id_is_in_the_path() {
    tier::root();
    unchanged(|| {
        let plan = shell(Container::host_view(), "sleep 100").plan().expect("a plan");
        assert!(plan.report().is_in_force(Control::Group), "{}", plan.report());
        assert_eq!(plan.report().state(Control::Limits), Some(&State::Off));
        let first = plan.launch().spawn().expect("a container");
        let second = plan.launch().spawn().expect("a container");
        assert_ne!(first.id(), second.id());
        for container in [&first, &second] {
            assert_eq!(named(container.pid(), container.id()), 1);
            assert_eq!(named(std::process::id(), container.id()), 0);
            assert_eq!(container.group().expect("a group").paths().count(), 1);
        }
        let paths: Vec<_> = first.group().expect("a group").paths().collect();
        drop(first);
        assert_eq!(paths.iter().filter(|path| path.exists()).count(), 0);
        second.pause().expect("a pause");
        second.resume().expect("it goes on");
        let mut limits = Limits::default();
        limits.memory.max = Some(Max::Limit(Bytes::mib(64)));
        match second.update(&limits) {
            // Pure v2 and in the root group: it has all controllers.
            Ok(()) => {
                let max = second.stats().expect("statistics").memory.max;
                assert_eq!(max, Some(Max::Limit(64 << 20)));
            }
            Err(error) => {
                let words = ["memory.max", "when it is started"];
                is_error(&error, ErrorKind::Limits, Stage::Running, &words);
            }
        }
    });
}

#[test]
fn the_payload_sees_its_group_as_the_root() {
    tier::root();
    unchanged(|| {
        let text = scene::print(Container::host_view(), "cat /proc/self/cgroup");
        assert!(!text.contains("ampoule"), "{text}");
    });
}

#[test]
fn it_can_be_switched_off() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().own_group(OwnGroup::WithLimits);
        let container = shell(builder.clone(), "sleep 100").spawn().expect("a container");
        assert_eq!(container.report().state(Control::Group), Some(&State::Off));
        assert_eq!(groups_of(container.pid()), groups_of(std::process::id()));
        assert!(container.group().is_none());
        let error = refused(container.stats());
        is_error(
            &error,
            ErrorKind::Limits,
            Stage::Running,
            &["no control group", "OwnGroup::Always"],
        );
        let limited = shell(builder.pids_max(9), "sleep 100").spawn().expect("a container");
        assert!(limited.report().is_in_force(Control::Limits));
        assert!(limited.group().is_some());
        let bare = shell(Container::bare(), "sleep 100").spawn().expect("a container");
        assert!(bare.group().is_none());
    });
}

#[test]
fn a_detached_one_has_none_unless_it_is_asked_for() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().on_drop(OnDrop::Detach);
        let plan = shell(builder.clone(), "exit 0").plan().expect("a plan");
        let state = plan.report().state(Control::Group);
        let said = matches!(state, Some(State::NotPossible(why)) if why.contains("detached"));
        assert!(said, "{state:?}");
        let builder = builder.own_group(OwnGroup::Always);
        let mut container = shell(builder, "sleep 100").spawn().expect("a container");
        let group = container.group().expect("a group").to_string();
        assert!(group.contains(&format!("{}.d", container.id())), "{group}");
        container.kill(9).expect("a living payload");
        container.wait().expect("a status");
    });
}

#[test]
fn names_are_given_or_made() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().id("web.1");
        let plan = shell(builder, "sleep 100").plan().expect("a plan");
        let first = plan.launch().spawn().expect("a container");
        assert_eq!((first.id(), named(first.pid(), "web.1")), ("web.1", 1));
        let error = refused(plan.launch().spawn());
        is_error(&error, ErrorKind::Limits, Stage::Launch, &["web.1", "Launch::id"]);
        let second = plan.launch().id("memory").spawn().expect("a container");
        assert_eq!((second.id(), named(second.pid(), "memory")), ("memory", 1));
        drop(first);
        let again = plan.launch().spawn().expect("the name is free");
        assert_eq!(again.id(), "web.1");
    });
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    tier::root();
    unchanged(|| {
        let plan = Container::host_view().command("true").plan().expect("a plan");
        let long = "x".repeat(4096);
        for id in ["../x", "/", "", "..", ".", "a\nb", "a b", "a/b", "-x", &long] {
            let error = refused(Container::host_view().id(id).command("true").plan());
            is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["id: "]);
            let error = refused(plan.launch().id(id).spawn());
            assert_eq!(error.kind(), ErrorKind::InvalidSettings, "{error}");
        }
    });
}

#[test]
fn many_plans_share_one_descriptor() {
    tier::root();
    unchanged(|| {
        let open = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
        let builder = |group| Container::host_view().own_group(group).command("true");
        let count = |group| {
            let before = open();
            let plans: Vec<_> = (0..20).map(|_| builder(group).plan().expect("a plan")).collect();
            let after = open();
            drop(plans);
            after - before
        };
        assert_eq!(count(OwnGroup::WherePossible), count(OwnGroup::WithLimits) + 1);
    });
}
